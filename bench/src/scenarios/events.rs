//! 5,000 people who watch a product's stock while it is sold.

use std::time::Duration;

use anyhow::ensure;
use holdfast_common::id::ProductId;

use crate::bench::{Bench, PLENTY};
use crate::generator::Load;
use crate::report::Wanted;
use crate::sale::Sale;
use crate::scripts::Holds;
use crate::subscribers::{self, Subscribers};

const SUBSCRIBERS: usize = 5_000;
const CONNECTIONS: usize = 256;
/// No more of the holds that are made without subscribers may be lost with them.
const KEPT_MIN: f64 = 0.8;
const LAG_MS_MAX: f64 = 1000.0;

/// The same load with nobody watching, then with all of them.
pub(super) async fn events(bench: &mut Bench) -> anyhow::Result<()> {
    let sale = Sale::start(&bench.place, 1, &[]).await?;
    let alone = sale.products(1, PLENTY).await?;
    let watched = sale.products(1, PLENTY).await?;
    if !subscribers::is_served(sale.address, watched[0])? {
        bench
            .report
            .skipped
            .push("events: this build does not serve them".to_owned());
        return sale.stop(&bench.place).await;
    }
    let load = Load::closed(sale.address, CONNECTIONS, bench.asked.duration);
    let before = bench
        .holds("nobody watches", &sale, load, &alone, Holds::evenly(&alone))
        .await?;

    let listening = Subscribers::connect(sale.address, watched[0], SUBSCRIBERS).await?;
    let found = bench
        .drive("5,000 watch", sale.pids(), load, Holds::evenly(&watched))
        .await?;
    let changed_at = found.measured.last_answer;
    let heard = listening
        .finish(version(&sale, watched[0]).await?, changed_at)
        .await?;
    sale.audit(&watched, 0, found.script.accepted, found.measured.failed)
        .await?;
    let seconds = found
        .measured
        .whole
        .max(Duration::from_millis(1))
        .as_secs_f64();
    let after = bench.push(found.row, before.bare_a_second);
    ensure!(heard.events > 0, "no subscriber heard anything");

    let report = &mut bench.report;
    report.target(
        "5,000 subscribers: who saw the last state",
        Wanted::AtLeast(SUBSCRIBERS as f64),
        heard.lags.len() as f64,
    );
    let longest = heard.lags.last().copied().unwrap_or(f64::INFINITY);
    report.target(
        "5,000 subscribers: the last state was seen by all after, ms",
        Wanted::AtMost(LAG_MS_MAX),
        longest,
    );
    report.target(
        "5,000 subscribers: holds of those without",
        Wanted::AtLeast(KEPT_MIN),
        after.a_second / before.a_second,
    );
    report.fact(
        "events",
        "events to each subscriber",
        heard.events as f64 / SUBSCRIBERS as f64 / seconds,
        "a second",
    );
    report.fact(
        "events",
        "subscribers who were cut off",
        heard.closed as f64,
        "subscribers",
    );
    sale.stop(&bench.place).await
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
