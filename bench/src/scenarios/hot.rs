//! Measures one hot product: holds, refusals when it is sold out, and reads during a sale.

use crate::bench::{Bench, PLENTY};
use crate::generator::Load;
use crate::report::{Bound, HOT_PRODUCT};
use crate::sale::Sale;
use crate::scripts::{FixedRequest, Holds};

/// Holds per second that buyers request while others read the product.
const WRITES_PER_SECOND: f64 = 1000.0;
const WRITERS: usize = 64;

/// The empty handler, which no other handler can exceed.
pub(super) async fn bare(bench: &mut Bench) -> anyhow::Result<()> {
    let sale = Sale::start(&bench.environment, 1, &[]).await?;
    for connections in bench.options.connections.clone() {
        let load = Load::closed(sale.address, connections, bench.options.duration);
        let measurement = bench
            .drive("bare HTTP", sale.pids(), load, FixedRequest::bare())
            .await?;
        let bare = measurement.row.a_second;
        bench.push(measurement.row, Some(bare));
    }
    sale.stop(&bench.environment).await
}

pub(super) async fn holds(bench: &mut Bench) -> anyhow::Result<()> {
    let sale = Sale::start(&bench.environment, 1, &[]).await?;
    for connections in bench.options.connections.clone() {
        let product_ids = sale.create_products(1, PLENTY).await?;
        let load = Load::closed(sale.address, connections, bench.options.duration);
        let row = bench
            .measure_holds(
                HOT_PRODUCT,
                &sale,
                load,
                &product_ids,
                Holds::evenly(&product_ids),
            )
            .await?;
        let (of_bare, latency) = (row.of_bare.unwrap_or_default(), row.latency_ms);
        match connections {
            1 => bench.report.target(
                "a hold, 1 connection: p50 ms",
                Bound::AtMost(3.0),
                latency.p50,
            ),
            256 => {
                bench.report.target(
                    "holds, 256 connections: of bare",
                    Bound::AtLeast(0.35),
                    of_bare,
                );
                let spread = latency.p99 / latency.p50;
                bench.report.target(
                    "holds, 256 connections: p99 / p50",
                    Bound::AtMost(4.0),
                    spread,
                );
            }
            1024 => bench.report.target(
                "holds, 1,024 connections: of bare",
                Bound::AtLeast(0.45),
                of_bare,
            ),
            _ => {}
        }
    }
    sale.stop(&bench.environment).await
}

/// Requests holds of a product without stock.
pub(super) async fn sold_out(bench: &mut Bench) -> anyhow::Result<()> {
    let sale = Sale::start(&bench.environment, 1, &[]).await?;
    for connections in bench.options.connections.clone() {
        let product_ids = sale.create_products(1, 0).await?;
        let bare = bench.measure_bare(sale.address, connections).await?;
        let load = Load::closed(sale.address, connections, bench.options.duration);
        let measurement = bench
            .drive(
                "sold out",
                sale.pids(),
                load,
                FixedRequest::sold_out(product_ids[0]),
            )
            .await?;
        sale.audit(&product_ids, 0, 0, measurement.result.failed)
            .await?;
        let row = bench.push(measurement.row, Some(bare));
        if connections == 256 {
            let of_bare = row.of_bare.unwrap_or_default();
            bench.report.target(
                "sold out, 256 connections: of bare",
                Bound::AtLeast(0.8),
                of_bare,
            );
        }
    }
    sale.stop(&bench.environment).await
}

/// Reads a product, first without buyers, then while buyers request holds at a steady rate.
pub(super) async fn reads(bench: &mut Bench) -> anyhow::Result<()> {
    let sale = Sale::start(&bench.environment, 1, &[]).await?;
    for connections in bench.options.connections.clone() {
        let product_ids = sale.create_products(1, PLENTY).await?;
        let bare = bench.measure_bare(sale.address, connections).await?;
        let read = Load::closed(sale.address, connections, bench.options.duration);
        let measurement = bench
            .drive(
                "reads, without buyers",
                sale.pids(),
                read,
                FixedRequest::read(product_ids[0]),
            )
            .await?;
        bench.push(measurement.row, Some(bare));

        let write = Load::open(
            sale.address,
            WRITERS,
            WRITES_PER_SECOND,
            bench.options.duration,
        );
        let name = format!("reads, {WRITES_PER_SECOND} holds/s");
        let (reads, writes) = tokio::join!(
            bench.drive(&name, sale.pids(), read, FixedRequest::read(product_ids[0])),
            bench.drive(
                "holds beside reads",
                sale.pids(),
                write,
                Holds::evenly(&product_ids)
            ),
        );
        let (reads, writes) = (reads?, writes?);
        sale.audit(
            &product_ids,
            0,
            writes.script.accepted,
            writes.result.failed,
        )
        .await?;
        let row = bench.push(reads.row, Some(bare));
        bench.push(writes.row, None);
        if connections == 256 {
            let of_bare = row.of_bare.unwrap_or_default();
            bench.report.target(
                "reads during a sale, 256 connections: of bare",
                Bound::AtLeast(0.8),
                of_bare,
            );
        }
    }
    sale.stop(&bench.environment).await
}
