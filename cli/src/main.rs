//! The program `holdfast`: a sale on one machine (`dev`), and operators' commands, with one module for each.
//!
//! Commands read through [`store`]; changes are commands in the log, published by [`submit`]. Results are printed by
//! [`output`], and [`exit`] defines the exit codes.

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
mod migrate;
mod options;
mod output;
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

use crate::exit::Verdict;

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
    /// Follow the audit trail of all changes of state
    Audit(audit::Options),
    /// Clear or fill the product caches of all ingresses
    Cache(cache::Options),
    /// Export or erase the data of a customer
    Customers(customers::Options),
    /// List, show, retry and drop commands that workers could not apply
    DeadLetters(dead_letters::Options),
    /// Run a sale on this machine: Postgres, NATS, ingress, workers and a product to buy
    Dev(Box<dev::Options>),
    /// Check Postgres, NATS and settings, and print what to do about problems
    Doctor(Box<doctor::Options>),
    /// List, retry and drop events that a receiver did not accept
    Events(events::Options),
    /// Check whether a program on this host responds, for containers and supervisors
    Health(health::Options),
    /// List holds, and end a hold
    Holds(holds::Options),
    /// Encrypt stored customers and payments with the first of ENCRYPTION_KEYS
    Keys(keys::Options),
    /// Apply the database migrations of this build
    Migrate(migrate::Options),
    /// List partitions with their workers
    Partitions(partitions::Options),
    /// Remove rows that are past their retention time
    Prune(prune::Options),
    /// Show the backlog of the log
    Queue(queue::Options),
    /// List, retry and resolve refunds
    Refunds(refunds::Options),
    /// Watch a sale in the terminal
    Sale(sale::Options),
    /// Add products for trials
    Seed(seed::Options),
    /// Find and correct product counts that differ from holds and orders
    Stock(stock::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    let program = Program::parse();
    let _telemetry = telemetry::start(&program.telemetry, telemetry::TERMINAL, "holdfast");
    exit::code(run(program.command).await)
}

async fn run(command: Command) -> anyhow::Result<Verdict> {
    match command {
        Command::Audit(options) => audit::run(options).await,
        Command::Cache(options) => cache::run(options).await,
        Command::Customers(options) => customers::run(options).await,
        Command::DeadLetters(options) => dead_letters::run(options).await,
        Command::Dev(options) => dev::run(*options).await.map(|()| Verdict::Ok),
        Command::Doctor(options) => doctor::run(*options).await,
        Command::Events(options) => events::run(options).await.map(|()| Verdict::Ok),
        Command::Health(options) => health::run(options).await,
        Command::Holds(options) => holds::run(options).await,
        Command::Keys(options) => keys::run(options).await,
        Command::Migrate(options) => migrate::run(options).await.map(|()| Verdict::Ok),
        Command::Partitions(options) => partitions::run(options).await,
        Command::Prune(options) => prune::run(options).await.map(|()| Verdict::Ok),
        Command::Queue(options) => queue::run(options).await,
        Command::Refunds(options) => refunds::run(options).await.map(|()| Verdict::Ok),
        Command::Sale(options) => sale::run(options).await,
        Command::Seed(options) => seed::run(options).await,
        Command::Stock(options) => stock::run(options).await,
    }
}
