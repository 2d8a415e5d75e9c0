//! A simulated power cut of the whole machine.
//!
//! Postgres and NATS keep their data on a separate disk image. While clients buy, every process is frozen, the image is
//! copied, and all processes are killed. Then everything starts on the copy. The file system and both servers recover as
//! after a power cut, and the auditor compares the tables with the clients' replies. In each round two files prove the
//! method: the synced file exists, and the file that was not synced is missing or empty.
//!
//! The check does not cover disks that lose data after they have confirmed a sync.

pub mod disk;

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::disk::Disk;
use crate::CLIENTS;
use crate::Options;
use crate::clients::{Client, Market};
use crate::cluster::{Cluster, ClusterOptions};
use crate::create_products;
use crate::history::History;
use crate::judge;
use crate::known_ids::KnownIds;
use crate::report::Report;
use crate::rest;
use crate::wait_for_workers;

/// The shortest and the longest time until the power cut, in milliseconds.
const CUT_AFTER_MS: (u64, u64) = (4000, 9000);
const SYNCED: &str = "synced";
const UNSYNCED: &str = "unsynced";

/// Runs one round; returns its report. In a control round Postgres does not sync, so there must be a finding.
///
/// # Errors
/// When the round itself fails, or the copy has data that was not synced.
pub async fn round(options: &Options, is_control: bool) -> anyhow::Result<Report> {
    let directory = std::env::temp_dir().join(format!(
        "holdfast-power-{}-{}",
        std::process::id(),
        options.seed
    ));
    std::fs::create_dir_all(&directory)?;
    let mut report = Report {
        seed: options.seed,
        ..Report::default()
    };
    let disk = Disk::make(directory.join("disk.img"), directory.join("disk"))?;
    let setup = |disk: &Disk, logs, refunds| ClusterOptions {
        directory: directory.join(logs),
        data: disk.mount().join("stack"),
        seed: options.seed,
        programs: options.programs.clone(),
        refunds,
    };
    let cluster = Arc::new(Cluster::start(setup(&disk, "logs", None)).await?);
    wait_for_workers(&cluster).await?;
    let products = create_products(&cluster).await?;
    // `initdb` does not sync the files that it creates.
    disk.sync()?;
    if is_control {
        disable_sync(&cluster).await?;
    }
    let market = Market {
        cluster,
        history: History::default(),
        known_ids: KnownIds::default(),
        products: products.iter().map(|(id, _)| *id).collect(),
    };
    let begin = Instant::now();
    let copy = directory.join("copy.img");
    let market = trade_until_cut(market, options.seed, &disk, &copy, &mut report).await?;
    let cut = Instant::now();
    let Market {
        cluster,
        history,
        known_ids,
        products: on_sale,
    } = market;
    let refunds = Arc::into_inner(cluster)
        .context("the cluster is still in use")?
        .stop()
        .await?;
    drop(disk);

    let disk = Disk::attach(copy, directory.join("copy"))?;
    check_copy(disk.mount())?;
    let cluster = match Cluster::start(setup(&disk, "logs-after", Some(refunds))).await {
        Ok(cluster) => Arc::new(cluster),
        Err(error) => {
            report
                .findings
                .push(format!("the cluster does not start again: {error:#}"));
            return Ok(report);
        }
    };
    let market = Arc::new(Market {
        cluster,
        history,
        known_ids,
        products: on_sale,
    });
    let pending = rest::wait_for_rest(&market, options.rest)
        .await
        .unwrap_or_else(|error| vec![format!("{error:#}")]);
    report.to_rest = cut.elapsed();
    judge(&market, &products, pending, &mut report).await?;
    report.count(&market.history.exchanges(), begin, cut);
    let market = Arc::into_inner(market).context("the market is still in use")?;
    Arc::into_inner(market.cluster)
        .context("the cluster is still in use")?
        .stop()
        .await?;
    drop(disk);
    if report.findings.is_empty() || is_control {
        std::fs::remove_dir_all(&directory)?;
    } else {
        report
            .findings
            .push(format!("logs and disks are in {}", directory.display()));
    }
    Ok(report)
}

/// Turns off syncs in Postgres: commits are confirmed before they are on disk.
async fn disable_sync(cluster: &Cluster) -> anyhow::Result<()> {
    let pool = cluster.pool().await?;
    sqlx::query("ALTER SYSTEM SET fsync = off")
        .execute(&pool)
        .await?;
    sqlx::query("SELECT pg_reload_conf()")
        .execute(&pool)
        .await?;
    pool.close().await;
    Ok(())
}

/// Lets clients buy, freezes every process after a random time, copies the disk and kills all. The sleep is that time.
async fn trade_until_cut(
    market: Market,
    seed: u64,
    disk: &Disk,
    copy: &Path,
    report: &mut Report,
) -> anyhow::Result<Market> {
    let market = Arc::new(market);
    let (stop, mut clients) = (CancellationToken::new(), JoinSet::new());
    for number in 0..CLIENTS {
        clients.spawn(Client::new(Arc::clone(&market), seed, number).run(stop.clone()));
    }
    let until_cut = StdRng::seed_from_u64(seed).random_range(CUT_AFTER_MS.0..=CUT_AFTER_MS.1);
    tokio::time::sleep(Duration::from_millis(until_cut)).await;
    let mut synced = File::create(disk.mount().join(SYNCED))?;
    synced.write_all(SYNCED.as_bytes())?;
    synced.sync_all()?;
    std::fs::write(disk.mount().join(UNSYNCED), UNSYNCED)?;
    let frozen = market.cluster.freeze().await?;
    disk.copy(copy)?;
    // Clients get no reply to their open requests.
    stop.cancel();
    market.cluster.kill(&frozen).await?;
    report.operations = clients.join_all().await.into_iter().sum();
    Arc::into_inner(market).context("the market is still in use")
}

/// Checks that the copy has the synced file and not the other.
fn check_copy(mount: &Path) -> anyhow::Result<()> {
    let synced =
        std::fs::read_to_string(mount.join(SYNCED)).context("the synced file is missing")?;
    ensure!(synced == SYNCED, "the synced file is not complete");
    let unsynced = std::fs::read(mount.join(UNSYNCED)).unwrap_or_default();
    ensure!(
        unsynced.is_empty(),
        "the copy has a file that was not synced, so it does not show a power cut"
    );
    Ok(())
}
