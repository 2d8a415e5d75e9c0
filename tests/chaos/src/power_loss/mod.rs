//! A power cut of the whole machine, as far as one machine can show it.
//!
//! Postgres and NATS keep their data on a disk of their own. While clients buy, every process is stopped where it is, the
//! disk is copied as it is that moment, and all are killed. Then everything starts on the copy, where the file system and
//! both servers recover as after a power cut, and the auditor compares it with what clients were told. In each round two
//! files prove the method: one that was synced is there, one that was not is missing or empty.
//!
//! Not shown is a disk that forgets what it has said to be written.

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
use crate::cluster::{Cluster, Setup};
use crate::create_products;
use crate::every_partition_has_a_worker;
use crate::judge;
use crate::record::Journal;
use crate::report::Report;
use crate::rest;
use crate::shelf::Shelf;

/// The shortest and the longest time until the power fails, in milliseconds.
const CUT_AFTER_MS: (u64, u64) = (4000, 9000);
const SYNCED: &str = "synced";
const UNSYNCED: &str = "unsynced";

/// One round, and what the auditor found. As a control Postgres is told not to sync; then there has to be a finding.
///
/// # Errors
/// When the round itself fails, or the disk shows what it should have lost.
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
    let setup = |disk: &Disk, logs, refunds| Setup {
        directory: directory.join(logs),
        data: disk.mount().join("stack"),
        seed: options.seed,
        programs: options.programs.clone(),
        refunds,
    };
    let cluster = Arc::new(Cluster::start(setup(&disk, "logs", None)).await?);
    every_partition_has_a_worker(&cluster).await?;
    let products = create_products(&cluster).await?;
    // Postgres does not sync what it makes at its very first start.
    disk.sync()?;
    if is_control {
        do_not_sync(&cluster).await?;
    }
    let market = Market {
        cluster,
        journal: Journal::default(),
        shelf: Shelf::default(),
        products: products.iter().map(|(id, _)| *id).collect(),
    };
    let begin = Instant::now();
    let copy = directory.join("copy.img");
    let market = trade_until_cut(market, options.seed, &disk, &copy, &mut report).await?;
    let cut = Instant::now();
    let Market {
        cluster,
        journal,
        shelf,
        products: on_sale,
    } = market;
    let refunds = Arc::into_inner(cluster)
        .context("the cluster is still in use")?
        .stop()
        .await?;
    drop(disk);

    let disk = Disk::attach(copy, directory.join("copy"))?;
    prove(disk.mount())?;
    let cluster = match Cluster::start(setup(&disk, "logs-after", Some(refunds))).await {
        Ok(cluster) => Arc::new(cluster),
        Err(error) => {
            report
                .findings
                .push(format!("it does not start again: {error:#}"));
            return Ok(report);
        }
    };
    let market = Arc::new(Market {
        cluster,
        journal,
        shelf,
        products: on_sale,
    });
    let restless = rest::come_to_rest(&market, options.rest)
        .await
        .unwrap_or_else(|error| vec![format!("{error:#}")]);
    report.to_rest = cut.elapsed();
    judge(&market, &products, restless, &mut report).await?;
    report.count(&market.journal.exchanges(), begin, cut);
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

/// The control: commits are told before they are synced.
async fn do_not_sync(cluster: &Cluster) -> anyhow::Result<()> {
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

/// Clients buy until every process is stopped and the disk is copied; then all are killed.
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
    // What clients are waiting for they will not be told.
    stop.cancel();
    market.cluster.kill(&frozen).await?;
    report.operations = clients.join_all().await.into_iter().sum();
    Arc::into_inner(market).context("the market is still in use")
}

/// The copy has what was synced and not what was not.
fn prove(mount: &Path) -> anyhow::Result<()> {
    let synced = std::fs::read_to_string(mount.join(SYNCED)).context("a synced file")?;
    ensure!(synced == SYNCED, "a synced file is not whole");
    let unsynced = std::fs::read(mount.join(UNSYNCED)).unwrap_or_default();
    ensure!(
        unsynced.is_empty(),
        "a file that nobody synced is there: this shows nothing about a power cut"
    );
    Ok(())
}
