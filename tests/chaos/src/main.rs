//! The program `holdfast-chaos`: runs the proving ground for one seed or many.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use holdfast_chaos::faults::Kind;
use holdfast_chaos::power_loss::disk;
use holdfast_chaos::seeds::{Seeds, Telling};
use holdfast_chaos::{Options, mutations, power_loss, take_over};

/// Breaks a deployment of Holdfast in random ways while clients buy, and audits what they were told.
#[derive(Debug, Parser)]
#[command(
    name = "holdfast-chaos",
    version,
    args_conflicts_with_subcommands = true
)]
struct Program {
    #[command(subcommand)]
    other: Option<Other>,
    #[command(flatten)]
    seeds: SeedsArgs,
}

/// What else there is to do.
#[derive(Debug, Subcommand)]
enum Other {
    /// Checks that deliberate faults of Holdfast are found: those of tests/chaos/mutations.
    Mutations {
        /// Which of them; all unless some are named.
        names: Vec<String>,
        /// How many seeds each is given at most.
        #[arg(long, default_value_t = 8)]
        seeds: u64,
    },
    /// Cuts the power: copies the disk under load as it is at one moment, and goes on from the copy. Needs root and loop
    /// devices; without them it ends with status 3.
    PowerLoss {
        /// How many times.
        #[arg(long, default_value_t = 5)]
        rounds: u64,
        /// The first round's seed; a random one unless it is given.
        #[arg(long)]
        seed: Option<u64>,
        /// Has Postgres not sync what it commits. Then there has to be a finding, or the check shows nothing.
        #[arg(long)]
        control: bool,
        /// The directory of Holdfast's programs; unless it is given they are built.
        #[arg(long, value_name = "DIRECTORY")]
        programs: Option<PathBuf>,
    },
    /// Measures what buyers notice when the worker of a hot product is killed, or asked to stop.
    TakeOver {
        /// How many times each.
        #[arg(long, default_value_t = 3)]
        rounds: u64,
    },
}

/// What the exit status says when a check can't be made on this machine.
const NOT_HERE: u8 = 3;

#[derive(Debug, Args)]
struct SeedsArgs {
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

impl SeedsArgs {
    fn seeds(self) -> Seeds {
        let all = if self.calm {
            Vec::new()
        } else {
            Kind::value_variants().to_vec()
        };
        Seeds {
            first: self.seed.unwrap_or_else(|| rand::random::<u32>().into()),
            count: self.seeds,
            jobs: self.jobs,
            lasting: Duration::from_secs(self.seconds),
            faults: self.faults.unwrap_or(all),
            programs: self.programs,
            telling: Telling {
                answers: self.answers,
                timeline: self.timeline,
            },
        }
    }
}

/// Says whether all is as it should be; nothing when that can't be found out on this machine.
async fn run(program: Program) -> anyhow::Result<Option<bool>> {
    let is_clean = match program.other {
        None => program.seeds.seeds().run().await.is_clean(),
        Some(Other::Mutations { names, seeds }) => mutations::check(&names, seeds).await?,
        Some(Other::TakeOver { rounds }) => take_over::measure(rounds).await?,
        Some(Other::PowerLoss {
            rounds,
            seed,
            control,
            programs,
        }) => {
            if let Some(lack) = disk::lacks() {
                eprintln!("power can't be cut here: {lack}");
                return Ok(None);
            }
            cut_power(rounds, seed, control, programs).await?
        }
    };
    Ok(Some(is_clean))
}

async fn cut_power(
    rounds: u64,
    seed: Option<u64>,
    is_control: bool,
    programs: Option<PathBuf>,
) -> anyhow::Result<bool> {
    let first = seed.unwrap_or_else(|| rand::random::<u32>().into());
    let mut with_findings = 0;
    for seed in first..first.saturating_add(rounds) {
        let options = Options {
            programs: programs.clone(),
            ..Options::new(seed, Duration::ZERO)
        };
        let report = power_loss::round(&options, is_control).await?;
        print!("{}", report.told());
        println!("{}", report.summary());
        with_findings += u64::from(!report.findings.is_empty());
    }
    println!(
        "{with_findings} of {rounds} rounds with findings{}",
        if is_control { ", as a control" } else { "" }
    );
    Ok(if is_control {
        with_findings == rounds
    } else {
        with_findings == 0
    })
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let is_clean = tokio::select! {
        is_clean = run(Program::parse()) => is_clean?,
        // Dropping the runs ends their processes.
        _ = tokio::signal::ctrl_c() => Some(false),
    };
    Ok(match is_clean {
        Some(true) => ExitCode::SUCCESS,
        Some(false) => ExitCode::FAILURE,
        None => ExitCode::from(NOT_HERE),
    })
}
