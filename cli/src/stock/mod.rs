//! `holdfast stock`: whether products' counts are what their holds and orders come to, and what to do when they aren't.

mod drift;
mod recalculate;
mod verify;

use clap::{Args, Subcommand};

use crate::exit::{self, Found};

/// What `stock` is told.
#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Count each product's units anew from its holds, orders and payments, and show where its counts are off
    #[command(after_help = exit::HELP)]
    Verify(verify::Options),
    /// Have counts that are off set right by a command in the log, while the sale runs
    #[command(after_help = exit::HELP)]
    Recalculate(recalculate::Options),
}

/// Does what was asked.
pub(crate) async fn run(options: Options) -> anyhow::Result<Found> {
    match options.command {
        Command::Verify(options) => verify::run(options).await,
        Command::Recalculate(options) => recalculate::run(options).await,
    }
}
