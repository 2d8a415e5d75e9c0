//! What a hold costs each process, and how that changes with the load.

use crate::bench::{Bench, PLENTY};
use crate::generator::Load;
use crate::report::Wanted;
use crate::sale::Sale;
use crate::scripts::Holds;

/// Holds a second that buyers ask for, whether they are answered or not.
const RATES: [f64; 5] = [1_000.0, 5_000.0, 10_000.0, 20_000.0, 30_000.0];
const CONNECTIONS: usize = 1024;
/// The share of a rate that has to be reached for the next to be tried.
const REACHED: f64 = 0.95;
/// How much more a hold may cost at the highest rate than at the lowest and still count as flat.
const GROWTH_MAX: f64 = 1.1;

/// Open loops, up to the first rate that isn't reached.
pub(super) async fn cost(bench: &mut Bench) -> anyhow::Result<()> {
    let sale = Sale::start(&bench.place, 1, &[]).await?;
    let mut costs = Vec::new();
    for rate in RATES {
        let product_ids = sale.products(1, PLENTY).await?;
        let load = Load::open(sale.address, CONNECTIONS, rate, bench.asked.duration);
        let row = bench
            .holds(
                OPEN_LOOP,
                &sale,
                load,
                &product_ids,
                Holds::evenly(&product_ids),
            )
            .await?;
        costs.push(row.cpu_us.served());
        if row.a_second < rate * REACHED {
            let reached = row.a_second;
            bench.report.fact(
                "cost",
                format!("reached of {rate} holds a second offered"),
                reached,
                "a second",
            );
            break;
        }
    }
    if let [first, .., last] = costs[..] {
        let what = "CPU of a hold, highest rate against lowest";
        bench
            .report
            .target(what, Wanted::AtMost(GROWTH_MAX), last / first);
    }
    sale.stop(&bench.place).await
}

/// The name of its rows.
pub(crate) const OPEN_LOOP: &str = "one hot product, open loop";
