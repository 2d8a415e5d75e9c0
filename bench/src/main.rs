//! `bench`: measures the speed of Holdfast and of simpler designs over HTTP.
//!
//! It starts its own Postgres and NATS, and Holdfast's programs as an operator runs them. One generator sends the load, and
//! an auditor checks the tables after each measurement. Each rate is compared with two rates of the same run: bare HTTP (the
//! same server's empty handler) and the faster row lock. Ratios differ less between machines than rates do. No test
//! depends on a figure of this program.
//!
//! - `scenarios`: the measurements; `scripts`: the requests of buyers
//! - `generator`: the load; `subscribers`: clients that read server-sent events
//! - `environment`, `programs`, `sale`: the measured system; `baseline`: the simpler designs
//! - `audit`: checks of the stock; `usage`: CPU time and memory; `report`: the tables and `report.json`

mod audit;
mod baseline;
mod bench;
mod environment;
mod generator;
mod programs;
mod report;
mod sale;
mod scenarios;
mod scripts;
mod subscribers;
mod usage;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::bench::{Bench, RunOptions};
use crate::environment::Environment;
use crate::report::Report;
use crate::scenarios::Scenario;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measure Holdfast on this machine
#[derive(Parser)]
#[command(name = "bench")]
struct Options {
    /// Scenarios to measure, in this order
    #[arg(default_value = "all")]
    scenarios: Vec<Scenario>,
    /// Numbers of connections, separated by commas; each is measured on its own
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 256, 1024], value_parser = clap::value_parser!(u32).range(1..=16_000))]
    connections: Vec<u32>,
    /// Duration of each measurement, in seconds
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Duration of the memory scenario, in minutes
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=120))]
    minutes: u64,
    /// Run as the server of a baseline
    #[arg(long, hide = true)]
    serve: Option<baseline::BaselineKind>,
    /// Connections of the baseline to Postgres
    #[arg(long, hide = true, default_value_t = 10)]
    pool: u32,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    if let Some(kind) = options.serve {
        baseline::serve(kind, options.pool).await?;
        return Ok(ExitCode::SUCCESS);
    }
    open_files()?;
    let mut terminated = signal(SignalKind::terminate())?;
    // Returning drops the started processes, which kills them.
    tokio::select! {
        measured = measure(options) => measured,
        _ = terminated.recv() => anyhow::bail!("terminated"),
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
    }
}

async fn measure(options: Options) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let programs = programs::build().await?;
    // `bench` in the target directory.
    let output = programs
        .parent()
        .context("a program outside of a target directory")?
        .join("bench");
    std::fs::create_dir_all(&output).with_context(|| format!("can't make {}", output.display()))?;
    let environment = Environment::start(programs, output.join("run")).await?;
    let scenarios = Scenario::named(&options.scenarios);
    let options = RunOptions {
        connections: options
            .connections
            .iter()
            .map(|count| *count as usize)
            .collect(),
        duration: Duration::from_secs(options.seconds),
        memory: Duration::from_secs(60 * options.minutes),
    };
    let report = Report {
        machine: machine(),
        ..Report::default()
    };
    let mut bench = Bench {
        environment,
        options,
        report,
    };
    for (number, scenario) in scenarios.iter().enumerate() {
        let seconds = began.elapsed().as_secs();
        eprintln!(
            "[{}/{}] {scenario}, after {seconds} s",
            number + 1,
            scenarios.len()
        );
        if let Err(error) = scenario.run(&mut bench).await {
            eprintln!("    FAILED: {error:#}");
            bench.report.failures.push(format!("{scenario}: {error:#}"));
        }
    }
    let Bench {
        environment,
        mut report,
        ..
    } = bench;
    report.compare();
    report.write(&output)?;
    report.print();
    println!(
        "{} s; the report is in {}",
        began.elapsed().as_secs(),
        output.join("report.json").display()
    );
    if report.failures.is_empty() {
        environment.stop().await?;
        return Ok(ExitCode::SUCCESS);
    }
    // The logs stay until the next run.
    println!(
        "the logs of the failed run are in {}",
        environment.directory.display()
    );
    environment.stack.stop().await?;
    Ok(ExitCode::FAILURE)
}

/// Raises the limit of open files: 10,000 connections need as many file descriptors.
fn open_files() -> anyhow::Result<()> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    const FILES_MIN: u64 = 20_000;
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    ensure!(
        most >= FILES_MIN,
        "the limit of open files is {most}: raise it to {FILES_MIN} (ulimit -Hn)"
    );
    Ok(setrlimit(Resource::RLIMIT_NOFILE, most, most)?)
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or_default();
    format!(
        "{cores} cores, {}",
        model.trim_start_matches([' ', '\t', ':'])
    )
}
