//! `holdfast stock`: finds and repairs drift, which is a product's stored counts that differ from its holds and orders.

mod drift;
mod recalculate;
mod verify;

use clap::{Args, Subcommand};

use crate::exit::{self, Verdict};

#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compare each product's counts with its holds, orders and payments, and print the differences
    #[command(after_help = exit::HELP)]
    Verify(verify::Options),
    /// Correct wrong counts by commands in the log. The sale may be running
    #[command(after_help = exit::HELP)]
    Recalculate(recalculate::Options),
}

pub(crate) async fn run(options: Options) -> anyhow::Result<Verdict> {
    match options.command {
        Command::Verify(options) => verify::run(options).await,
        Command::Recalculate(options) => recalculate::run(options).await,
    }
}
