//! The generator: so many connections, each sending its next request as soon as its last was answered (closed loop).

use std::net::SocketAddr;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::http::Connection;

/// What a scenario may be answered.
pub(crate) enum Step {
    /// What was asked for.
    Done,
    /// Anything else.
    Failed,
}

/// What was measured.
pub(crate) struct Load {
    latencies: Histogram<u64>,
    pub(crate) errors: u64,
    elapsed: Duration,
}

impl Load {
    fn new() -> anyhow::Result<Self> {
        // From a microsecond to a minute, in three digits.
        Ok(Self { latencies: Histogram::new_with_bounds(1, 60_000_000, 3)?, errors: 0, elapsed: Duration::ZERO })
    }

    pub(crate) fn a_second(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64()
    }

    pub(crate) fn millis_at(&self, quantile: f64) -> f64 {
        self.latencies.value_at_quantile(quantile) as f64 / 1000.0
    }
}

/// Repeats a step on every connection for so long.
pub(crate) async fn run<S>(address: SocketAddr, connections: usize, duration: Duration, step: S) -> anyhow::Result<Load>
where
    S: AsyncStep,
{
    let mut tasks = JoinSet::new();
    let begun = Instant::now();
    for _ in 0..connections {
        let mut connection = Connection::open(address).await?;
        let step = step.clone();
        tasks.spawn(async move {
            let mut load = Load::new()?;
            while begun.elapsed() < duration {
                let sent = Instant::now();
                match step.step(&mut connection).await? {
                    Step::Done => load.latencies.saturating_record(sent.elapsed().as_micros() as u64),
                    Step::Failed => load.errors += 1,
                }
            }
            anyhow::Ok(load)
        });
    }
    let mut whole = Load::new()?;
    while let Some(load) = tasks.join_next().await {
        let load = load??;
        whole.latencies.add(load.latencies)?;
        whole.errors += load.errors;
    }
    whole.elapsed = begun.elapsed();
    Ok(whole)
}

/// One round of a scenario.
pub(crate) trait AsyncStep: Clone + Send + Sync + 'static {
    fn step(&self, connection: &mut Connection) -> impl Future<Output = anyhow::Result<Step>> + Send;
}
