//! Measures holds while 5,000 clients read the event stream of the product's stock.

use std::time::Duration;

use anyhow::ensure;
use holdfast_common::id::ProductId;

use crate::bench::{Bench, PLENTY};
use crate::generator::Load;
use crate::report::Bound;
use crate::sale::Sale;
use crate::scripts::Holds;
use crate::subscribers::{self, Subscribers};

const SUBSCRIBERS: usize = 5_000;
const CONNECTIONS: usize = 256;
/// Aim for the rate with subscribers, as a share of the rate without.
const KEPT_MIN: f64 = 0.8;
/// Aim for the time until every subscriber has the last state.
const LAG_MS_MAX: f64 = 1000.0;

/// Measures the same load without subscribers, then with all of them.
pub(super) async fn events(bench: &mut Bench) -> anyhow::Result<()> {
    let sale = Sale::start(&bench.environment, 1, &[]).await?;
    let alone = sale.create_products(1, PLENTY).await?;
    let watched = sale.create_products(1, PLENTY).await?;
    if !subscribers::is_served(sale.address, watched[0])? {
        bench
            .report
            .skipped
            .push("events: the ingress does not serve event streams".to_owned());
        return sale.stop(&bench.environment).await;
    }
    let load = Load::closed(sale.address, CONNECTIONS, bench.options.duration);
    let before = bench
        .measure_holds(
            "without subscribers",
            &sale,
            load,
            &alone,
            Holds::evenly(&alone),
        )
        .await?;

    let subscribers = Subscribers::connect(sale.address, watched[0], SUBSCRIBERS).await?;
    let measurement = bench
        .drive(
            "5,000 subscribers",
            sale.pids(),
            load,
            Holds::evenly(&watched),
        )
        .await?;
    let changed_at = measurement.result.last_response_at;
    let received = subscribers
        .finish(version(&sale, watched[0]).await?, changed_at)
        .await?;
    sale.audit(
        &watched,
        0,
        measurement.script.accepted,
        measurement.result.failed,
    )
    .await?;
    let seconds = measurement
        .result
        .whole
        .max(Duration::from_millis(1))
        .as_secs_f64();
    let after = bench.push(measurement.row, before.bare_a_second);
    ensure!(received.events > 0, "no subscriber received an event");

    let report = &mut bench.report;
    report.target(
        "5,000 subscribers: number that received the last state",
        Bound::AtLeast(SUBSCRIBERS as f64),
        received.lags.len() as f64,
    );
    let longest = received.lags.last().copied().unwrap_or(f64::INFINITY);
    report.target(
        "5,000 subscribers: ms until all received the last state",
        Bound::AtMost(LAG_MS_MAX),
        longest,
    );
    report.target(
        "5,000 subscribers: rate of holds, of the rate without",
        Bound::AtLeast(KEPT_MIN),
        after.a_second / before.a_second,
    );
    report.fact(
        "events",
        "events per subscriber",
        received.events as f64 / SUBSCRIBERS as f64 / seconds,
        "per second",
    );
    report.fact(
        "events",
        "subscribers whose connection was closed",
        received.closed as f64,
        "subscribers",
    );
    sale.stop(&bench.environment).await
}

async fn version(sale: &Sale, product_id: i64) -> anyhow::Result<i64> {
    let version = "SELECT version FROM products WHERE slot = $1 AND product_id = $2";
    let slot = ProductId(product_id).slot().as_i16();
    Ok(sqlx::query_scalar(version)
        .bind(slot)
        .bind(product_id)
        .fetch_one(&sale.pool)
        .await?)
}
