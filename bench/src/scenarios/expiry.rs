//! 100,000 holds that nobody orders, and how soon their units are back on sale.

use std::time::Duration;

use anyhow::ensure;
use tokio::time::{Instant, sleep};

use crate::bench::Bench;
use crate::generator::Load;
use crate::sale::Sale;
use crate::scripts::Holds;

const HOLDS: u64 = 100_000;
const CONNECTIONS: usize = 256;
/// Long enough that all are made before the first is due.
const LIFETIME_SECONDS: &str = "30";
/// How long units may take to come back before this is given up.
const RETURN_WAIT: Duration = Duration::from_secs(120);

/// Makes them as fast as it goes, and waits until all have ended.
pub(super) async fn expiry(bench: &mut Bench) -> anyhow::Result<()> {
    let sale = Sale::start(
        &bench.place,
        1,
        &[("HOLD_EXPIRY_SECONDS", LIFETIME_SECONDS)],
    )
    .await?;
    let product_ids = sale.products(1, HOLDS).await?;
    let load = Load::rounds(sale.address, CONNECTIONS, HOLDS);
    let found = bench
        .drive(
            "100,000 holds that expire",
            sale.pids(),
            load,
            Holds::evenly(&product_ids),
        )
        .await?;
    let accepted = found.script.accepted;
    ensure!(
        accepted == HOLDS,
        "only {accepted} of {HOLDS} holds were made in a minute"
    );
    let before = sale.pids().cpu()?;
    wait_until_back(&sale).await?;
    let used = sale
        .pids()
        .cpu()?
        .micros_a_round(before, Duration::ZERO, HOLDS);
    sale.audit(&product_ids, 0, accepted, found.measured.failed)
        .await?;
    bench.push(found.row, None);
    let late = "SELECT percentile_cont(ARRAY[0.5, 0.99, 1.0]) WITHIN GROUP (ORDER BY late)
        FROM (SELECT extract(epoch FROM ended_at - expires_at)::float8 * 1000 AS late FROM holds WHERE status = 'expired') l";
    let late: Vec<f64> = sqlx::query_scalar(late).fetch_one(&sale.pool).await?;
    let report = &mut bench.report;
    for (which, millis) in ["half", "99 %", "all"].iter().zip(late) {
        report.fact(
            "expiry",
            format!("{which} of 100,000 holds ended after they were due"),
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
    sale.stop(&bench.place).await
}

async fn wait_until_back(sale: &Sale) -> anyhow::Result<()> {
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
            "{held} units were not back on sale in {RETURN_WAIT:?}"
        );
        sleep(Duration::from_millis(20)).await;
    }
}
