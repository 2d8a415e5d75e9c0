//! What Holdfast is compared with, in the same harness.

use anyhow::ensure;

use crate::baseline::{Kind, Rival, counter};
use crate::bench::{Bench, PLENTY};
use crate::generator::Load;
use crate::scripts::Holds;

/// Sizes of the pool of connections to Postgres; the best counts.
const POOLS: [u32; 2] = [10, 50];

/// `SELECT … FOR UPDATE`.
pub(super) async fn row_lock(bench: &mut Bench) -> anyhow::Result<()> {
    in_both_pools(bench, Kind::RowLock, "row lock").await
}

/// One conditional `UPDATE`.
pub(super) async fn conditional(bench: &mut Bench) -> anyhow::Result<()> {
    in_both_pools(bench, Kind::Conditional, "conditional update").await
}

/// A counter in Redis, where there is a redis-server.
pub(super) async fn redis(bench: &mut Bench) -> anyhow::Result<()> {
    let Some(program) = counter::program() else {
        bench
            .report
            .skipped
            .push("redis: no redis-server on the PATH".to_owned());
        return Ok(());
    };
    let (process, url) = counter::start(&bench.place, program).await?;
    let rival = Rival::start(
        &bench.place,
        Kind::Redis,
        POOLS[0],
        &[("REDIS_URL", &url)],
        process.pid(),
    )
    .await?;
    measure(bench, &rival, "counter in Redis (not durable)").await?;
    rival.stop(&bench.place).await?;
    process.stop().await
}

async fn in_both_pools(bench: &mut Bench, kind: Kind, name: &str) -> anyhow::Result<()> {
    for pool in POOLS {
        let rival = Rival::start(&bench.place, kind, pool, &[], None).await?;
        measure(bench, &rival, &format!("{name}, pool of {pool}")).await?;
        rival.stop(&bench.place).await?;
    }
    Ok(())
}

async fn measure(bench: &mut Bench, rival: &Rival, name: &str) -> anyhow::Result<()> {
    for connections in bench.asked.connections.clone() {
        let product_id = rival.product(PLENTY).await?;
        let bare = bench.bare(rival.address, connections).await?;
        let load = Load::closed(rival.address, connections, bench.asked.duration);
        let found = bench
            .drive(name, rival.pids(), load, Holds::evenly(&[product_id]))
            .await?;
        ensure!(
            found.script.accepted > 0,
            "no hold was accepted; answers: {:?}",
            found.measured.statuses()
        );
        rival
            .audit(product_id, found.script.accepted, found.measured.failed)
            .await?;
        bench.push(found.row, Some(bare));
    }
    Ok(())
}
