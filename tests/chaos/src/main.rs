//! The program `holdfast-chaos`: runs the chaos test for one seed or many, and its special checks.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use holdfast_chaos::faults::FaultKind;
use holdfast_chaos::power_loss::disk;
use holdfast_chaos::seeds::{OutputOptions, Seeds};
use holdfast_chaos::{Options, mutations, power_loss, take_over};

/// Injects random faults into a deployment of Holdfast while clients buy, and audits the result
#[derive(Debug, Parser)]
#[command(
    name = "holdfast-chaos",
    version,
    args_conflicts_with_subcommands = true
)]
struct Program {
    #[command(subcommand)]
    check: Option<Check>,
    #[command(flatten)]
    seeds: SeedsArgs,
}

#[derive(Debug, Subcommand)]
enum Check {
    /// Check that the auditor finds the planted defects of tests/chaos/mutations
    Mutations {
        /// The defects to check [default: all]
        names: Vec<String>,
        /// The most seeds for each defect
        #[arg(long, default_value_t = 8)]
        seeds: u64,
    },
    /// Simulate power cuts: copy the disk under load, and start again from the copy
    ///
    /// Needs root and loop devices. Without them, the exit code is 3.
    PowerLoss {
        /// Number of power cuts
        #[arg(long, default_value_t = 5)]
        rounds: u64,
        /// The seed of the first round [default: random]
        #[arg(long)]
        seed: Option<u64>,
        /// Turn off syncs in Postgres. Then every round must have a finding, which shows that the check works
        #[arg(long)]
        control: bool,
        /// The directory of Holdfast's programs [default: build them]
        #[arg(long, value_name = "DIRECTORY")]
        programs: Option<PathBuf>,
    },
    /// Measure the pause of buyers when the worker of a hot product is killed or stopped
    TakeOver {
        /// Number of rounds, each with a kill and with a stop
        #[arg(long, default_value_t = 3)]
        rounds: u64,
    },
}

/// The exit code when a check is not possible on this machine.
const EXIT_UNSUPPORTED: u8 = 3;

#[derive(Debug, Args)]
struct SeedsArgs {
    /// Duration of the load and the faults, in seconds
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// The first seed [default: random]
    #[arg(long)]
    seed: Option<u64>,
    /// Number of seeds
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Number of seeds to run at once, each on its own servers
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=64))]
    jobs: u64,
    /// The kinds of faults, separated by commas [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    faults: Option<Vec<FaultKind>>,
    /// Run without faults
    #[arg(long, conflicts_with = "faults")]
    calm: bool,
    /// The directory of Holdfast's programs [default: build them in the profile of this program]
    #[arg(long, value_name = "DIRECTORY")]
    programs: Option<PathBuf>,
    /// Print the number of replies of each kind
    #[arg(long)]
    replies: bool,
    /// Print the list of faults, also for runs without findings
    #[arg(long)]
    timeline: bool,
}

impl SeedsArgs {
    fn seeds(self) -> Seeds {
        let all = if self.calm {
            Vec::new()
        } else {
            FaultKind::value_variants().to_vec()
        };
        Seeds {
            first: self.seed.unwrap_or_else(|| rand::random::<u32>().into()),
            count: self.seeds,
            jobs: self.jobs,
            lasting: Duration::from_secs(self.seconds),
            faults: self.faults.unwrap_or(all),
            programs: self.programs,
            output: OutputOptions {
                replies: self.replies,
                timeline: self.timeline,
            },
        }
    }
}

/// Returns whether the run has no findings; `None` when the check is not possible on this machine.
async fn run(program: Program) -> anyhow::Result<Option<bool>> {
    let is_clean = match program.check {
        None => program.seeds.seeds().run().await.is_clean(),
        Some(Check::Mutations { names, seeds }) => mutations::check(&names, seeds).await?,
        Some(Check::TakeOver { rounds }) => take_over::measure(rounds).await?,
        Some(Check::PowerLoss {
            rounds,
            seed,
            control,
            programs,
        }) => {
            if let Some(reason) = disk::unsupported_reason() {
                eprintln!("this machine can't simulate power cuts: {reason}");
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
        print!("{}", report.findings_text());
        println!("{}", report.summary());
        with_findings += u64::from(!report.findings.is_empty());
    }
    println!(
        "{with_findings} of {rounds} rounds have findings{}",
        if is_control {
            " (control: all must)"
        } else {
            ""
        }
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
        // Dropping the runs kills their processes.
        _ = tokio::signal::ctrl_c() => Some(false),
    };
    Ok(match is_clean {
        Some(true) => ExitCode::SUCCESS,
        Some(false) => ExitCode::FAILURE,
        None => ExitCode::from(EXIT_UNSUPPORTED),
    })
}
