//! The batch cycle: fetch (done by the [`crate::reader`]), load, decide, write, commit, reply.
//!
//! One transaction moves the position and writes every effect of the batch, or none of it. What clients are told is
//! sent after the commit, never before (I5). If the process dies before the commit, nothing happened and the successor
//! reads the same commands; if it dies after it, the successor begins behind them and ingresses read the rows.

use holdfast_common::domain::{Changes, decide, expire_due};
use holdfast_common::news::News;
use holdfast_common::outcome::ProductAsOf;
use holdfast_common::reply::{IngressId, Reply};
use holdfast_common::time::Timestamp;

use crate::Worker;
use crate::announce;
use crate::expiry::tickets::TicketError;
use crate::reader::Batch;
use crate::store::lease::{self, Lease};
use crate::store::load::{self, Loaded, Scope};
use crate::store::write;

/// What became of an attempt to apply a batch.
pub enum Applied {
    /// It is committed.
    Committed {
        /// The partition is now here.
        lease: Lease,
        /// Whether more was due than one batch expires.
        has_more_due: bool,
    },
    /// The partition row is not as we know it. Nothing of the batch happened now.
    Fenced,
}

/// Why a batch was not applied. All of it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// Postgres failed.
    #[error("Postgres: {0}")]
    Postgres(#[from] sqlx::Error),
    /// The expiry stream did not take a ticket.
    #[error("the expiry stream: {0}")]
    Ticket(#[from] TicketError),
}

/// Applies a batch once. On an error nothing is known but that the fence decides whether it happened.
///
/// # Errors
/// When Postgres fails, or a ticket is not stored.
pub async fn apply(worker: &Worker, known: &Lease, batch: &Batch) -> Result<Applied, BatchError> {
    let moved = Lease { applied_seq: batch.last_seq, ..known.clone() };
    let mut transaction = worker.pool.begin().await?;
    let Some(now) = lease::advance(&mut transaction, known, &moved, worker.lease()).await? else {
        return Ok(Applied::Fenced);
    };
    let scope = Scope { now, slots: worker.settings.nats.partitions.slots(known.partition) };
    let commands = batch.commands.iter().map(|(_, command)| command);
    let Loaded { mut state, has_more_due } = load::state(&mut transaction, commands, &scope).await?;
    expire_due(&mut state, now);
    let mut replies = Vec::with_capacity(batch.commands.len());
    for (ingress, command) in &batch.commands {
        let decision = decide(&mut state, command, now, &worker.policy);
        let reply = Reply { request_id: command.request_id, replayed: decision.replayed, outcome: decision.outcome };
        if !command.action.is_internal() {
            replies.push((*ingress, reply));
        }
    }
    let changes = Changes::from(state);
    write::changes(&mut transaction, &changes, now).await?;
    // A hold without a ticket would not end by itself; a ticket for nothing does no harm. So it comes before the commit.
    worker.tickets.ensure(worker, known.partition, &changes).await?;
    transaction.commit().await?;
    tell(worker, &moved, &replies, changes, now).await;
    Ok(Applied::Committed { lease: moved, has_more_due })
}

async fn tell(worker: &Worker, lease: &Lease, replies: &[(IngressId, Reply)], changes: Changes, now: Timestamp) {
    announce::replies(worker, replies).await;
    let products = changes.new_products.into_iter().chain(changes.changed_products);
    let news = News {
        partition: lease.partition.0,
        stream_created: lease.stream_created.into(),
        applied_seq: lease.applied_seq,
        taken_over: false,
        products: products.map(|product| ProductAsOf { product, as_of: now }).collect(),
    };
    announce::news(worker, news).await;
}
