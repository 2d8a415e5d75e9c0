//! The chaos test: a whole deployment of real programs, random operations by many clients, random faults, and an auditor
//! that compares the clients' replies with the tables.
//!
//! The order of a run:
//! 1. [`cluster`] starts the programs, each behind its own [`proxy`]s.
//! 2. [`clients`] run [`operations`] and record them in the [`history`], while [`faults`] are injected and healed.
//! 3. [`rest`] waits until no work is pending.
//! 4. The [`auditor`] compares the history with the tables and the log.
//! 5. [`report`] summarizes the run.
//!
//! All random choices are drawn from one seed. Threads and processes add their own timing, so a seed repeats the kind of a
//! run, not the exact run.
//!
//! No verdict depends on a time, except for deadlines that are many times longer than needed.

pub mod auditor;
pub mod clients;
pub mod cluster;
pub mod faults;
pub mod history;
pub mod known_ids;
pub mod log;
pub mod member;
pub mod mutations;
pub mod operations;
pub mod power_loss;
pub mod proxy;
pub mod refunds;
pub mod report;
pub mod rest;
pub mod seeds;
pub mod supervisor;
pub mod take_over;
pub mod wire;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::ValueEnum;
use holdfast_tests::{ADMIN_TOKEN, DEADLINE};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::auditor::partitions::uneven_shares;
use crate::auditor::tables::{PartitionRow, Tables};
use crate::auditor::{Evidence, audit};
use crate::clients::{Client, Market};
use crate::cluster::{Cluster, ClusterOptions, WORKERS};
use crate::faults::{Fault, FaultKind};
use crate::history::History;
use crate::known_ids::KnownIds;
use crate::report::Report;

/// Number of clients.
const CLIENTS: u64 = 16;
/// The initial stock of each product: small, so that products sell out often.
const STOCKS: [i64; 6] = [30, 60, 90, 40, 200, 15];
/// The shortest and the longest pause between two faults, in milliseconds.
const FAULT_PAUSE_MS: (u64, u64) = (1000, 2000);

/// The default of [`Options::rest`], many times longer than needed.
const REST_WAIT: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(20);

/// The options of a run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The seed of all random choices.
    pub seed: u64,
    /// How long clients and faults run.
    pub lasting: Duration,
    /// How long pending work may take after the clients have stopped.
    pub rest: Duration,
    /// The kinds of faults; empty for a run without faults.
    pub faults: Vec<FaultKind>,
    /// The directory of Holdfast's programs. Without it, they are built in the profile of this program.
    pub programs: Option<PathBuf>,
    /// Whether the logs and data of a run with findings are kept.
    pub keeps_data: bool,
}

impl Options {
    /// A run with all kinds of faults, of programs built from the sources.
    #[must_use]
    pub fn new(seed: u64, lasting: Duration) -> Self {
        let faults = FaultKind::value_variants().to_vec();
        Self {
            seed,
            lasting,
            rest: REST_WAIT,
            faults,
            programs: None,
            keeps_data: true,
        }
    }
}

/// Runs once. After a run with findings, its directory is kept and named in the findings.
///
/// # Errors
/// When the test itself fails. Then the run says nothing about Holdfast.
pub async fn run(options: &Options) -> anyhow::Result<Report> {
    let directory = std::env::temp_dir().join(format!(
        "holdfast-chaos-{}-{}",
        std::process::id(),
        options.seed
    ));
    let (data, programs) = (directory.clone(), options.programs.clone());
    let setup = ClusterOptions {
        directory: directory.clone(),
        data,
        seed: options.seed,
        programs,
        refunds: None,
    };
    let cluster = Arc::new(Cluster::start(setup).await?);
    wait_for_workers(&cluster).await?;
    let products = create_products(&cluster).await?;
    let market = Arc::new(Market {
        cluster: Arc::clone(&cluster),
        history: History::default(),
        known_ids: KnownIds::default(),
        products: products.iter().map(|(id, _)| *id).collect(),
    });
    let supervised = CancellationToken::new();
    let supervisor = tokio::spawn({
        let (cluster, stop) = (Arc::clone(&cluster), supervised.clone());
        async move { cluster.supervise(stop).await }
    });
    let mut report = Report {
        seed: options.seed,
        ..Report::default()
    };
    let begin = Instant::now();
    report.operations = trade(&market, options, &mut report).await;
    let end = Instant::now();
    let pending = rest::wait_for_rest(&market, options.rest)
        .await
        .unwrap_or_else(|error| vec![format!("{error:#}")]);
    report.to_rest = end.elapsed();
    supervised.cancel();
    supervisor.await?;
    judge(&market, &products, pending, &mut report).await?;
    report.count(&market.history.exchanges(), begin, end);
    drop(market);
    Arc::into_inner(cluster)
        .context("the cluster is still in use")?
        .stop()
        .await?;
    remove_data(directory, options.keeps_data, &mut report).await?;
    Ok(report)
}

/// Waits until the workers share all partitions, so that the first requests are not queued.
async fn wait_for_workers(cluster: &Cluster) -> anyhow::Result<()> {
    let pool = cluster.pool().await?;
    let give_up = Instant::now() + DEADLINE;
    loop {
        let uneven = uneven_shares(&PartitionRow::read(&pool).await?, WORKERS);
        if uneven.is_empty() {
            pool.close().await;
            return Ok(());
        }
        anyhow::ensure!(
            Instant::now() < give_up,
            "the workers do not share the partitions: {uneven:?}"
        );
        tokio::time::sleep(POLL).await;
    }
}

async fn create_products(cluster: &Cluster) -> anyhow::Result<Vec<(i64, i64)>> {
    let authorization = format!("Bearer {ADMIN_TOKEN}");
    let headers = [
        ("authorization", authorization.as_str()),
        ("content-type", "application/json"),
    ];
    let mut products = Vec::new();
    for stock in STOCKS {
        let body =
            json!({"name": "Lamp", "price_minor": 1250, "currency": "EUR", "total_stock": stock});
        let body = Some(body.to_string().into_bytes());
        let answer = cluster
            .client(0)
            .try_send(Method::POST, "/api/admin/products", &headers, body)
            .await?;
        let product = match answer.status.as_u16() {
            202 => poll_until_done(cluster, answer.header("location")).await?,
            _ => answer.body,
        };
        let id = product["id"]
            .as_i64()
            .with_context(|| format!("no product: {product}"))?;
        products.push((id, stock));
    }
    Ok(products)
}

/// Polls an accepted request until it is done; returns the body of its outcome. On a busy machine, the first requests may
/// get 202.
async fn poll_until_done(cluster: &Cluster, location: &str) -> anyhow::Result<Value> {
    let give_up = Instant::now() + DEADLINE;
    loop {
        let mut answer = cluster
            .client(0)
            .try_send(Method::GET, location, &[], None)
            .await?;
        if answer.body["status"] == "done" {
            return Ok(answer.body["response"]["body"].take());
        }
        anyhow::ensure!(
            Instant::now() < give_up,
            "an accepted request does not end: {answer:?}"
        );
        tokio::time::sleep(POLL).await;
    }
}

/// Runs clients and faults side by side; returns the number of operations. The sleep sets the duration of the load.
async fn trade(market: &Arc<Market>, options: &Options, report: &mut Report) -> usize {
    let stop = CancellationToken::new();
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(Client::new(Arc::clone(market), options.seed, number).run(stop.clone()));
    }
    let ending = {
        let (stop, lasting) = (stop.clone(), options.lasting);
        tokio::spawn(async move {
            tokio::time::sleep(lasting).await;
            stop.cancel();
        })
    };
    inject_faults(&market.cluster, options, report, &stop).await;
    // `inject_faults` returns after `ending` has cancelled `stop`.
    let _ = ending.await;
    clients.join_all().await.into_iter().sum()
}

/// Injects faults until `stop` is cancelled, then waits until all are healed. The sleep sets the rate of faults.
async fn inject_faults(
    cluster: &Arc<Cluster>,
    options: &Options,
    report: &mut Report,
    stop: &CancellationToken,
) {
    let mut rng = StdRng::seed_from_u64(options.seed);
    let mut faults = JoinSet::new();
    loop {
        let pause = Duration::from_millis(rng.random_range(FAULT_PAUSE_MS.0..=FAULT_PAUSE_MS.1));
        if stop
            .run_until_cancelled(tokio::time::sleep(pause))
            .await
            .is_none()
        {
            break;
        }
        if options.faults.is_empty() {
            continue;
        }
        let (kind, fault) = Fault::draw(&mut rng, &options.faults);
        cluster.record_event(format!("{fault:?}"));
        let cluster = Arc::clone(cluster);
        faults.spawn(async move { (kind, fault, fault.inject(&cluster).await) });
    }
    while let Some(ended) = faults.join_next().await {
        match ended {
            Ok((kind, _, Ok(true))) => report.count_fault(kind),
            Ok((_, _, Ok(false))) => {}
            Ok((_, fault, Err(error))) => report
                .findings
                .push(format!("{fault:?} could not be healed: {error:#}")),
            Err(error) => report
                .findings
                .push(format!("the test itself failed: {error}")),
        }
    }
}

async fn judge(
    market: &Arc<Market>,
    products: &[(i64, i64)],
    pending: Vec<String>,
    report: &mut Report,
) -> anyhow::Result<()> {
    let pool = market.cluster.pool().await?;
    let tables = Tables::read(&pool).await?;
    pool.close().await;
    let log = log::read(&market.cluster).await?;
    let refunds = market.cluster.refunds.requests();
    let mut events = market.cluster.events();
    let (exchanges, reads) = (market.history.exchanges(), market.history.reads());
    let evidence = Evidence {
        begun: market.cluster.begun,
        exchanges: &exchanges,
        reads: &reads,
        log: &log,
        tables: &tables,
        refunds: &refunds,
        wipes: &events.wipes,
        products,
    };
    report.findings.extend(audit(&evidence).lines());
    report.findings.extend(
        pending
            .into_iter()
            .map(|work| format!("not at rest: {work}")),
    );
    report.findings.append(&mut events.findings);
    report.findings.extend(market.cluster.panics());
    report.timeline = std::mem::take(&mut events.timeline);
    report.false_starts = events.false_starts;
    let paid = tables
        .orders
        .values()
        .filter(|order| order.status == "paid")
        .count();
    report.rows = [
        tables.holds.len(),
        tables.orders.len(),
        paid,
        tables.payments.len(),
        refunds.len(),
    ];
    report.replies = report::count_replies(&exchanges);
    Ok(())
}

/// Removes the data of a run, unless it has findings and `keeps_data` is set.
async fn remove_data(
    directory: PathBuf,
    keeps_data: bool,
    report: &mut Report,
) -> anyhow::Result<()> {
    if keeps_data && !report.findings.is_empty() {
        report
            .findings
            .push(format!("logs and data are in {}", directory.display()));
        return Ok(());
    }
    holdfast_stack::remove_data(&directory).await?;
    Ok(std::fs::remove_dir_all(&directory)?)
}
