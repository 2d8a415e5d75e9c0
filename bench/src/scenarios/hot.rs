//! One hot product: with stock, without, and looked at while it is bought.

use crate::bench::{Bench, PLENTY};
use crate::generator::Load;
use crate::report::Wanted;
use crate::sale::Sale;
use crate::scripts::{Fixed, Holds};

/// The figure that the others are compared with.
pub(crate) const HOLDS: &str = "one hot product";
/// Holds a second that others make while a product's page is read.
const WRITES_A_SECOND: f64 = 1000.0;
const WRITERS: usize = 64;

/// The ceiling.
pub(super) async fn bare(bench: &mut Bench) -> anyhow::Result<()> {
    let sale = Sale::start(&bench.place, 1, &[]).await?;
    for connections in bench.asked.connections.clone() {
        let load = Load::closed(sale.address, connections, bench.asked.duration);
        let found = bench
            .drive("bare HTTP", sale.pids(), load, Fixed::bare())
            .await?;
        let bare = found.row.a_second;
        bench.push(found.row, Some(bare));
    }
    sale.stop(&bench.place).await
}

/// Holds, stock enough.
pub(super) async fn holds(bench: &mut Bench) -> anyhow::Result<()> {
    let sale = Sale::start(&bench.place, 1, &[]).await?;
    for connections in bench.asked.connections.clone() {
        let product_ids = sale.products(1, PLENTY).await?;
        let load = Load::closed(sale.address, connections, bench.asked.duration);
        let row = bench
            .holds(
                HOLDS,
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
                Wanted::AtMost(3.0),
                latency.p50,
            ),
            256 => {
                bench.report.target(
                    "holds, 256 connections: of bare",
                    Wanted::AtLeast(0.35),
                    of_bare,
                );
                let spread = latency.p99 / latency.p50;
                bench.report.target(
                    "holds, 256 connections: p99 / p50",
                    Wanted::AtMost(4.0),
                    spread,
                );
            }
            1024 => bench.report.target(
                "holds, 1,024 connections: of bare",
                Wanted::AtLeast(0.45),
                of_bare,
            ),
            _ => {}
        }
    }
    sale.stop(&bench.place).await
}

/// Holds of a product that has nothing left.
pub(super) async fn sold_out(bench: &mut Bench) -> anyhow::Result<()> {
    let sale = Sale::start(&bench.place, 1, &[]).await?;
    for connections in bench.asked.connections.clone() {
        let product_ids = sale.products(1, 0).await?;
        let bare = bench.bare(sale.address, connections).await?;
        let load = Load::closed(sale.address, connections, bench.asked.duration);
        let found = bench
            .drive(
                "sold out",
                sale.pids(),
                load,
                Fixed::sold_out(product_ids[0]),
            )
            .await?;
        sale.audit(&product_ids, 0, 0, found.measured.failed)
            .await?;
        let row = bench.push(found.row, Some(bare));
        if connections == 256 {
            let of_bare = row.of_bare.unwrap_or_default();
            bench.report.target(
                "sold out, 256 connections: of bare",
                Wanted::AtLeast(0.8),
                of_bare,
            );
        }
    }
    sale.stop(&bench.place).await
}

/// A product's page. Readers take what the machine has left: while the product is bought, buyers come at a steady rate.
pub(super) async fn reads(bench: &mut Bench) -> anyhow::Result<()> {
    let sale = Sale::start(&bench.place, 1, &[]).await?;
    for connections in bench.asked.connections.clone() {
        let product_ids = sale.products(1, PLENTY).await?;
        let bare = bench.bare(sale.address, connections).await?;
        let read = Load::closed(sale.address, connections, bench.asked.duration);
        let found = bench
            .drive(
                "reads, nobody buys",
                sale.pids(),
                read,
                Fixed::read(product_ids[0]),
            )
            .await?;
        bench.push(found.row, Some(bare));

        let write = Load::open(sale.address, WRITERS, WRITES_A_SECOND, bench.asked.duration);
        let name = format!("reads, {WRITES_A_SECOND} holds/s");
        let (reads, writes) = tokio::join!(
            bench.drive(&name, sale.pids(), read, Fixed::read(product_ids[0])),
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
            writes.measured.failed,
        )
        .await?;
        let row = bench.push(reads.row, Some(bare));
        bench.push(writes.row, None);
        if connections == 256 {
            let of_bare = row.of_bare.unwrap_or_default();
            bench.report.target(
                "reads during a sale, 256 connections: of bare",
                Wanted::AtLeast(0.8),
                of_bare,
            );
        }
    }
    sale.stop(&bench.place).await
}
