//! `holdfast customers`: exports and erases the data of one customer.
//!
//! [`rows`] finds the rows that name the customer.

mod export;
mod forget;
mod rows;

use clap::{Args, Subcommand};

use crate::exit::{self, Verdict};

#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print all data of a customer as one JSON document
    #[command(after_help = exit::HELP)]
    Export(export::Options),
    /// Erase a customer from everything that has ended, and list what is still active and has to wait
    #[command(after_help = exit::HELP)]
    Forget(forget::Options),
}

pub(crate) async fn run(options: Options) -> anyhow::Result<Verdict> {
    match options.command {
        Command::Export(options) => export::run(options).await,
        Command::Forget(options) => forget::run(options).await,
    }
}
