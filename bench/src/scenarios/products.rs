//! Many products, and many workers to share them.

use crate::bench::{Bench, PLENTY};
use crate::generator::Load;
use crate::report::Wanted;
use crate::sale::Sale;
use crate::scripts::Holds;

const PRODUCTS: u64 = 1000;
/// As for one hot product: some, and many.
const CONNECTIONS: [usize; 2] = [256, 1024];
/// Worker processes that share 16 partitions.
const WORKERS: [usize; 4] = [1, 2, 4, 8];

/// 1,000 products, evenly and by Zipf, and one on the same sale to compare them with.
pub(super) async fn products(bench: &mut Bench) -> anyhow::Result<()> {
    let sale = Sale::start(&bench.place, 1, &[]).await?;
    let ids = sale.products(PRODUCTS, PLENTY / PRODUCTS).await?;
    let one = sale.products(1, PLENTY).await?;
    for connections in CONNECTIONS {
        let load = Load::closed(sale.address, connections, bench.asked.duration);
        let hot = bench
            .holds(
                "one product beside 1,000",
                &sale,
                load,
                &one,
                Holds::evenly(&one),
            )
            .await?;
        let evenly = bench
            .holds(
                "1,000 products, evenly",
                &sale,
                load,
                &ids,
                Holds::evenly(&ids),
            )
            .await?;
        let zipf = bench
            .holds(
                "1,000 products, Zipf 1.0",
                &sale,
                load,
                &ids,
                Holds::by_zipf(&ids)?,
            )
            .await?;
        for (how, row) in [("evenly", evenly), ("Zipf 1.0", zipf)] {
            let what =
                format!("1,000 products, {how}, {connections} connections: of one hot product");
            bench
                .report
                .target(what, Wanted::AtLeast(0.85), row.a_second / hot.a_second);
        }
    }
    sale.stop(&bench.place).await
}

/// 1,000 products, and more and more worker processes.
pub(super) async fn workers(bench: &mut Bench) -> anyhow::Result<()> {
    for workers in WORKERS {
        let sale = Sale::start(&bench.place, workers, &[]).await?;
        let ids = sale.products(PRODUCTS, PLENTY / PRODUCTS).await?;
        let load = Load::closed(sale.address, CONNECTIONS[0], bench.asked.duration);
        let name = format!("1,000 products, workers: {workers}");
        bench
            .holds(&name, &sale, load, &ids, Holds::evenly(&ids))
            .await?;
        sale.stop(&bench.place).await?;
    }
    Ok(())
}
