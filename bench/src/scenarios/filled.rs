//! A sale that has been going for long: a million holds in the tables, and memory watched over time.

use std::time::Duration;

use holdfast_common::id::ProductId;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::bench::{Bench, PLENTY};
use crate::generator::Load;
use crate::report::{Series, Wanted};
use crate::sale::Sale;
use crate::scripts::Holds;
use crate::usage::resident_mib;

const PRODUCTS: i64 = 1000;
const HOLDS_EACH: i64 = 1000;
const CONNECTIONS: usize = 256;
/// Connections while memory is watched, and what they ask for: a sale that is busy and not at its limit.
const MANY_CONNECTIONS: usize = 10_000;
const HOLDS_A_SECOND: f64 = 2000.0;
/// How much the last quarter may have above the second and still count as flat.
const GROWTH_MAX: f64 = 1.05;
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// One hot product on empty tables, and on tables with a million active holds, 1,000 of them of that product.
pub(super) async fn million(bench: &mut Bench) -> anyhow::Result<()> {
    let empty = Sale::start(&bench.place, 1, &[]).await?;
    let ids = empty.products(1, PLENTY).await?;
    let load = Load::closed(empty.address, CONNECTIONS, bench.asked.duration);
    let before = bench
        .holds("empty tables", &empty, load, &ids, Holds::evenly(&ids))
        .await?;
    empty.stop(&bench.place).await?;

    let (sale, ids) = filled(bench).await?;
    let load = Load::closed(sale.address, CONNECTIONS, bench.asked.duration);
    let hot = &ids[..1];
    let after = bench
        .holds(
            "1 M holds in the tables",
            &sale,
            load,
            hot,
            Holds::evenly(hot),
        )
        .await?;
    let ratio = after.a_second / before.a_second;
    bench.report.target(
        "1 M holds in the tables: of empty tables",
        Wanted::Between(0.9, 1.1),
        ratio,
    );
    bench
        .holds(
            "1 M holds, 1,000 products",
            &sale,
            load,
            &ids,
            Holds::evenly(&ids),
        )
        .await?;
    sale.stop(&bench.place).await
}

/// The memory of ingress and worker, with 10,000 connections, 1,000 products and a million holds.
pub(super) async fn memory(bench: &mut Bench) -> anyhow::Result<()> {
    let (sale, ids) = filled(bench).await?;
    let load = Load::open(
        sale.address,
        MANY_CONNECTIONS,
        HOLDS_A_SECOND,
        bench.asked.memory,
    );
    let pids = sale.pids().clone();
    let mut ingress = Series {
        name: "ingress".to_owned(),
        points: Vec::new(),
    };
    let mut worker = Series {
        name: "worker".to_owned(),
        points: Vec::new(),
    };
    let began = Instant::now();
    let mut every = interval(SAMPLE_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Skip);
    {
        let held = bench.holds(
            "10,000 connections, 2,000 holds/s",
            &sale,
            load,
            &ids,
            Holds::evenly(&ids),
        );
        let mut held = std::pin::pin!(held);
        loop {
            tokio::select! {
                held = &mut held => { held?; break }
                _ = every.tick() => {
                    let seconds = began.elapsed().as_secs_f64();
                    ingress.points.push((seconds, resident_mib(&pids.ingress)?));
                    worker.points.push((seconds, resident_mib(&pids.workers)?));
                }
            }
        }
    }
    for (series, most) in [(ingress, 256.0), (worker, 128.0)] {
        let name = &series.name;
        let highest = series
            .points
            .iter()
            .map(|(_, mib)| *mib)
            .fold(0.0, f64::max);
        bench.report.target(
            format!("memory, {name}: the most, MiB"),
            Wanted::AtMost(most),
            highest,
        );
        let growth = growth(&series.points);
        bench.report.target(
            format!("memory, {name}: last quarter against second"),
            Wanted::AtMost(GROWTH_MAX),
            growth,
        );
        bench.report.memory.push(series);
    }
    sale.stop(&bench.place).await
}

/// The mean of the last quarter by that of the second: the first fills caches.
fn growth(points: &[(f64, f64)]) -> f64 {
    let quarter = points.len() / 4;
    let mean = |points: &[(f64, f64)]| {
        points.iter().map(|(_, mib)| mib).sum::<f64>() / points.len().max(1) as f64
    };
    mean(&points[points.len() - quarter..]) / mean(&points[quarter..2 * quarter])
}

/// Makes such a sale, by SQL, before anybody serves it.
async fn filled(bench: &Bench) -> anyhow::Result<(Sale, Vec<i64>)> {
    let mut sale = Sale::prepare(&bench.place, &[]).await?;
    let drawn = "SELECT nextval('product_ids') FROM generate_series(1, $1)";
    let ids: Vec<i64> = sqlx::query_scalar(drawn)
        .bind(PRODUCTS)
        .fetch_all(&sale.pool)
        .await?;
    let slots: Vec<i16> = ids
        .iter()
        .map(|id| ProductId(*id).slot().as_i16())
        .collect();
    let products = "
        INSERT INTO products (slot, product_id, name, price_minor, currency, total_stock, available_stock, held_stock,
                              sold_stock, holds_count, hold_sequence, version, updated_at)
        SELECT slot, product_id, 'Lamp', 9999, 'USD', $3, $3 - $4, $4, 0, $4, $4, 1, now()
        FROM UNNEST($1::smallint[], $2::bigint[]) p(slot, product_id)";
    sqlx::query(products)
        .bind(&slots)
        .bind(&ids)
        .bind(PLENTY.cast_signed() / PRODUCTS)
        .bind(HOLDS_EACH)
        .execute(&sale.pool)
        .await?;
    // Ids as Holdfast makes them: milliseconds, version 8, slot, variant, random bits.
    let holds = "
        INSERT INTO holds (slot, hold_id, product_id, quantity, price_minor, currency, status, sequence, created_at, expires_at)
        SELECT slot,
               (millis || '8' || lpad(to_hex(slot::integer), 3, '0') || '8' || substr(md5(product_id || '-' || n), 1, 15))::uuid,
               product_id, 1, 9999, 'USD', 'active', n, now(), now() + interval '2 hours'
        FROM UNNEST($1::smallint[], $2::bigint[]) p(slot, product_id), generate_series(1, $3) n,
             (SELECT lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint), 12, '0') AS millis) m";
    sqlx::query(holds)
        .bind(&slots)
        .bind(&ids)
        .bind(HOLDS_EACH)
        .execute(&sale.pool)
        .await?;
    // What autovacuum would have done long ago in a sale of that age.
    for statement in ["VACUUM ANALYZE", "CHECKPOINT"] {
        sqlx::raw_sql(statement).execute(&sale.pool).await?;
    }
    sale.start_programs(1).await?;
    Ok((sale, ids))
}
