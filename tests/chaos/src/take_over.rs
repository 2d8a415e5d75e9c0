//! Measures a take-over under load: the effect on buyers of a hot product when the worker of its partition is killed or
//! stopped, and another worker takes over.
//!
//! Each connection requests a hold as soon as its last request has ended (a closed loop), without a proxy. A reply that the
//! contract does not allow is a finding. Times are printed and decide nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use holdfast_common::id::ProductId;
use holdfast_common::partition::Partitions;
use holdfast_tests::{Client, PARTITIONS, Sale, SaleBuilder, start_stack, until};
use nix::sys::signal::Signal;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const CONNECTIONS: usize = 64;
/// Duration of the load before the worker ends.
const BEFORE: Duration = Duration::from_secs(4);
/// Duration of the load after the worker ends.
const AFTER: Duration = Duration::from_secs(8);
const WORKERS: usize = 2;
/// Stock that the load can't sell out.
const PLENTY: i64 = 900_000_000;

/// One request.
#[derive(Clone, Copy, Debug)]
struct Sample {
    sent_at: Instant,
    replied_at: Instant,
    /// `None` when there was no reply.
    status: Option<u16>,
    /// Whether the contract allows this reply under load.
    is_allowed: bool,
}

/// Measures this number of rounds, each with a kill and with an orderly stop; returns whether every reply was allowed.
///
/// # Errors
/// When the sale does not start, or the partition has no owner.
pub async fn measure(rounds: u64) -> anyhow::Result<bool> {
    let directory = std::env::temp_dir().join(format!("holdfast-take-over-{}", std::process::id()));
    let stack = start_stack(&directory).await;
    // The log must not be full during the run.
    let builder = SaleBuilder::default()
        .on(&stack, &directory)
        .setting("LOG_MAX_MB", "4096");
    let mut sale = builder
        .setting("PARTITION_LEASE_MS", "3000")
        .start_without_workers()
        .await;
    let mut is_clean = true;
    println!("signal   requests  a second  p50 ms  p99 ms  longest ms  pause ms  replies");
    for signal in (0..rounds).flat_map(|_| [Signal::SIGKILL, Signal::SIGTERM]) {
        while sale.workers.len() < WORKERS {
            sale.add_worker();
        }
        wait_for_even_shares(&sale).await;
        let samples = take_over(&mut sale, signal).await?;
        is_clean &= print_round(signal, samples);
    }
    drop(sale);
    stack.stop().await?;
    holdfast_stack::remove_data(&directory).await?;
    std::fs::remove_dir_all(&directory)?;
    Ok(is_clean)
}

async fn wait_for_even_shares(sale: &Sale) {
    until("all workers own partitions", async || {
        let owners = "SELECT count(DISTINCT owner) FROM partitions WHERE lease_until > now()";
        let owners: i64 = sqlx::query_scalar(owners)
            .fetch_one(&sale.pool)
            .await
            .ok()?;
        (owners == WORKERS as i64).then_some(())
    })
    .await;
}

/// Ends the worker of the product's partition in the middle of the load. The sleeps set the duration of the load.
async fn take_over(sale: &mut Sale, signal: Signal) -> anyhow::Result<Vec<Sample>> {
    let product = sale.product(PLENTY).await;
    let (stop, client) = (CancellationToken::new(), Arc::new(sale.client().clone()));
    let mut buyers = JoinSet::new();
    for _ in 0..CONNECTIONS {
        buyers.spawn(buy(Arc::clone(&client), product, stop.clone()));
    }
    tokio::time::sleep(BEFORE).await;
    let owner = owner_of(sale, product).await?;
    let mut worker = sale.workers.remove(owner);
    worker.signal(signal);
    tokio::time::sleep(AFTER).await;
    stop.cancel();
    worker.ended().await;
    Ok(buyers.join_all().await.into_iter().flatten().collect())
}

async fn buy(client: Arc<Client>, product: i64, stop: CancellationToken) -> Vec<Sample> {
    let body = serde_json::json!({"product_id": product, "quantity": 1})
        .to_string()
        .into_bytes();
    let headers = [("content-type", "application/json")];
    let mut samples = Vec::new();
    while !stop.is_cancelled() {
        let sent_at = Instant::now();
        let answer = client
            .try_send(
                reqwest::Method::POST,
                "/api/holds",
                &headers,
                Some(body.clone()),
            )
            .await;
        let replied_at = Instant::now();
        let status = answer.as_ref().ok().map(|answer| answer.status.as_u16());
        let is_allowed = answer.is_ok_and(|answer| match answer.status.as_u16() {
            201 | 202 | 409 => true,
            503 => !answer.header("retry-after").is_empty(),
            _ => false,
        });
        samples.push(Sample {
            sent_at,
            replied_at,
            status,
            is_allowed,
        });
    }
    samples
}

/// The index of the worker that owns the product's partition.
async fn owner_of(sale: &Sale, product: i64) -> anyhow::Result<usize> {
    let partition = Partitions::new(PARTITIONS)?.of(ProductId(product).slot());
    let owner: Option<String> =
        sqlx::query_scalar("SELECT owner FROM partitions WHERE partition = $1")
            .bind(partition.0.cast_signed())
            .fetch_one(&sale.pool)
            .await?;
    // An owner is `host:process id:...`.
    let pid: u32 = owner
        .as_deref()
        .and_then(|owner| owner.split(':').nth(1))
        .context("no owner")?
        .parse()?;
    sale.workers
        .iter()
        .position(|worker| worker.pid() == pid)
        .context("the owner is not a worker of this sale")
}

/// Prints a round in one line; returns whether every reply was allowed.
fn print_round(signal: Signal, mut samples: Vec<Sample>) -> bool {
    samples.sort_unstable_by_key(|sample| sample.replied_at);
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else {
        return false;
    };
    let lasted = (last.replied_at - first.sent_at).as_secs_f64();
    let made: Vec<Instant> = samples
        .iter()
        .filter(|one| one.status == Some(201))
        .map(|one| one.replied_at)
        .collect();
    let pause = made
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .max()
        .unwrap_or_default();
    let mut answers: BTreeMap<String, usize> = BTreeMap::new();
    for sample in &samples {
        let status = sample
            .status
            .map_or_else(|| "none".to_owned(), |status| status.to_string());
        *answers.entry(status).or_default() += 1;
    }
    let is_clean = samples.iter().all(|sample| sample.is_allowed);
    let mut waits: Vec<Duration> = samples
        .iter()
        .map(|sample| sample.replied_at - sample.sent_at)
        .collect();
    waits.sort_unstable();
    let millis_at =
        |of_hundred: usize| waits[(waits.len() - 1) * of_hundred / 100].as_secs_f64() * 1000.0;
    println!(
        "{:<8} {:>8} {:>9.0} {:>7.1} {:>7.1} {:>11.0} {:>9} {answers:?}{}",
        signal.as_str(),
        samples.len(),
        samples.len() as f64 / lasted,
        millis_at(50),
        millis_at(99),
        millis_at(100),
        pause.as_millis(),
        if is_clean { "" } else { "  NOT ALLOWED" },
    );
    is_clean
}
