//! Faults, drawn at random, done to the cluster and healed.
//!
//! Faults may overlap, but each thing has at most one at a time: what is down already is not taken down again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use nix::sys::signal::Signal;
use rand::Rng;
use rand::rngs::StdRng;
use tokio::time::sleep;

use crate::cluster::{Cluster, INGRESSES, LEASE, WORKERS};
use crate::proxy::Direction;

/// The kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
#[allow(missing_docs)]
pub enum Kind {
    KillIngress,
    KillWorker,
    StopWorker,
    TermWorker,
    KillNats,
    WipeNats,
    KillPostgres,
    CutProxy,
    DelayProxy,
    HalfCloseProxy,
}

/// Which worker it is.
#[derive(Clone, Copy, Debug)]
pub enum Which {
    /// The one that has most partitions then.
    Holder,
    /// This one.
    Number(usize),
}

/// A process's way to a server.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// The process.
    pub member: usize,
    /// Whether it is the way to NATS, else to Postgres.
    pub to_nats: bool,
}

/// A fault, with how long it lasts.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// An ingress is killed, and started again then.
    KillIngress(usize, Duration),
    /// A worker is killed, and started again then.
    KillWorker(Which, Duration),
    /// A worker hangs so long that it is replaced.
    StopWorker(Which, Duration),
    /// A worker is asked to stop, and started again then.
    TermWorker(Which, Duration),
    /// NATS is killed, and started again then.
    KillNats(Duration),
    /// NATS is killed and loses its store.
    WipeNats(Duration),
    /// Postgres is killed, and started again then.
    KillPostgres {
        /// Whether only its first process is killed, else all at once.
        by_crash: bool,
        /// How long it is away.
        away: Duration,
    },
    /// A process's connections to a server are cut, and new ones turned away so long.
    CutProxy(Line, Duration),
    /// What a process and a server send each other is held back.
    DelayProxy(Line, Duration, Duration),
    /// One direction of a process's connections to a server is closed.
    HalfCloseProxy(Line, Direction),
}

fn millis(rng: &mut StdRng, least: u64, most: u64) -> Duration {
    Duration::from_millis(rng.random_range(least..=most))
}

fn draw_worker(rng: &mut StdRng) -> Which {
    if rng.random_bool(0.6) {
        Which::Holder
    } else {
        Which::Number(rng.random_range(0..WORKERS))
    }
}

impl Fault {
    /// Draws a fault of one of these kinds, of which there is one at least.
    pub fn draw(rng: &mut StdRng, kinds: &[Kind]) -> (Kind, Self) {
        let kind = kinds[rng.random_range(0..kinds.len())];
        let line = Line {
            member: rng.random_range(0..INGRESSES + WORKERS),
            to_nats: rng.random_bool(0.5),
        };
        let fault = match kind {
            Kind::KillIngress => {
                Self::KillIngress(rng.random_range(0..INGRESSES), millis(rng, 0, 1000))
            }
            Kind::KillWorker => Self::KillWorker(draw_worker(rng), millis(rng, 0, 1500)),
            Kind::StopWorker => Self::StopWorker(draw_worker(rng), LEASE + millis(rng, 500, 2500)),
            Kind::TermWorker => Self::TermWorker(draw_worker(rng), millis(rng, 0, 500)),
            Kind::KillNats => Self::KillNats(millis(rng, 0, 2000)),
            Kind::WipeNats => Self::WipeNats(millis(rng, 0, 1500)),
            Kind::KillPostgres => Self::KillPostgres {
                by_crash: rng.random_bool(0.3),
                away: millis(rng, 0, 2500),
            },
            Kind::CutProxy => Self::CutProxy(line, millis(rng, 0, 2000)),
            Kind::DelayProxy => {
                Self::DelayProxy(line, millis(rng, 20, 1500), millis(rng, 500, 3000))
            }
            Kind::HalfCloseProxy => {
                let direction = if rng.random_bool(0.5) {
                    Direction::ToServer
                } else {
                    Direction::ToProcess
                };
                Self::HalfCloseProxy(line, direction)
            }
        };
        (kind, fault)
    }

    /// Does it and heals it; says whether it could be done.
    ///
    /// # Errors
    /// When it can't be healed.
    pub async fn inflict(self, cluster: &Arc<Cluster>) -> anyhow::Result<bool> {
        match self {
            Self::KillIngress(number, away) => end(cluster, number, Signal::SIGKILL, away).await,
            Self::KillWorker(which, away) => {
                let number = worker(cluster, which).await;
                end(cluster, number, Signal::SIGKILL, away).await
            }
            Self::TermWorker(which, away) => {
                let number = worker(cluster, which).await;
                end(cluster, number, Signal::SIGTERM, away).await
            }
            Self::StopWorker(which, hung) => {
                let number = worker(cluster, which).await;
                hang(cluster, number, hung).await
            }
            Self::KillNats(away) => take_nats_down(cluster, false, away).await,
            Self::WipeNats(away) => take_nats_down(cluster, true, away).await,
            Self::KillPostgres { by_crash, away } => {
                take_postgres_down(cluster, by_crash, away).await
            }
            Self::CutProxy(line, away) => {
                let proxy = line.proxy(cluster);
                proxy.cut();
                sleep(away).await;
                proxy.heal();
                Ok(true)
            }
            Self::DelayProxy(line, delay, lasting) => {
                let proxy = line.proxy(cluster);
                proxy.delay(delay);
                sleep(lasting).await;
                proxy.heal();
                Ok(true)
            }
            Self::HalfCloseProxy(line, direction) => {
                line.proxy(cluster).half_close(direction);
                Ok(true)
            }
        }
    }
}

impl Line {
    fn proxy(self, cluster: &Cluster) -> &crate::proxy::Proxy {
        let member = &cluster.members[self.member];
        if self.to_nats {
            &member.nats
        } else {
            &member.postgres
        }
    }
}

/// The worker's number among all processes.
async fn worker(cluster: &Cluster, which: Which) -> usize {
    let number = match which {
        Which::Number(number) => number,
        Which::Holder => cluster.holder().await.unwrap_or(0),
    };
    INGRESSES + number
}

async fn end(
    cluster: &Cluster,
    number: usize,
    signal: Signal,
    away: Duration,
) -> anyhow::Result<bool> {
    let member = &cluster.members[number];
    let Some(mut life) = member.try_life() else {
        return Ok(false);
    };
    cluster.note(format!("{signal} to {}", member.name));
    if !life.end(signal).await {
        cluster
            .events()
            .findings
            .push(format!("{} did not end after {signal}", member.name));
    }
    sleep(away).await;
    member.start(&mut life).await?;
    cluster.note(format!("{} is back", member.name));
    Ok(true)
}

async fn hang(cluster: &Cluster, number: usize, hung: Duration) -> anyhow::Result<bool> {
    let member = &cluster.members[number];
    let Some(mut life) = member.try_life() else {
        return Ok(false);
    };
    cluster.note(format!("{} hangs", member.name));
    life.signal(Signal::SIGSTOP);
    sleep(hung).await;
    life.signal(Signal::SIGCONT);
    cluster.note(format!("{} goes on", member.name));
    Ok(true)
}

async fn take_nats_down(cluster: &Cluster, wipe: bool, away: Duration) -> anyhow::Result<bool> {
    let Ok(_down) = cluster.nats_down.try_lock() else {
        return Ok(false);
    };
    let begun = Instant::now();
    cluster.note(
        if wipe {
            "NATS goes, and its store"
        } else {
            "NATS goes"
        }
        .to_owned(),
    );
    cluster.stop_nats(wipe).await?;
    sleep(away).await;
    cluster.start_nats().await?;
    if wipe {
        cluster.events().wipes.push((begun, Instant::now()));
    }
    cluster.note("NATS is back".to_owned());
    Ok(true)
}

async fn take_postgres_down(
    cluster: &Cluster,
    by_crash: bool,
    away: Duration,
) -> anyhow::Result<bool> {
    let Ok(_down) = cluster.postgres_down.try_lock() else {
        return Ok(false);
    };
    cluster.note("Postgres goes".to_owned());
    cluster.stop_postgres(by_crash).await?;
    sleep(away).await;
    cluster.start_postgres().await?;
    cluster.note("Postgres is back".to_owned());
    Ok(true)
}
