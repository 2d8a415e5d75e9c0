//! The batch cycle: fetch (done by the [`crate::reader`]), load, decide, write, commit, reply.
//!
//! One transaction moves the position and writes every effect of the batch, or none of it. What clients are told is
//! sent after the commit, never before (I5). If the process dies before the commit, nothing happened and the successor
//! reads the same commands; if it dies after it, the successor begins behind them and ingresses read the rows.

use holdfast_common::command::{Action, Command};
use holdfast_common::domain::{Changes, decide, expire_due};
use holdfast_common::news::News;
use holdfast_common::outcome::ProductAsOf;
use holdfast_common::reply::{IngressId, Reply};
use holdfast_common::time::Timestamp;
use sqlx::PgConnection;

use crate::Worker;
use crate::announce;
use crate::expiry::tickets::TicketError;
use crate::horizon::Horizon;
use crate::reader::Batch;
use crate::store::lease::{self, Lease};
use crate::store::load::due::{self, Due};
use crate::store::load::{self, Scope};
use crate::store::write;

/// What became of an attempt to apply a batch.
pub enum Applied {
    /// It is committed, and the partition is now here.
    Committed(Lease),
    /// More was due than one transaction ends. Some of that is ended, and the batch is to be applied once more.
    DueFirst(Lease),
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
pub async fn apply(
    worker: &Worker,
    known: &Lease,
    horizon: &mut Horizon,
    batch: &Batch,
) -> Result<Applied, BatchError> {
    // Should this fail, what is due has to be looked up anew.
    let horizon_before = std::mem::take(horizon);
    let mut moved = Lease { applied_seq: batch.last_seq, ..known.clone() };
    let mut transaction = worker.pool.begin().await?;
    let Some(now) = lease::advance(&mut transaction, known, &moved, worker.lease()).await? else {
        return Ok(Applied::Fenced);
    };
    let scope = Scope { now, slots: worker.settings.nats.partitions.slots(known.partition) };
    let mut commands = &*batch.commands;
    let (due, horizon_now) = look_for_due(&mut transaction, horizon_before, &scope, commands).await?;
    let is_due_first = due.has_more;
    if is_due_first {
        // No command is refused for units that are due: those come back first, in a transaction of their own.
        lease::advance(&mut transaction, &moved, known, worker.lease()).await?;
        (moved, commands) = (known.clone(), &[]);
    }
    let mut state = load::state(&mut transaction, commands.iter().map(|(_, command)| command), due).await?;
    expire_due(&mut state, now);
    let mut replies = Vec::with_capacity(commands.len());
    for (ingress, command) in commands {
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
    *horizon = horizon_now.after(&changes);
    tell(worker, &moved, &replies, changes, now).await;
    Ok(if is_due_first { Applied::DueFirst(moved) } else { Applied::Committed(moved) })
}

/// What is due, and when something falls due next.
async fn look_for_due(
    connection: &mut PgConnection,
    horizon: Horizon,
    scope: &Scope,
    commands: &[(IngressId, Command)],
) -> sqlx::Result<(Due, Horizon)> {
    let (mut due, horizon) = if horizon.is_clear_at(scope.now) {
        (Due::default(), horizon)
    } else {
        let due = due::load(connection, scope).await?;
        let horizon = if due.has_more { Horizon::Unknown } else { Horizon::found(due::next(connection, scope).await?) };
        (due, horizon)
    };
    if commands.iter().any(|(_, command)| command.action == Action::ExpireDue) {
        due::add_parked(connection, scope, &mut due).await?;
    }
    Ok((due, horizon))
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
