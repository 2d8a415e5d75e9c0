//! The program `holdfast-chaos`: runs the proving ground for one seed or many.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use holdfast_chaos::faults::Kind;
use holdfast_chaos::seeds::{Seeds, Telling};

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
    /// How many seeds to run.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// How many of them at once, each on servers of its own.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=64))]
    jobs: u64,
    /// The kinds of faults, with commas between them; all unless some are given.
    #[arg(long, value_enum, value_delimiter = ',')]
    faults: Option<Vec<Kind>>,
    /// No faults at all.
    #[arg(long, conflicts_with = "faults")]
    calm: bool,
    /// The directory of Holdfast's programs; unless it is given they are built, in the profile of this program.
    #[arg(long, value_name = "DIRECTORY")]
    programs: Option<PathBuf>,
    /// Tells how many answers of each kind there were.
    #[arg(long)]
    answers: bool,
    /// Tells what was done to the deployment, also when there are no findings.
    #[arg(long)]
    timeline: bool,
}

impl Program {
    fn seeds(self) -> Seeds {
        let all = if self.calm { Vec::new() } else { Kind::value_variants().to_vec() };
        Seeds {
            first: self.seed.unwrap_or_else(|| rand::random::<u32>().into()),
            count: self.seeds,
            jobs: self.jobs,
            lasting: Duration::from_secs(self.seconds),
            faults: self.faults.unwrap_or(all),
            programs: self.programs,
            telling: Telling { answers: self.answers, timeline: self.timeline },
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let seeds = Program::parse().seeds();
    let is_clean = tokio::select! {
        tally = seeds.run() => tally.is_clean(),
        // Dropping the runs ends their processes.
        _ = tokio::signal::ctrl_c() => false,
    };
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
