//! The program `holdfast`: a local sale, and what an operator does.

mod audit;
mod cache;
mod customers;
mod dead_letters;
mod dev;
mod doctor;
mod events;
mod exit;
mod health;
mod holds;
mod keys;
mod listing;
mod migrate;
mod partitions;
mod prune;
mod queue;
mod refunds;
mod sale;
mod seed;
mod stock;
mod store;
mod submit;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use holdfast_common::settings::TelemetrySettings;
use holdfast_common::telemetry;

use crate::exit::Found;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Holdfast, a checkout engine for flash sales.
#[derive(Parser)]
#[command(name = "holdfast", version, after_help = exit::HELP)]
struct Program {
    #[command(flatten)]
    telemetry: TelemetrySettings,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Follow the audit of every change of state
    Audit(audit::Options),
    /// Have ingresses forget the products that they have in memory, or read them ahead
    Cache(cache::Options),
    /// Print what is known of a customer, and forget it
    Customers(customers::Options),
    /// List, show, retry and drop commands that could not be applied
    DeadLetters(dead_letters::Options),
    /// Run a sale on this machine: Postgres, NATS, ingress and workers, with a product to buy
    Dev(Box<dev::Options>),
    /// Look at everything a sale stands on, and say what to do about it
    Doctor(Box<doctor::Options>),
    /// List, retry and drop events that a receiver did not take
    Events(events::Options),
    /// Ask a program on this host how it is, for whoever restarts it
    Health(health::Options),
    /// List holds, and end one
    Holds(holds::Options),
    /// Seal customers and payments by the first of ENCRYPTION_KEYS
    Keys(keys::Options),
    /// Bring the database to this build's schema
    Migrate(migrate::Options),
    /// Show which worker has each partition
    Partitions(partitions::Options),
    /// Remove keys, outcomes, holds and audit rows of long ago
    Prune(prune::Options),
    /// Show what of the log waits for workers
    Queue(queue::Options),
    /// List, retry and resolve refunds
    Refunds(refunds::Options),
    /// Watch a sale in the terminal
    Sale(sale::Options),
    /// Add products to try a sale with
    Seed(seed::Options),
    /// See that products' counts are what their holds and orders come to, and mend them
    Stock(stock::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    let program = Program::parse();
    let _telemetry = telemetry::start(&program.telemetry, telemetry::TERMINAL, "holdfast");
    exit::code(run(program.command).await)
}

async fn run(command: Command) -> anyhow::Result<Found> {
    match command {
        Command::Audit(options) => audit::run(options).await,
        Command::Cache(options) => cache::run(options).await,
        Command::Customers(options) => customers::run(options).await,
        Command::DeadLetters(options) => dead_letters::run(options).await,
        Command::Dev(options) => dev::run(*options).await.map(|()| Found::Nothing),
        Command::Doctor(options) => doctor::run(*options).await,
        Command::Events(options) => events::run(options).await.map(|()| Found::Nothing),
        Command::Health(options) => health::run(options).await,
        Command::Holds(options) => holds::run(options).await,
        Command::Keys(options) => keys::run(options).await,
        Command::Migrate(options) => migrate::run(options).await.map(|()| Found::Nothing),
        Command::Partitions(options) => partitions::run(options).await,
        Command::Prune(options) => prune::run(options).await.map(|()| Found::Nothing),
        Command::Queue(options) => queue::run(options).await,
        Command::Refunds(options) => refunds::run(options).await.map(|()| Found::Nothing),
        Command::Sale(options) => sale::run(options).await,
        Command::Seed(options) => seed::run(options).await,
        Command::Stock(options) => stock::run(options).await,
    }
}
