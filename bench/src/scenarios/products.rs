//! Measures many products, and many workers that share them.

use crate::bench::{Bench, PLENTY};
use crate::generator::Load;
use crate::report::Bound;
use crate::sale::Sale;
use crate::scripts::Holds;

const PRODUCTS: u64 = 1000;
const CONNECTIONS: [usize; 2] = [256, 1024];
/// Numbers of worker processes that share 16 partitions.
const WORKERS: [usize; 4] = [1, 2, 4, 8];

/// Measures 1,000 products, chosen evenly and by Zipf, and for comparison one product of the same sale.
pub(super) async fn products(bench: &mut Bench) -> anyhow::Result<()> {
    let sale = Sale::start(&bench.environment, 1, &[]).await?;
    let ids = sale.create_products(PRODUCTS, PLENTY / PRODUCTS).await?;
    let one = sale.create_products(1, PLENTY).await?;
    for connections in CONNECTIONS {
        let load = Load::closed(sale.address, connections, bench.options.duration);
        let hot = bench
            .measure_holds(
                "one product beside 1,000",
                &sale,
                load,
                &one,
                Holds::evenly(&one),
            )
            .await?;
        let evenly = bench
            .measure_holds(
                "1,000 products, evenly",
                &sale,
                load,
                &ids,
                Holds::evenly(&ids),
            )
            .await?;
        let zipf = bench
            .measure_holds(
                "1,000 products, Zipf 1.0",
                &sale,
                load,
                &ids,
                Holds::by_zipf(&ids)?,
            )
            .await?;
        for (choice, row) in [("evenly", evenly), ("Zipf 1.0", zipf)] {
            let name =
                format!("1,000 products, {choice}, {connections} connections: of one hot product");
            bench
                .report
                .target(name, Bound::AtLeast(0.85), row.a_second / hot.a_second);
        }
    }
    sale.stop(&bench.environment).await
}

/// Measures 1,000 products with each number of worker processes.
pub(super) async fn workers(bench: &mut Bench) -> anyhow::Result<()> {
    for workers in WORKERS {
        let sale = Sale::start(&bench.environment, workers, &[]).await?;
        let ids = sale.create_products(PRODUCTS, PLENTY / PRODUCTS).await?;
        let load = Load::closed(sale.address, CONNECTIONS[0], bench.options.duration);
        let name = format!("1,000 products, workers: {workers}");
        bench
            .measure_holds(&name, &sale, load, &ids, Holds::evenly(&ids))
            .await?;
        sale.stop(&bench.environment).await?;
    }
    Ok(())
}
