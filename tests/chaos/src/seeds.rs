//! Runs many seeds, some of them at once, and prints the report of each and a summary of all.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::task::{Id, JoinSet};

use crate::Options;
use crate::faults::FaultKind;
use crate::report::Report;
use crate::run;

/// The seeds to run, and their options.
#[derive(Clone, Debug)]
pub struct Seeds {
    /// The first seed; the others follow it.
    pub first: u64,
    pub count: u64,
    /// Runs at once, each on its own servers.
    pub jobs: u64,
    /// How long clients and faults run.
    pub lasting: Duration,
    pub faults: Vec<FaultKind>,
    /// The directory of Holdfast's programs. Without it, they are built.
    pub programs: Option<PathBuf>,
    pub output: OutputOptions,
}

/// The output of each run besides its findings.
#[derive(Clone, Copy, Debug, Default)]
pub struct OutputOptions {
    /// The number of replies of each kind.
    pub replies: bool,
    /// The faults of a run without findings. A run with findings always prints them.
    pub timeline: bool,
}

/// The sums over all runs so far.
#[derive(Debug)]
pub struct SeedsSummary {
    begun: Instant,
    of: u64,
    runs: u64,
    with_findings: Vec<u64>,
    failed: Vec<u64>,
    operations: usize,
    done: usize,
    faults: usize,
}

impl Seeds {
    /// Runs all seeds and prints each report as its run ends. After a run that fails, the others go on.
    pub async fn run(&self) -> SeedsSummary {
        let mut tally = SeedsSummary::new(self.count);
        let (mut running, mut seeds) = (JoinSet::new(), HashMap::new());
        for seed in self.first..self.first.saturating_add(self.count) {
            if running.len() as u64 >= self.jobs {
                self.wait_for_one(&mut running, &seeds, &mut tally).await;
            }
            let options = self.options(seed);
            seeds.insert(running.spawn(async move { run(&options).await }).id(), seed);
        }
        while !running.is_empty() {
            self.wait_for_one(&mut running, &seeds, &mut tally).await;
        }
        tally
    }

    fn options(&self, seed: u64) -> Options {
        let (faults, programs) = (self.faults.clone(), self.programs.clone());
        Options {
            faults,
            programs,
            ..Options::new(seed, self.lasting)
        }
    }

    async fn wait_for_one(
        &self,
        running: &mut Running,
        seeds: &HashMap<Id, u64>,
        tally: &mut SeedsSummary,
    ) {
        match running.join_next_with_id().await {
            None => return,
            Some(Ok((_, Ok(report)))) => {
                self.print(&report);
                tally.count(&report);
            }
            Some(Ok((id, Err(error)))) => tally.fail(seeds.get(&id), &format!("{error:#}")),
            Some(Err(panic)) => tally.fail(seeds.get(&panic.id()), &panic.to_string()),
        }
        println!("{tally}");
    }

    fn print(&self, report: &Report) {
        print!("{}", report.findings_text());
        if self.output.timeline && report.findings.is_empty() {
            print!("{}", report.timeline());
        }
        if self.output.replies {
            println!("{:#?}", report.replies);
        }
        println!("{}", report.summary());
    }
}

type Running = JoinSet<anyhow::Result<Report>>;

impl SeedsSummary {
    fn new(of: u64) -> Self {
        let (with_findings, failed) = (Vec::new(), Vec::new());
        Self {
            begun: Instant::now(),
            of,
            runs: 0,
            with_findings,
            failed,
            operations: 0,
            done: 0,
            faults: 0,
        }
    }

    fn count(&mut self, report: &Report) {
        self.runs += 1;
        self.operations += report.operations;
        self.done += report.done;
        self.faults += report.faults.values().sum::<usize>();
        if !report.findings.is_empty() {
            self.with_findings.push(report.seed);
        }
    }

    fn fail(&mut self, seed: Option<&u64>, error: &str) {
        let seed = seed.copied().unwrap_or_default();
        println!("the run of seed {seed} failed: {error}");
        self.runs += 1;
        self.failed.push(seed);
    }

    /// Whether every seed has run without a finding.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.runs == self.of && self.with_findings.is_empty() && self.failed.is_empty()
    }
}

impl fmt::Display for SeedsSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            of,
            runs,
            operations,
            done,
            faults,
            ..
        } = self;
        let (seconds, findings) = (self.begun.elapsed().as_secs(), self.with_findings.len());
        write!(
            f,
            "{runs} of {of} seeds in {seconds} s: {operations} operations, {done} direct effects, "
        )?;
        write!(f, "{faults} faults, {findings} seeds with findings")?;
        if findings > 0 {
            write!(f, " {:?}", self.with_findings)?;
        }
        if !self.failed.is_empty() {
            write!(f, ", {} failed {:?}", self.failed.len(), self.failed)?;
        }
        Ok(())
    }
}
