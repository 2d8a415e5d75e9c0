//! The proving ground: a whole deployment of real programs, random operations by many clients, random faults, and an
//! auditor that knows only what clients were told and what the tables say.
//!
//! A run goes so: [`cluster`] starts the programs, each behind [`proxy`]s of its own; [`clients`] do [`operations`] and
//! [`record`] what they are told, while [`faults`] are done and healed; [`rest`] waits until all that was begun has
//! ended; the [`auditor`] compares; the [`report`] tells. Everything random is drawn from one seed. What threads and
//! processes make of it is their own, so a seed names a kind of run rather than repeating one exactly.
//!
//! Nothing in here decides by time, but for deadlines that are many times as long as anything should take.

pub mod auditor;
pub mod clients;
pub mod cluster;
pub mod faults;
pub mod log;
pub mod member;
pub mod mutations;
pub mod operations;
pub mod power_loss;
pub mod proxy;
pub mod record;
pub mod refunds;
pub mod report;
pub mod rest;
pub mod seeds;
pub mod shelf;
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

use crate::auditor::ownership::uneven;
use crate::auditor::tables::{PartitionRow, Tables};
use crate::auditor::{Evidence, audit};
use crate::clients::{Client, Market};
use crate::cluster::{Cluster, Setup, WORKERS};
use crate::faults::{Fault, Kind};
use crate::record::Journal;
use crate::report::Report;
use crate::shelf::Shelf;

/// How many clients there are.
const CLIENTS: u64 = 16;
/// What each product has at first: little, so that it is sold out often.
const STOCKS: [i64; 6] = [30, 60, 90, 40, 200, 15];
/// The shortest and the longest pause between two faults, in milliseconds.
const FAULT_PAUSE_MS: (u64, u64) = (1000, 2000);

/// How long a run may take to come to rest, unless its options say so: many times as long as it should.
const REST_WAIT: Duration = Duration::from_secs(90);
/// How often a run that waits for its begin looks again.
const POLL: Duration = Duration::from_millis(20);

/// What a run is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// What everything is drawn from.
    pub seed: u64,
    /// How long clients and faults go on.
    pub lasting: Duration,
    /// How long all may take to come to rest.
    pub rest: Duration,
    /// The kinds of faults; none are none.
    pub faults: Vec<Kind>,
    /// The directory of Holdfast's programs; unless it is given they are built, in the profile of the program that runs.
    pub programs: Option<PathBuf>,
    /// Whether the logs and the data of a run with findings are kept.
    pub keeps_data: bool,
}

impl Options {
    /// A run with all kinds of faults, of programs that are built.
    #[must_use]
    pub fn new(seed: u64, lasting: Duration) -> Self {
        let faults = Kind::value_variants().to_vec();
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

/// Runs once. The directory of a run with findings is kept; they name it.
///
/// # Errors
/// When the run itself fails: then nothing is known of Holdfast.
pub async fn run(options: &Options) -> anyhow::Result<Report> {
    let directory = std::env::temp_dir().join(format!(
        "holdfast-chaos-{}-{}",
        std::process::id(),
        options.seed
    ));
    let (data, programs) = (directory.clone(), options.programs.clone());
    let setup = Setup {
        directory: directory.clone(),
        data,
        seed: options.seed,
        programs,
        refunds: None,
    };
    let cluster = Arc::new(Cluster::start(setup).await?);
    every_partition_has_a_worker(&cluster).await?;
    let products = create_products(&cluster).await?;
    let market = Arc::new(Market {
        cluster: Arc::clone(&cluster),
        journal: Journal::default(),
        shelf: Shelf::default(),
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
    let restless = rest::come_to_rest(&market, options.rest)
        .await
        .unwrap_or_else(|error| vec![format!("{error:#}")]);
    report.to_rest = end.elapsed();
    supervised.cancel();
    supervisor.await?;
    judge(&market, &products, restless, &mut report).await?;
    report.count(&market.journal.exchanges(), begin, end);
    drop(market);
    Arc::into_inner(cluster)
        .context("the cluster is still in use")?
        .stop()
        .await?;
    clear(directory, options.keeps_data, &mut report).await?;
    Ok(report)
}

/// Waits until the workers have shared the partitions, so that the first requests are answered and not queued.
async fn every_partition_has_a_worker(cluster: &Cluster) -> anyhow::Result<()> {
    let pool = cluster.pool().await?;
    let give_up = Instant::now() + DEADLINE;
    loop {
        let uneven = uneven(&PartitionRow::read(&pool).await?, WORKERS);
        if uneven.is_empty() {
            pool.close().await;
            return Ok(());
        }
        anyhow::ensure!(
            Instant::now() < give_up,
            "the partitions are not shared: {uneven:?}"
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
            202 => ended(cluster, answer.header("location")).await?,
            _ => answer.body,
        };
        let id = product["id"]
            .as_i64()
            .with_context(|| format!("no product: {product}"))?;
        products.push((id, stock));
    }
    Ok(products)
}

/// What an accepted request became: on a busy machine the first may be answered so.
async fn ended(cluster: &Cluster, location: &str) -> anyhow::Result<Value> {
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
            "a request without an end: {answer:?}"
        );
        tokio::time::sleep(POLL).await;
    }
}

/// Clients and faults, side by side until the time is over; says how many operations there were.
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
    do_faults(&market.cluster, options, report, &stop).await;
    // It ends by itself, and cancels before it does.
    let _ = ending.await;
    clients.join_all().await.into_iter().sum()
}

/// Does faults until it is told to stop, then waits until all are healed.
async fn do_faults(
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
        cluster.note(format!("{fault:?}"));
        let cluster = Arc::clone(cluster);
        faults.spawn(async move { (kind, fault, fault.inflict(&cluster).await) });
    }
    while let Some(ended) = faults.join_next().await {
        match ended {
            Ok((kind, _, Ok(true))) => report.count_fault(kind),
            Ok((_, _, Ok(false))) => {}
            Ok((_, fault, Err(error))) => report
                .findings
                .push(format!("{fault:?} does not heal: {error:#}")),
            Err(error) => report
                .findings
                .push(format!("the proving ground itself failed: {error}")),
        }
    }
}

async fn judge(
    market: &Arc<Market>,
    products: &[(i64, i64)],
    restless: Vec<String>,
    report: &mut Report,
) -> anyhow::Result<()> {
    let pool = market.cluster.pool().await?;
    let tables = Tables::read(&pool).await?;
    pool.close().await;
    let log = log::read(&market.cluster).await?;
    let refunds = market.cluster.refunds.requests();
    let mut events = market.cluster.events();
    let (exchanges, reads) = (market.journal.exchanges(), market.journal.reads());
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
        restless
            .into_iter()
            .map(|what| format!("not at rest: {what}")),
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
    report.kinds = report::kinds(&exchanges);
    Ok(())
}

/// Removes a run's data, unless there are findings and they are to be kept.
async fn clear(directory: PathBuf, keeps_data: bool, report: &mut Report) -> anyhow::Result<()> {
    if keeps_data && !report.findings.is_empty() {
        report
            .findings
            .push(format!("logs and data are in {}", directory.display()));
        return Ok(());
    }
    holdfast_stack::remove_data(&directory).await?;
    Ok(std::fs::remove_dir_all(&directory)?)
}
