//! The program `holdfast-chaos`: runs the proving ground for one seed or several.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use holdfast_chaos::faults::Kind;
use holdfast_chaos::{Options, run};

/// Breaks a deployment of Holdfast in random ways while clients buy, and audits what they were told.
#[derive(Debug, Parser)]
#[command(name = "holdfast-chaos", version)]
struct Program {
    /// How long clients and faults go on, in seconds.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// The first seed; a random one unless it is given.
    #[arg(long)]
    seed: Option<u64>,
    /// How many seeds to run, one after another.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// The kinds of faults, with commas between them; all unless some are given.
    #[arg(long, value_enum, value_delimiter = ',')]
    faults: Option<Vec<Kind>>,
    /// No faults at all.
    #[arg(long, conflicts_with = "faults")]
    calm: bool,
    /// Tells how many answers of each kind there were.
    #[arg(long)]
    answers: bool,
    /// Tells what was done to the deployment, also when there are no findings.
    #[arg(long)]
    timeline: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let program = Program::parse();
    let all = if program.calm { Vec::new() } else { Kind::value_variants().to_vec() };
    let faults = program.faults.unwrap_or(all);
    let first = program.seed.unwrap_or_else(|| rand::random::<u32>().into());
    let mut has_findings = false;
    for seed in first..first.saturating_add(program.seeds) {
        println!("seed {seed}");
        let options = Options { seed, lasting: Duration::from_secs(program.seconds), faults: faults.clone() };
        let report = tokio::select! {
            report = run(&options) => report?,
            // Dropping the run ends its processes.
            _ = tokio::signal::ctrl_c() => return Ok(ExitCode::FAILURE),
        };
        print!("{}", report.told());
        if program.timeline && report.findings.is_empty() {
            print!("{}", report.timeline());
        }
        if program.answers {
            println!("{:#?}", report.kinds);
        }
        println!("{}", report.summary());
        has_findings |= !report.findings.is_empty();
    }
    Ok(if has_findings { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
