//! Measures how soon the units of 100,000 expired holds are available again.

use std::time::Duration;

use anyhow::ensure;
use tokio::time::{Instant, sleep};

use crate::bench::Bench;
use crate::generator::Load;
use crate::sale::Sale;
use crate::scripts::Holds;

const HOLDS: u64 = 100_000;
const CONNECTIONS: usize = 256;
/// Long enough that all holds are made before the first expires.
const LIFETIME_SECONDS: &str = "30";
/// The scenario fails when units are still held after this time.
const RETURN_WAIT: Duration = Duration::from_secs(120);

/// Makes the holds as fast as possible, and waits until all have expired.
pub(super) async fn expiry(bench: &mut Bench) -> anyhow::Result<()> {
    let sale = Sale::start(
        &bench.environment,
        1,
        &[("HOLD_EXPIRY_SECONDS", LIFETIME_SECONDS)],
    )
    .await?;
    let product_ids = sale.create_products(1, HOLDS).await?;
    let load = Load::rounds(sale.address, CONNECTIONS, HOLDS);
    let measurement = bench
        .drive(
            "100,000 holds that expire",
            sale.pids(),
            load,
            Holds::evenly(&product_ids),
        )
        .await?;
    let accepted = measurement.script.accepted;
    ensure!(
        accepted == HOLDS,
        "only {accepted} of {HOLDS} holds were made in a minute"
    );
    let before = sale.pids().cpu()?;
    wait_until_expired(&sale).await?;
    let used = sale
        .pids()
        .cpu()?
        .micros_per_round(before, Duration::ZERO, HOLDS);
    sale.audit(&product_ids, 0, accepted, measurement.result.failed)
        .await?;
    bench.push(measurement.row, None);
    let lateness = "SELECT percentile_cont(ARRAY[0.5, 0.99, 1.0]) WITHIN GROUP (ORDER BY late)
        FROM (SELECT extract(epoch FROM ended_at - expires_at)::float8 * 1000 AS late FROM holds WHERE status = 'expired') l";
    let lateness: Vec<f64> = sqlx::query_scalar(lateness).fetch_one(&sale.pool).await?;
    let report = &mut bench.report;
    for (share, millis) in ["half", "99 %", "all"].iter().zip(lateness) {
        report.fact(
            "expiry",
            format!("time after expiry until {share} of 100,000 holds had ended"),
            millis,
            "ms",
        );
    }
    report.fact(
        "expiry",
        "CPU of an expired hold, workers",
        used.workers,
        "µs",
    );
    report.fact(
        "expiry",
        "CPU of an expired hold, Postgres",
        used.postgres,
        "µs",
    );
    sale.stop(&bench.environment).await
}

async fn wait_until_expired(sale: &Sale) -> anyhow::Result<()> {
    let deadline = Instant::now() + RETURN_WAIT;
    loop {
        let held: i64 = sqlx::query_scalar("SELECT sum(held_stock)::bigint FROM products")
            .fetch_one(&sale.pool)
            .await?;
        if held == 0 {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "{held} units were still held after {RETURN_WAIT:?}"
        );
        sleep(Duration::from_millis(20)).await;
    }
}
