//! Complete checkouts: a hold, its order, and the signed webhook that pays it.

use anyhow::ensure;

use crate::bench::{Bench, PLENTY};
use crate::generator::Load;
use crate::report::Wanted;
use crate::sale::Sale;
use crate::scripts::Checkouts;

/// A round is three requests, one after another.
pub(super) async fn checkouts(bench: &mut Bench) -> anyhow::Result<()> {
    let sale = Sale::start(&bench.place, 1, &[]).await?;
    for connections in bench.asked.connections.clone() {
        let product_ids = sale.products(1, PLENTY).await?;
        let bare = bench.bare(sale.address, connections).await?;
        let load = Load::closed(sale.address, connections, bench.asked.duration);
        let script = Checkouts::new(product_ids[0], connections)?;
        let found = bench.drive("checkouts", sale.pids(), load, script).await?;
        let unknown = found.measured.failed;
        sale.audit(&product_ids, 0, found.script.accepted, unknown)
            .await?;
        audit_payments(&sale, product_ids[0], found.script.paid, unknown).await?;
        let row = bench.push(found.row, Some(bare));
        if connections == 256 {
            let of_bare = row.of_bare.unwrap_or_default();
            bench.report.target(
                "checkouts, 256 connections: of bare",
                Wanted::AtLeast(0.08),
                of_bare,
            );
        }
    }
    sale.stop(&bench.place).await
}

/// Every webhook that was answered `processed` is a paid order with that payment.
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
        "{paid} payments were acknowledged and {rows} orders are paid"
    );
    Ok(())
}
