//! `bench`: how fast Holdfast is, over real HTTP, and how fast what it is compared with.
//!
//! It starts its own Postgres and NATS, and Holdfast's programs as an operator would run them, drives them with one
//! generator, and has an auditor look at the tables after each measurement. Every figure stands beside bare HTTP, the same
//! server's empty handler, and the better row lock, both of the same run: machines differ, ratios less. Nothing here
//! decides a test.
//!
//! - `scenarios`: what is measured, a module a kind; `scripts`: what buyers say
//! - `generator`: the load; `subscribers`: those who only listen
//! - `place`, `programs`, `sale`: what is measured, and where; `baseline`: what it is compared with
//! - `audit`, `usage`: what became of the stock, and what it cost; `report`, `plots`: what is told

mod audit;
mod baseline;
mod bench;
mod generator;
mod place;
mod plots;
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

use crate::bench::{Asked, Bench};
use crate::place::Place;
use crate::report::Report;
use crate::scenarios::Scenario;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measure Holdfast on this machine
#[derive(Parser)]
#[command(name = "bench")]
struct Options {
    /// What to measure, in this order
    #[arg(default_value = "all")]
    scenarios: Vec<Scenario>,
    /// How many connections at once, with commas between them
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 256, 1024], value_parser = clap::value_parser!(u32).range(1..=16_000))]
    connections: Vec<u32>,
    /// How long each measurement lasts, in seconds
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// How long memory is watched, in minutes [default: one]
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=120))]
    minutes: u64,
    /// Be what Holdfast is compared with
    #[arg(long, hide = true)]
    serve: Option<baseline::Kind>,
    /// Its connections to Postgres
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
    // Whoever leaves here drops what was started, which ends it.
    tokio::select! {
        measured = measure(options) => measured,
        _ = terminated.recv() => anyhow::bail!("terminated"),
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
    }
}

async fn measure(options: Options) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let programs = programs::build().await?;
    // `target/bench`, wherever `target` is.
    let output = programs
        .parent()
        .context("a program outside of a target directory")?
        .join("bench");
    std::fs::create_dir_all(&output).with_context(|| format!("can't make {}", output.display()))?;
    let place = Place::start(programs, output.join("run")).await?;
    let asked = Asked {
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
        place,
        asked,
        report,
    };
    let scenarios = Scenario::named(&options.scenarios);
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
        place, mut report, ..
    } = bench;
    report.compare();
    report.write(&output)?;
    plots::draw(&report, &output)?;
    report.print();
    println!(
        "{} s; {} and plots beside it",
        began.elapsed().as_secs(),
        output.join("report.json").display()
    );
    if report.failures.is_empty() {
        place.stop().await?;
        return Ok(ExitCode::SUCCESS);
    }
    // The logs tell why; the next run removes them.
    println!("logs of what failed are in {}", place.directory.display());
    place.stack.stop().await?;
    Ok(ExitCode::FAILURE)
}

/// Ten thousand connections are as many open files.
fn open_files() -> anyhow::Result<()> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    const FILES_MIN: u64 = 20_000;
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    ensure!(
        most >= FILES_MIN,
        "at most {most} files may be open: allow {FILES_MIN} (ulimit -Hn)"
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
