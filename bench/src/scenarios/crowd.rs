//! Measures the opening of a sale: 10,000 connected buyers request 1,000 units at once.

use anyhow::ensure;

use crate::bench::Bench;
use crate::generator::Load;
use crate::report::Bound;
use crate::sale::Sale;
use crate::scripts::Holds;
use crate::usage::resident_mib;

const BUYERS: usize = 10_000;
const UNITS: u64 = 1_000;

/// Each buyer sends one request. The generator sends them one after another, as fast as it can.
pub(super) async fn crowd(bench: &mut Bench) -> anyhow::Result<()> {
    let sale = Sale::start(&bench.environment, 1, &[]).await?;
    let product_ids = sale.create_products(1, UNITS).await?;
    let load = Load::rounds(sale.address, BUYERS, BUYERS as u64);
    let measurement = bench
        .drive(
            "10,000 buyers, 1,000 units",
            sale.pids(),
            load,
            Holds::evenly(&product_ids),
        )
        .await?;
    let (result, accepted) = (&measurement.result, measurement.script.accepted);
    sale.audit(&product_ids, 0, accepted, result.failed).await?;
    let (done, refused) = (result.done, result.status(409));
    ensure!(
        accepted <= UNITS && accepted + refused == done,
        "{accepted} holds and {refused} refusals of {done} requests, for {UNITS} units"
    );
    let (seconds, unanswered) = (result.whole.as_secs_f64(), BUYERS as u64 - done);
    bench.push(measurement.row, None);
    let memory = resident_mib(&sale.pids().ingress)?;
    let report = &mut bench.report;
    report.fact(
        "crowd",
        "buyers without a response",
        unanswered as f64,
        "buyers",
    );
    report.target(
        "10,000 buyers: seconds until the last response",
        Bound::AtMost(3.0),
        seconds,
    );
    report.target(
        "10,000 buyers for 1,000 units: holds",
        Bound::Between(1000.0, 1000.0),
        accepted as f64,
    );
    report.target(
        "ingress with 10,000 connections, after the rush: MiB",
        Bound::AtMost(256.0),
        memory,
    );
    sale.stop(&bench.environment).await
}
