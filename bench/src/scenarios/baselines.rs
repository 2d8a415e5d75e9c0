//! Measures the simpler designs that Holdfast is compared with.

use anyhow::ensure;

use crate::baseline::{BaselineKind, BaselineProcess, counter};
use crate::bench::{Bench, PLENTY};
use crate::generator::Load;
use crate::scripts::Holds;

/// Sizes of the pool of connections to Postgres. Holdfast is compared with the faster one.
const POOLS: [u32; 2] = [10, 50];

pub(super) async fn row_lock(bench: &mut Bench) -> anyhow::Result<()> {
    in_both_pools(bench, BaselineKind::RowLock, "row lock").await
}

pub(super) async fn conditional(bench: &mut Bench) -> anyhow::Result<()> {
    in_both_pools(bench, BaselineKind::Conditional, "conditional update").await
}

/// Skipped when redis-server is not installed.
pub(super) async fn redis(bench: &mut Bench) -> anyhow::Result<()> {
    let Some(program) = counter::program() else {
        bench
            .report
            .skipped
            .push("redis: no redis-server on the PATH".to_owned());
        return Ok(());
    };
    let (process, url) = counter::start(&bench.environment, program).await?;
    let baseline = BaselineProcess::start(
        &bench.environment,
        BaselineKind::Redis,
        POOLS[0],
        &[("REDIS_URL", &url)],
        process.pid(),
    )
    .await?;
    measure(bench, &baseline, "counter in Redis (not durable)").await?;
    baseline.stop(&bench.environment).await?;
    process.stop().await
}

async fn in_both_pools(bench: &mut Bench, kind: BaselineKind, name: &str) -> anyhow::Result<()> {
    for pool in POOLS {
        let baseline = BaselineProcess::start(&bench.environment, kind, pool, &[], None).await?;
        measure(bench, &baseline, &format!("{name}, pool of {pool}")).await?;
        baseline.stop(&bench.environment).await?;
    }
    Ok(())
}

async fn measure(bench: &mut Bench, baseline: &BaselineProcess, name: &str) -> anyhow::Result<()> {
    for connections in bench.options.connections.clone() {
        let product_id = baseline.create_product(PLENTY).await?;
        let bare = bench.measure_bare(baseline.address, connections).await?;
        let load = Load::closed(baseline.address, connections, bench.options.duration);
        let measurement = bench
            .drive(name, baseline.pids(), load, Holds::evenly(&[product_id]))
            .await?;
        ensure!(
            measurement.script.accepted > 0,
            "no hold was accepted; number of responses by status: {:?}",
            measurement.result.statuses()
        );
        baseline
            .audit(
                product_id,
                measurement.script.accepted,
                measurement.result.failed,
            )
            .await?;
        bench.push(measurement.row, Some(bare));
    }
    Ok(())
}
