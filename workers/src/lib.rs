//! The workers: apply each partition's commands, in the log's order, many in one Postgres transaction.
//!
//! [`ownership`] decides which partitions this process has; [`partition`] runs one of them; [`reader`] fetches from the
//! log; [`batch`] is the cycle fetch, load, decide, write, commit, reply, which [`groups`] runs for several partitions at
//! once; [`store`] has its SQL; [`announce`] tells the ingresses afterwards, and [`events`] everybody else; [`purge`] keeps
//! the log short; `journal`, `measures` and `tally` tell operators.
//! No row of business state is written anywhere else.

pub mod announce;
pub mod apply;
pub mod events;
pub mod expiry;
pub mod observe;
pub mod ownership;
pub mod post;
pub mod refunds;
pub mod store;
pub mod upkeep;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_nats::jetstream::{Context, ContextBuilder};
use clap::Args;
use holdfast_common::domain::Policy;
use holdfast_common::encryption::{self, Keyring};
use holdfast_common::log;
use holdfast_common::settings::{
    EncryptionSettings, HoldSettings, LatePayment, NatsSettings, PostgresSettings, WorkerSettings,
};
use holdfast_common::store::postgres::{self, Pool};
use holdfast_common::store::schema;
use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::announce::heartbeat::Pulses;
use crate::apply::group_commit::Groups;
use crate::events::Committed;
use crate::expiry::tickets::Tickets;

/// Connections to Postgres: one for each group of batches, and as many for all else, such as leases, which no flood of
/// batches may keep waiting. None is tried before its use: a batch that fails is tried again in any case.
fn pool() -> Pool<'static> {
    Pool {
        name: concat!("holdfast-workers ", env!("CARGO_PKG_VERSION")),
        connections_max: 2 * apply::group_commit::groups_max(),
        session: SESSION,
        tests_before_use: false,
    }
}

/// Settings of each connection.
const SESSION: &[(&str, &str)] = &[
    // A batch is one statement; but a worker that hangs while it sets a command aside must not keep its partition locked.
    ("idle_in_transaction_session_timeout", "2000"),
    ("statement_timeout", "10000"),
    // Every statement of a batch looks up few rows by primary key. A plan made while a table was small, and kept, must
    // not read all of it later.
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_material", "off"),
    // What is off counts as so dear that Postgres would compile the plan.
    ("jit", "off"),
    // The plan is the same whatever the values, so it is made once.
    ("plan_cache_mode", "force_generic_plan"),
];

/// How long JetStream may take to store what a worker publishes.
const ACK_WAIT: Duration = Duration::from_secs(2);

/// All that a worker process is told.
#[derive(Args, Clone, Debug)]
#[allow(missing_docs)]
pub struct Settings {
    #[command(flatten)]
    pub postgres: PostgresSettings,
    #[command(flatten)]
    pub nats: NatsSettings,
    #[command(flatten)]
    pub holds: HoldSettings,
    #[command(flatten)]
    pub worker: WorkerSettings,
    #[command(flatten)]
    pub encryption: EncryptionSettings,
}

/// What every task of a worker process shares.
pub struct Worker {
    settings: Settings,
    policy: Policy,
    /// What customers and payments are sealed by.
    keys: Keyring,
    pool: PgPool,
    groups: Groups,
    nats: async_nats::Client,
    jetstream: Context,
    tickets: Tickets,
    pulses: Pulses,
    committed: Committed,
    owner: String,
}

impl Worker {
    fn lease(&self) -> Duration {
        Duration::from_millis(self.settings.worker.partition_lease_ms.into())
    }
}

/// Runs a worker process until it is told to stop: then every batch that was begun is ended, and the partitions are
/// given back.
///
/// # Errors
/// When Postgres or NATS can't be reached at the start, or are not what Holdfast needs.
pub async fn run(settings: Settings, stop: CancellationToken) -> anyhow::Result<()> {
    holdfast_common::metrics::start();
    LazyLock::force(&observe::metrics::METRICS);
    let keys = settings.encryption.keyring()?;
    let pool = postgres::connect(&settings.postgres, pool()).await?;
    schema::check(&pool).await?;
    encryption::check::check(&pool, &keys).await?;
    let nats = log::connect(&settings.nats, "holdfast-workers", |_| ()).await?;
    let jetstream = ContextBuilder::new()
        .ack_timeout(ACK_WAIT)
        .build(nats.clone());
    log::stream::open(&jetstream, &settings.nats).await?;
    let policy = Policy {
        hold_expiry_seconds: settings.holds.hold_expiry_seconds,
        order_payment_seconds: settings.worker.order_payment_seconds,
        reallocate_late_payments: settings.worker.late_payment == LatePayment::Reallocate,
        idempotency_key_ttl_seconds: settings.holds.idempotency_key_ttl,
    };
    let (tickets, pulses, owner) = (Tickets::default(), Pulses::default(), owner_name(&nats));
    let committed = Committed::new(settings.nats.partitions);
    let groups = Groups::new(settings.nats.partitions.count());
    let worker = Worker {
        settings,
        policy,
        keys,
        pool,
        groups,
        nats,
        jetstream,
        tickets,
        pulses,
        committed,
        owner,
    };
    let worker = Arc::new(worker);
    expiry::open_stream(&worker).await?;
    let mut beside = JoinSet::new();
    beside.spawn(observe::metrics::run(Arc::clone(&worker), stop.clone()));
    beside.spawn(upkeep::log_purge::run(Arc::clone(&worker), stop.clone()));
    beside.spawn(upkeep::retention::run(Arc::clone(&worker), stop.clone()));
    beside.spawn(refunds::run(Arc::clone(&worker), stop.clone()));
    let asked = events::asked::hear(&worker).await?;
    beside.spawn(events::asked::run(Arc::clone(&worker), asked, stop.clone()));
    if worker.settings.worker.events.is_on() {
        events::open(&worker).await?;
        events::webhooks::start(&worker, &stop, &mut beside).await?;
    }
    beside.spawn(expiry::redelivery::run(Arc::clone(&worker), stop.clone()));
    beside.spawn(announce::heartbeat::run(Arc::clone(&worker), stop.clone()));
    beside.spawn(observe::worker_stats::run(
        Arc::clone(&worker),
        stop.clone(),
    ));
    beside.spawn(expiry::backstop::run(Arc::clone(&worker), stop.clone()));
    let groups = apply::group_commit::start(&worker);
    ownership::run(Arc::clone(&worker), stop).await?;
    drop(groups);
    beside.join_all().await;
    worker.pool.close().await;
    // What was announced last is still on its way out.
    worker.nats.drain().await.unwrap_or_default();
    Ok(())
}

/// Names this process for operators, and unlike any other.
fn owner_name(nats: &async_nats::Client) -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "localhost".to_owned());
    // The end of a fresh NATS inbox is random.
    let inbox = nats.new_inbox();
    let random = inbox.rsplit('.').next().unwrap_or_default();
    format!("{host}:{}:{random}", std::process::id())
}
