//! The workers: apply each partition's commands in the log's order, many in one Postgres transaction.
//!
//! This file only creates the parts and starts their tasks; each part has the clients and settings that it needs.
//! [`ownership`] decides which partitions this process has. [`apply`] is their path from the log to Postgres, and the only
//! code that writes business state. [`announce`] sends the results to ingresses. [`expiry`] ends holds and orders in time.
//! [`refunds`] and [`events`] send HTTP requests by way of [`post`]. [`upkeep`] removes old data, [`observe`] has metrics
//! and logs, and [`store`] all SQL.

pub mod announce;
pub mod apply;
pub mod events;
pub mod expiry;
pub mod internal_commands;
pub mod next_due;
pub mod observe;
pub mod ownership;
pub mod post;
pub mod progress;
pub mod refunds;
mod settings;
pub mod store;
pub mod upkeep;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_nats::jetstream::{Context, ContextBuilder};
use holdfast_common::encryption::{self, Keyring};
use holdfast_common::log;
use holdfast_common::store::{postgres, schema};
use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::announce::Announcer;
use crate::apply::batch::BatchCycle;
use crate::apply::group_commit::{self, GroupCommit};
use crate::apply::partition::PartitionRunner;
use crate::apply::poison::PoisonGuard;
use crate::events::publisher::EventPublisher;
use crate::events::retry_requests::EventRetryRequests;
use crate::events::stream::EventStream;
use crate::expiry::backstop::Backstop;
use crate::expiry::redelivery::Redelivery;
use crate::expiry::requests::ExpiryRequests;
use crate::expiry::stream::TicketStream;
use crate::expiry::tickets::Tickets;
use crate::internal_commands::InternalCommands;
use crate::ownership::Ownership;
use crate::post::Poster;
use crate::refunds::RefundExecutor;
pub use crate::settings::Settings;
use crate::store::retention::RetentionAges;
use crate::upkeep::log_purge::LogPurge;

/// JetStream has to store a message within this time.
const ACK_WAIT: Duration = Duration::from_secs(2);

/// Runs a worker process until `stop`. Then it ends the batches in progress and gives its partitions back.
///
/// # Errors
/// When Postgres or NATS can't be reached at the start, or when the schema, the keys or the log do not fit this program.
pub async fn run(settings: Settings, stop: CancellationToken) -> anyhow::Result<()> {
    holdfast_common::metrics::start();
    LazyLock::force(&observe::metrics::METRICS);
    let keys = settings.encryption.keyring()?;
    let transactions = group_commit::transactions_max();
    let pool = postgres::connect(&settings.postgres, store::pool(transactions)).await?;
    schema::check(&pool).await?;
    encryption::check::check(&pool, &keys).await?;
    let nats = log::connect(&settings.nats, "holdfast-workers", |_| ()).await?;
    let jetstream = ContextBuilder::new()
        .ack_timeout(ACK_WAIT)
        .build(nats.clone());
    log::stream::open(&jetstream, &settings.nats).await?;
    let wiring = Wiring {
        owner: owner_name(&nats),
        settings,
        keys,
        pool,
        nats,
        jetstream,
        stop,
    };
    let mut tasks = JoinSet::new();
    wiring.start_observers(&mut tasks);
    wiring.start_upkeep(&mut tasks);
    wiring.start_refunds(&mut tasks);
    // Before the first batch: the events of a batch need a cursor to begin at.
    let publisher = wiring.start_events(&mut tasks).await?;
    wiring.run_partitions(publisher, &mut tasks).await?;
    tasks.join_all().await;
    wiring.pool.close().await;
    // Sends the announcements that are still in the client's buffer.
    wiring.nats.drain().await.unwrap_or_default();
    Ok(())
}

/// The clients and settings of the process. Only this file has it; parts get clones of what they need.
struct Wiring {
    settings: Settings,
    /// Seals customer and payment ids.
    keys: Keyring,
    pool: PgPool,
    nats: async_nats::Client,
    jetstream: Context,
    owner: String,
    stop: CancellationToken,
}

impl Wiring {
    fn start_observers(&self, tasks: &mut JoinSet<()>) {
        let (pool, stop) = (self.pool.clone(), self.stop.clone());
        tasks.spawn(observe::metrics::run(pool, stop));
        tasks.spawn(observe::worker_stats::run(
            self.nats.clone(),
            self.settings.nats.subjects.worker_stats().into(),
            self.owner.clone(),
            self.pool.clone(),
            self.stop.clone(),
        ));
    }

    fn start_upkeep(&self, tasks: &mut JoinSet<()>) {
        let log_purge = LogPurge {
            pool: self.pool.clone(),
            jetstream: self.jetstream.clone(),
            nats: self.settings.nats.clone(),
        };
        tasks.spawn(log_purge.run(self.stop.clone()));
        let ages = RetentionAges::new(&self.settings.holds, &self.settings.worker.retention);
        let (pool, stop) = (self.pool.clone(), self.stop.clone());
        tasks.spawn(upkeep::retention::run(pool, ages, stop));
    }

    /// Without `REFUND_URL` refunds stay due.
    fn start_refunds(&self, tasks: &mut JoinSet<()>) {
        let settings = &self.settings.worker;
        let Some(url) = settings.refund_url.clone() else {
            return;
        };
        let refunds = RefundExecutor {
            pool: self.pool.clone(),
            keys: self.keys.clone(),
            owner: self.owner.clone(),
            partitions: self.settings.nats.partitions,
            poster: Poster::new(url, settings.refund_secret.as_slice()),
            commands: self.internal_commands(),
        };
        tasks.spawn(refunds.run(self.stop.clone()));
    }

    async fn start_events(&self, tasks: &mut JoinSet<()>) -> anyhow::Result<Option<EventStream>> {
        let (nats, events) = (&self.settings.nats, &self.settings.worker.events);
        let (client, pool) = (self.nats.clone(), self.pool.clone());
        let requests = EventRetryRequests::subscribe(client, &nats.subjects, pool).await?;
        tasks.spawn(requests.run(self.stop.clone()));
        if !events.is_on() {
            return Ok(None);
        }
        store::events::create_cursors(&self.pool, nats.partitions).await?;
        let stream = EventStream {
            jetstream: self.jetstream.clone(),
            config: events::stream::config(nats, events),
        };
        stream.open().await?;
        events::webhooks::start(events, &stream, &self.pool, &self.stop, tasks).await?;
        Ok(Some(stream))
    }

    /// Starts expiry, heartbeats and group commit, and owns partitions until the process stops.
    async fn run_partitions(
        &self,
        events: Option<EventStream>,
        tasks: &mut JoinSet<()>,
    ) -> anyhow::Result<()> {
        let (nats, lease) = (&self.settings.nats, self.settings.lease());
        let partitions = nats.partitions;
        let expiry = ExpiryRequests(self.internal_commands());
        let ticket_stream = TicketStream {
            jetstream: self.jetstream.clone(),
            config: expiry::stream::config(nats, &self.settings.holds, &self.settings.worker),
        };
        ticket_stream.open().await?;
        let redelivery = Redelivery {
            stream: ticket_stream.clone(),
            pool: self.pool.clone(),
            partitions,
            expiry: expiry.clone(),
        };
        tasks.spawn(redelivery.run(self.stop.clone()));
        let backstop = Backstop {
            pool: self.pool.clone(),
            owner: self.owner.clone(),
            partitions,
            expiry: expiry.clone(),
        };
        tasks.spawn(backstop.run(self.stop.clone()));

        let layout = nats.layout.clone();
        let announcer = Arc::new(Announcer::new(self.nats.clone(), layout.clone(), lease));
        let (beating, stop) = (Arc::clone(&announcer), self.stop.clone());
        tasks.spawn(async move { beating.run_heartbeats(stop).await });
        let group_commit = Arc::new(GroupCommit::new(partitions));
        let cycle = BatchCycle {
            pool: self.pool.clone(),
            keys: self.keys.clone(),
            policy: self.settings.policy(),
            partitions,
            lease,
            tickets: Tickets::new(ticket_stream, layout),
            announcer: Arc::clone(&announcer),
        };
        let group_tasks = group_commit::start(&group_commit, cycle);
        let guard = PoisonGuard {
            pool: self.pool.clone(),
            keys: self.keys.clone(),
            lease,
            group_commit,
            announcer: Arc::clone(&announcer),
        };
        let runner = PartitionRunner {
            pool: self.pool.clone(),
            jetstream: self.jetstream.clone(),
            nats: nats.clone(),
            keys: self.keys.clone(),
            lease,
            guard,
            expiry,
            announcer: Arc::clone(&announcer),
        };
        let publisher = events.map(|stream| EventPublisher {
            pool: self.pool.clone(),
            nats: self.nats.clone(),
            subjects: nats.subjects.clone(),
            stream,
            announcer: Arc::clone(&announcer),
        });
        let ownership = Ownership {
            pool: self.pool.clone(),
            keys: self.keys.clone(),
            owner: self.owner.clone(),
            lease,
            partitions,
            announcer,
            runner: Arc::new(runner),
            publisher: publisher.map(Arc::new),
        };
        ownership.run(self.stop.clone()).await?;
        // No partition has a batch left, so the tasks wait for nothing.
        drop(group_tasks);
        Ok(())
    }

    fn internal_commands(&self) -> InternalCommands {
        InternalCommands {
            jetstream: self.jetstream.clone(),
            layout: self.settings.nats.layout.clone(),
            keys: self.keys.clone(),
        }
    }
}

/// A unique name for this process, readable for operators.
fn owner_name(nats: &async_nats::Client) -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "localhost".to_owned());
    // The end of a new NATS inbox is random.
    let inbox = nats.new_inbox();
    let random = inbox.rsplit('.').next().unwrap_or_default();
    format!("{host}:{}:{random}", std::process::id())
}
