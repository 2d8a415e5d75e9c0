//! Measures a sale that has run for long: with a million holds in the tables, and its memory over time.

use std::time::Duration;

use holdfast_common::id::ProductId;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::bench::{Bench, PLENTY};
use crate::generator::Load;
use crate::report::{Bound, Series};
use crate::sale::Sale;
use crate::scripts::Holds;
use crate::usage::resident_mib;

const PRODUCTS: i64 = 1000;
const HOLDS_EACH: i64 = 1000;
const CONNECTIONS: usize = 256;
/// The load of the memory scenario: a busy sale that is not at its limit.
const MANY_CONNECTIONS: usize = 10_000;
const HOLDS_PER_SECOND: f64 = 2000.0;
/// Aim for the mean memory of the last quarter of the time, as a ratio of the second quarter.
const GROWTH_MAX: f64 = 1.05;
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// Measures one hot product on empty tables, then on tables with a million active holds, 1,000 of them of that product.
pub(super) async fn million(bench: &mut Bench) -> anyhow::Result<()> {
    let empty = Sale::start(&bench.environment, 1, &[]).await?;
    let ids = empty.create_products(1, PLENTY).await?;
    let load = Load::closed(empty.address, CONNECTIONS, bench.options.duration);
    let before = bench
        .measure_holds("empty tables", &empty, load, &ids, Holds::evenly(&ids))
        .await?;
    empty.stop(&bench.environment).await?;

    let (sale, ids) = filled(bench).await?;
    let load = Load::closed(sale.address, CONNECTIONS, bench.options.duration);
    let hot = &ids[..1];
    let after = bench
        .measure_holds(
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
        Bound::Between(0.9, 1.1),
        ratio,
    );
    bench
        .measure_holds(
            "1 M holds, 1,000 products",
            &sale,
            load,
            &ids,
            Holds::evenly(&ids),
        )
        .await?;
    sale.stop(&bench.environment).await
}

/// Samples the memory of ingress and worker, with 10,000 connections, 1,000 products and a million holds.
pub(super) async fn memory(bench: &mut Bench) -> anyhow::Result<()> {
    let (sale, ids) = filled(bench).await?;
    let load = Load::open(
        sale.address,
        MANY_CONNECTIONS,
        HOLDS_PER_SECOND,
        bench.options.memory,
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
        let held = bench.measure_holds(
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
    for (series, mib_max) in [(ingress, 256.0), (worker, 128.0)] {
        let name = &series.name;
        let highest = series
            .points
            .iter()
            .map(|(_, mib)| *mib)
            .fold(0.0, f64::max);
        bench.report.target(
            format!("memory, {name}: highest, MiB"),
            Bound::AtMost(mib_max),
            highest,
        );
        let growth = growth(&series.points);
        bench.report.target(
            format!("memory, {name}: last quarter against second"),
            Bound::AtMost(GROWTH_MAX),
            growth,
        );
        bench.report.memory.push(series);
    }
    sale.stop(&bench.environment).await
}

/// The mean of the last quarter divided by the mean of the second. The first quarter is left out, because caches fill then.
fn growth(points: &[(f64, f64)]) -> f64 {
    let quarter = points.len() / 4;
    let mean = |points: &[(f64, f64)]| {
        points.iter().map(|(_, mib)| mib).sum::<f64>() / points.len().max(1) as f64
    };
    mean(&points[points.len() - quarter..]) / mean(&points[quarter..2 * quarter])
}

/// Creates the products and holds by SQL, then starts the programs.
async fn filled(bench: &Bench) -> anyhow::Result<(Sale, Vec<i64>)> {
    let mut sale = Sale::prepare(&bench.environment, &[]).await?;
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
    // The format of Holdfast's ids: milliseconds, version 8, slot, variant, random bits.
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
    // In a real sale of this age, autovacuum and checkpoints have run.
    for statement in ["VACUUM ANALYZE", "CHECKPOINT"] {
        sqlx::raw_sql(statement).execute(&sale.pool).await?;
    }
    sale.start_programs(1).await?;
    Ok((sale, ids))
}
