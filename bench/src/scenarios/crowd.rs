//! The moment a sale opens: 10,000 buyers who are connected already want 1,000 units at once.

use anyhow::ensure;

use crate::bench::Bench;
use crate::generator::Load;
use crate::report::Wanted;
use crate::sale::Sale;
use crate::scripts::Holds;
use crate::usage::resident_mib;

const BUYERS: usize = 10_000;
const UNITS: u64 = 1_000;

/// Each asks once. The generator sends as fast as it can, so the last is asked some time after the first.
pub(super) async fn crowd(bench: &mut Bench) -> anyhow::Result<()> {
    let sale = Sale::start(&bench.place, 1, &[]).await?;
    let product_ids = sale.products(1, UNITS).await?;
    let load = Load::rounds(sale.address, BUYERS, BUYERS as u64);
    let found = bench
        .drive(
            "10,000 buyers, 1,000 units",
            sale.pids(),
            load,
            Holds::evenly(&product_ids),
        )
        .await?;
    let (measured, accepted) = (&found.measured, found.script.accepted);
    sale.audit(&product_ids, 0, accepted, measured.failed)
        .await?;
    let (answered, refused) = (measured.done, measured.status(409));
    ensure!(
        accepted <= UNITS && accepted + refused == answered,
        "{accepted} holds and {refused} refusals of {answered}"
    );
    let (seconds, unanswered) = (measured.whole.as_secs_f64(), BUYERS as u64 - answered);
    bench.push(found.row, None);
    let memory = resident_mib(&sale.pids().ingress)?;
    let report = &mut bench.report;
    report.fact(
        "crowd",
        "buyers who were not answered",
        unanswered as f64,
        "buyers",
    );
    report.target(
        "10,000 buyers: seconds until the last answer",
        Wanted::AtMost(3.0),
        seconds,
    );
    report.target(
        "10,000 buyers for 1,000 units: holds",
        Wanted::Between(1000.0, 1000.0),
        accepted as f64,
    );
    report.target(
        "ingress with 10,000 connections, after the rush: MiB",
        Wanted::AtMost(256.0),
        memory,
    );
    sale.stop(&bench.place).await
}
