//! Measures the CPU time per hold at rising loads.

use crate::bench::{Bench, PLENTY};
use crate::generator::Load;
use crate::report::Bound;
use crate::sale::Sale;
use crate::scripts::Holds;

/// Holds per second that the open loops offer.
const RATES: [f64; 5] = [1_000.0, 5_000.0, 10_000.0, 20_000.0, 30_000.0];
const CONNECTIONS: usize = 1024;
/// The next rate is measured only if this share of the present rate is reached.
const REACHED_MIN: f64 = 0.95;
/// Aim for the CPU time per hold: at the highest rate, at most this ratio of the lowest rate.
const GROWTH_MAX: f64 = 1.1;

/// Runs open loops, up to the first rate that is not reached.
pub(super) async fn cost(bench: &mut Bench) -> anyhow::Result<()> {
    let sale = Sale::start(&bench.environment, 1, &[]).await?;
    let mut costs = Vec::new();
    for rate in RATES {
        let product_ids = sale.create_products(1, PLENTY).await?;
        let load = Load::open(sale.address, CONNECTIONS, rate, bench.options.duration);
        let row = bench
            .measure_holds(
                "one hot product, open loop",
                &sale,
                load,
                &product_ids,
                Holds::evenly(&product_ids),
            )
            .await?;
        costs.push(row.cpu_us.served());
        if row.a_second < rate * REACHED_MIN {
            let reached = row.a_second;
            bench.report.fact(
                "cost",
                format!("rate reached when {rate} holds per second are offered"),
                reached,
                "per second",
            );
            break;
        }
    }
    if let [first, .., last] = costs[..] {
        let name = "CPU of a hold, highest rate against lowest";
        bench
            .report
            .target(name, Bound::AtMost(GROWTH_MAX), last / first);
    }
    sale.stop(&bench.environment).await
}
