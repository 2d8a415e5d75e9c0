//! Random faults that are injected into the cluster and healed.
//!
//! Faults may overlap, but each process and server has at most one fault at a time: a stopped one is not stopped again. The
//! sleeps in this module are the duration of the faults.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use nix::sys::signal::Signal;
use rand::Rng;
use rand::rngs::StdRng;
use tokio::time::sleep;

use crate::cluster::{Cluster, INGRESSES, LEASE, WORKERS};
use crate::proxy::Direction;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum FaultKind {
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

#[derive(Clone, Copy, Debug)]
pub enum WorkerChoice {
    /// The worker that owns the most partitions when the fault begins.
    Busiest,
    Number(usize),
}

/// The connections of a process to a server.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// The index of the process among the members.
    pub member: usize,
    /// To NATS; otherwise to Postgres.
    pub to_nats: bool,
}

/// A fault, with its duration.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// Kills an ingress, and starts it after this time.
    KillIngress(usize, Duration),
    /// Kills a worker, and starts it after this time.
    KillWorker(WorkerChoice, Duration),
    /// Freezes a worker for longer than its lease, so that it is replaced.
    StopWorker(WorkerChoice, Duration),
    /// Stops a worker by SIGTERM, and starts it after this time.
    TermWorker(WorkerChoice, Duration),
    /// Kills NATS, and starts it after this time.
    KillNats(Duration),
    /// Kills NATS, removes its store, and starts it after this time.
    WipeNats(Duration),
    /// Stops Postgres, and starts it after the time `away`.
    KillPostgres {
        /// Kills the main process; otherwise an immediate shutdown.
        by_crash: bool,
        away: Duration,
    },
    /// Cuts the connections, and refuses new ones for this time.
    CutProxy(Link, Duration),
    /// Delays all data by the first time, for the duration of the second.
    DelayProxy(Link, Duration, Duration),
    /// Closes one direction of the connections.
    HalfCloseProxy(Link, Direction),
}

fn draw_millis(rng: &mut StdRng, min: u64, max: u64) -> Duration {
    Duration::from_millis(rng.random_range(min..=max))
}

fn draw_worker(rng: &mut StdRng) -> WorkerChoice {
    if rng.random_bool(0.6) {
        WorkerChoice::Busiest
    } else {
        WorkerChoice::Number(rng.random_range(0..WORKERS))
    }
}

impl Fault {
    /// Draws a fault of one of these kinds, which must not be empty.
    pub fn draw(rng: &mut StdRng, kinds: &[FaultKind]) -> (FaultKind, Self) {
        let kind = kinds[rng.random_range(0..kinds.len())];
        let line = Link {
            member: rng.random_range(0..INGRESSES + WORKERS),
            to_nats: rng.random_bool(0.5),
        };
        let fault = match kind {
            FaultKind::KillIngress => {
                Self::KillIngress(rng.random_range(0..INGRESSES), draw_millis(rng, 0, 1000))
            }
            FaultKind::KillWorker => Self::KillWorker(draw_worker(rng), draw_millis(rng, 0, 1500)),
            FaultKind::StopWorker => {
                Self::StopWorker(draw_worker(rng), LEASE + draw_millis(rng, 500, 2500))
            }
            FaultKind::TermWorker => Self::TermWorker(draw_worker(rng), draw_millis(rng, 0, 500)),
            FaultKind::KillNats => Self::KillNats(draw_millis(rng, 0, 2000)),
            FaultKind::WipeNats => Self::WipeNats(draw_millis(rng, 0, 1500)),
            FaultKind::KillPostgres => Self::KillPostgres {
                by_crash: rng.random_bool(0.3),
                away: draw_millis(rng, 0, 2500),
            },
            FaultKind::CutProxy => Self::CutProxy(line, draw_millis(rng, 0, 2000)),
            FaultKind::DelayProxy => Self::DelayProxy(
                line,
                draw_millis(rng, 20, 1500),
                draw_millis(rng, 500, 3000),
            ),
            FaultKind::HalfCloseProxy => {
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

    /// Injects the fault and heals it; returns false when another fault has already stopped its target.
    ///
    /// # Errors
    /// When the fault can't be healed.
    pub async fn inject(self, cluster: &Arc<Cluster>) -> anyhow::Result<bool> {
        match self {
            Self::KillIngress(number, away) => {
                restart(cluster, number, Signal::SIGKILL, away).await
            }
            Self::KillWorker(which, away) => {
                let number = worker_index(cluster, which).await;
                restart(cluster, number, Signal::SIGKILL, away).await
            }
            Self::TermWorker(which, away) => {
                let number = worker_index(cluster, which).await;
                restart(cluster, number, Signal::SIGTERM, away).await
            }
            Self::StopWorker(which, hung) => {
                let number = worker_index(cluster, which).await;
                freeze(cluster, number, hung).await
            }
            Self::KillNats(away) => restart_nats(cluster, false, away).await,
            Self::WipeNats(away) => restart_nats(cluster, true, away).await,
            Self::KillPostgres { by_crash, away } => {
                restart_postgres(cluster, by_crash, away).await
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

impl Link {
    fn proxy(self, cluster: &Cluster) -> &crate::proxy::Proxy {
        let member = &cluster.members[self.member];
        if self.to_nats {
            &member.nats
        } else {
            &member.postgres
        }
    }
}

/// The index of the worker among the members.
async fn worker_index(cluster: &Cluster, which: WorkerChoice) -> usize {
    let number = match which {
        WorkerChoice::Number(number) => number,
        WorkerChoice::Busiest => cluster.busiest_worker().await.unwrap_or(0),
    };
    INGRESSES + number
}

async fn restart(
    cluster: &Cluster,
    number: usize,
    signal: Signal,
    away: Duration,
) -> anyhow::Result<bool> {
    let member = &cluster.members[number];
    let Some(mut process) = member.try_lock() else {
        return Ok(false);
    };
    cluster.record_event(format!("{signal} to {}", member.name));
    if !process.end(signal).await {
        cluster
            .events()
            .findings
            .push(format!("{} did not end after {signal}", member.name));
    }
    sleep(away).await;
    member.start(&mut process).await?;
    cluster.record_event(format!("{} runs again", member.name));
    Ok(true)
}

async fn freeze(cluster: &Cluster, number: usize, duration: Duration) -> anyhow::Result<bool> {
    let member = &cluster.members[number];
    let Some(mut process) = member.try_lock() else {
        return Ok(false);
    };
    cluster.record_event(format!("{} freezes", member.name));
    process.signal(Signal::SIGSTOP);
    sleep(duration).await;
    process.signal(Signal::SIGCONT);
    cluster.record_event(format!("{} continues", member.name));
    Ok(true)
}

async fn restart_nats(cluster: &Cluster, wipe: bool, away: Duration) -> anyhow::Result<bool> {
    let Ok(_down) = cluster.nats_down.try_lock() else {
        return Ok(false);
    };
    let begun = Instant::now();
    cluster.record_event(
        if wipe {
            "NATS stops and loses its store"
        } else {
            "NATS stops"
        }
        .to_owned(),
    );
    cluster.stop_nats(wipe).await?;
    sleep(away).await;
    cluster.start_nats().await?;
    if wipe {
        cluster.events().wipes.push((begun, Instant::now()));
    }
    cluster.record_event("NATS runs again".to_owned());
    Ok(true)
}

async fn restart_postgres(
    cluster: &Cluster,
    by_crash: bool,
    away: Duration,
) -> anyhow::Result<bool> {
    let Ok(_down) = cluster.postgres_down.try_lock() else {
        return Ok(false);
    };
    cluster.record_event("Postgres stops".to_owned());
    cluster.stop_postgres(by_crash).await?;
    sleep(away).await;
    cluster.start_postgres().await?;
    cluster.record_event("Postgres runs again".to_owned());
    Ok(true)
}
