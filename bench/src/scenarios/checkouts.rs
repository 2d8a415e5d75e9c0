//! Measures checkouts: a hold, its order, and the signed webhook that pays it.

use anyhow::ensure;

use crate::bench::{Bench, PLENTY};
use crate::generator::Load;
use crate::report::Bound;
use crate::sale::Sale;
use crate::scripts::Checkouts;

/// A round is the three requests of a checkout, one after another.
pub(super) async fn checkouts(bench: &mut Bench) -> anyhow::Result<()> {
    let sale = Sale::start(&bench.environment, 1, &[]).await?;
    for connections in bench.options.connections.clone() {
        let product_ids = sale.create_products(1, PLENTY).await?;
        let bare = bench.measure_bare(sale.address, connections).await?;
        let load = Load::closed(sale.address, connections, bench.options.duration);
        let script = Checkouts::new(product_ids[0], connections)?;
        let measurement = bench.drive("checkouts", sale.pids(), load, script).await?;
        let unknown = measurement.result.failed;
        sale.audit(&product_ids, 0, measurement.script.accepted, unknown)
            .await?;
        audit_payments(&sale, product_ids[0], measurement.script.paid, unknown).await?;
        let row = bench.push(measurement.row, Some(bare));
        if connections == 256 {
            let of_bare = row.of_bare.unwrap_or_default();
            bench.report.target(
                "checkouts, 256 connections: of bare",
                Bound::AtLeast(0.08),
                of_bare,
            );
        }
    }
    sale.stop(&bench.environment).await
}

/// Checks that each webhook with response 200 has paid its order.
async fn audit_payments(
    sale: &Sale,
    product_id: i64,
    paid: u64,
    unknown: u64,
) -> anyhow::Result<()> {
    let rows = "SELECT count(*) FROM orders o JOIN payments p USING (slot, order_id)
        WHERE o.product_id = $1 AND o.status = 'paid' AND p.state = 'applied' AND o.payment_id = p.payment_id";
    let rows: i64 = sqlx::query_scalar(rows)
        .bind(product_id)
        .fetch_one(&sale.pool)
        .await?;
    let rows = rows.cast_unsigned();
    ensure!(
        rows >= paid && rows <= paid + unknown,
        "{rows} orders are paid; {paid} payments were accepted, and {unknown} requests had no response"
    );
    Ok(())
}
