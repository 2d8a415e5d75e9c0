//! Many seeds: a few runs at a time, what each amounts to, and what all of them do together.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::task::{Id, JoinSet};

use crate::Options;
use crate::faults::Kind;
use crate::report::Report;
use crate::run;

/// Which seeds to run, and how.
#[derive(Clone, Debug)]
pub struct Seeds {
    /// The first seed.
    pub first: u64,
    /// How many, each one more than the one before.
    pub count: u64,
    /// How many at once, each on servers of its own.
    pub jobs: u64,
    /// How long clients and faults go on.
    pub lasting: Duration,
    /// The kinds of faults.
    pub faults: Vec<Kind>,
    /// The directory of Holdfast's programs; unless it is given they are built.
    pub programs: Option<PathBuf>,
    /// What is told of each.
    pub telling: Telling,
}

/// What is told of each run beside its findings.
#[derive(Clone, Copy, Debug, Default)]
pub struct Telling {
    /// How many answers of each kind there were.
    pub answers: bool,
    /// What was done to the deployment.
    pub timeline: bool,
}

/// What all runs so far amount to.
#[derive(Debug)]
pub struct Tally {
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
    /// Runs all of them, telling each as it ends. One that could not be run is told, and the others go on.
    pub async fn run(&self) -> Tally {
        let mut tally = Tally::new(self.count);
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
        tally: &mut Tally,
    ) {
        match running.join_next_with_id().await {
            None => return,
            Some(Ok((_, Ok(report)))) => {
                self.tell(&report);
                tally.count(&report);
            }
            Some(Ok((id, Err(error)))) => tally.fail(seeds.get(&id), &format!("{error:#}")),
            Some(Err(panic)) => tally.fail(seeds.get(&panic.id()), &panic.to_string()),
        }
        println!("{tally}");
    }

    fn tell(&self, report: &Report) {
        print!("{}", report.told());
        if self.telling.timeline && report.findings.is_empty() {
            print!("{}", report.timeline());
        }
        if self.telling.answers {
            println!("{:#?}", report.kinds);
        }
        println!("{}", report.summary());
    }
}

type Running = JoinSet<anyhow::Result<Report>>;

impl Tally {
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

    fn fail(&mut self, seed: Option<&u64>, why: &str) {
        let seed = seed.copied().unwrap_or_default();
        println!("seed {seed} could not be run: {why}");
        self.runs += 1;
        self.failed.push(seed);
    }

    /// Whether every seed was run, and none has a finding.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.runs == self.of && self.with_findings.is_empty() && self.failed.is_empty()
    }
}

impl fmt::Display for Tally {
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
            "{runs} of {of} seeds in {seconds} s: {operations} operations, {done} effects told at once, "
        )?;
        write!(f, "{faults} faults, {findings} seeds with findings")?;
        if findings > 0 {
            write!(f, " {:?}", self.with_findings)?;
        }
        if !self.failed.is_empty() {
            write!(f, ", {} not run {:?}", self.failed.len(), self.failed)?;
        }
        Ok(())
    }
}
