//! The batch cycle: fetch (done by the [`crate::reader`]), load, decide, write, commit, reply.
//!
//! One statement, which is a transaction of its own, moves the position and writes every effect of the batch, or none of
//! it. What clients are told is sent after it, never before (I5). If the process dies before the commit, nothing happened and the successor
//! reads the same commands; if it dies after it, the successor begins behind them and ingresses read the rows.

use holdfast_common::command::Action;
use holdfast_common::domain::{Changes, decide, expire_due};
use holdfast_common::outcome::{Outcome, ProductAsOf};
use holdfast_common::reply::{IngressId, Reply};
use holdfast_common::time::Timestamp;
use sqlx::PgConnection;

use crate::Worker;
use crate::announce;
use crate::crash_points;
use crate::expiry::tickets::TicketError;
use crate::horizon::Horizon;
use crate::journal::Journal;
use crate::measures::{MEASURES, Stage, Stages};
use crate::reader::Entry;
use crate::store::dead_letters::{self, DeadLetter};
use crate::store::lease::{self, Fence, Lease};
use crate::store::load::due::{self, Due};
use crate::store::load::{self, Scope};
use crate::store::write;

/// What became of an attempt to apply a batch.
pub enum Applied {
    /// It is committed, and the partition is now here.
    Committed(Lease),
    /// More was due than one transaction ends. Some of that is ended, and the batch is to be applied once more.
    DueFirst,
    /// The partition row is not as we know it. Nothing of the batch happened now.
    Fenced,
}

/// Commands that are applied together, and where their partition stands behind them.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The commands in the log's order.
    pub entries: &'a [Entry],
    /// The log sequence up to which all is applied then.
    pub to_seq: u64,
}

/// Why a batch was not applied.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// Postgres failed.
    #[error("Postgres: {0}")]
    Postgres(#[from] sqlx::Error),
    /// The expiry stream did not take a ticket.
    #[error("the expiry stream: {0}")]
    Ticket(#[from] TicketError),
    /// A bug of ours.
    #[error("a panic: {0}")]
    Panicked(String),
}

/// Classes of PostgreSQL's errors (its appendix A) that come from statements and rows: unsupported features, cardinality,
/// data, integrity, syntax, program limits, raised. The others are a server's own troubles.
const OF_CONTENT: [&str; 7] = ["0A", "21", "22", "23", "42", "54", "P0"];

/// Whether Postgres failed for what a statement says or a row holds.
pub(crate) fn is_of_content(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| OF_CONTENT.contains(&code.get(..2).unwrap_or_default()))
        }
        sqlx::Error::Decode(_)
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Encode(_)
        | sqlx::Error::RowNotFound
        | sqlx::Error::Protocol(_) => true,
        _ => false,
    }
}

impl BatchError {
    /// Whether it came from what the batch says or what its rows hold, so that trying again alone will not help.
    /// Otherwise a server is away, busy or restarting, and the batch is good.
    #[must_use]
    pub fn is_of_content(&self) -> bool {
        match self {
            Self::Ticket(_) => false,
            Self::Panicked(_) => true,
            Self::Postgres(error) => is_of_content(error),
        }
    }
}

/// Applies commands once. On an error nothing is known but that the fence decides whether it happened.
///
/// # Errors
/// When Postgres fails, or a ticket is not stored.
pub async fn apply(
    worker: &Worker,
    known: &Lease,
    horizon: &mut Horizon,
    part: Part<'_>,
) -> Result<Applied, BatchError> {
    // Should this fail, what is due has to be looked up anew.
    let horizon_before = std::mem::take(horizon);
    crash_points::pass("fetch");
    let mut stages = Stages::begin();
    let turn = worker.turn().await?;
    let mut connection = worker.pool.acquire().await?;
    stages.end(Stage::Connection);
    let (now, mut state) = load::state(&mut connection, part.entries).await?;
    let scope = Scope { now, slots: worker.settings.nats.partitions.slots(known.partition) };
    let (due, horizon_now) = look_for_due(&mut connection, horizon_before, &scope, part.entries).await?;
    load::add_due(&mut connection, &due, &mut state).await?;
    stages.end(Stage::Load);
    crash_points::pass("load");
    // No command is refused for units that are due: when there are many, those come back first, in a batch of their own.
    let Part { entries, to_seq } = if due.has_more { Part { entries: &[], to_seq: known.applied_seq } } else { part };
    let mut journal = Journal::begin();
    expire_due(&mut state, now);
    let mut replies = Vec::with_capacity(entries.len());
    for Entry { ingress, command, .. } in entries {
        let decision = journal.note(&mut state, command, |state| decide(state, command, now, &worker.policy));
        let reply = Reply { request_id: command.request_id, replayed: decision.replayed, outcome: decision.outcome };
        if !command.action.is_internal() {
            replies.push((*ingress, reply));
        }
    }
    let changes = Changes::from(state);
    stages.end(Stage::Decide);
    // A hold without a ticket would not end by itself; a ticket for nothing does no harm. So it comes before the commit.
    worker.tickets.ensure(worker, known.partition, &changes).await?;
    stages.end(Stage::Ticket);
    crash_points::pass("ticket");
    let moved = Lease { applied_seq: to_seq, ..known.clone() };
    let fence = Fence { known, to: &moved, lease: worker.lease() };
    let commit = write::commit(&mut connection, &fence, &changes, now);
    if !crash_points::pass_during("write", commit).await? {
        return Ok(Applied::Fenced);
    }
    drop((connection, turn));
    stages.end(Stage::Commit);
    crash_points::pass("commit");
    worker.committed.tell(known.partition);
    *horizon = horizon_now.after(&changes);
    journal.committed(known.partition, &changes, now, &stages);
    tell(worker, &moved, *horizon, &replies, changes, now).await;
    crash_points::pass("reply");
    Ok(if due.has_more { Applied::DueFirst } else { Applied::Committed(moved) })
}

/// What is due, and when something falls due next.
async fn look_for_due(
    connection: &mut PgConnection,
    horizon: Horizon,
    scope: &Scope,
    entries: &[Entry],
) -> sqlx::Result<(Due, Horizon)> {
    // Who asks for it is not put off by what we believe: a ticket or the table has said that something is due.
    let is_asked = entries.iter().any(|entry| entry.command.action == Action::ExpireDue);
    if horizon.is_clear_at(scope.now) && !is_asked {
        return Ok((Due::default(), horizon));
    }
    let mut due = due::find(connection, scope).await?;
    let horizon = if due.has_more { Horizon::Unknown } else { Horizon::found(due::next(connection, scope).await?) };
    if is_asked {
        due::add_parked(connection, scope, &mut due).await?;
    }
    Ok((due, horizon))
}

/// Sets a command that can't be applied aside, and goes on behind it. `None` when another worker has the partition.
///
/// # Errors
/// When Postgres fails.
pub async fn set_aside(
    worker: &Worker,
    known: &Lease,
    part: Part<'_>,
    error: &BatchError,
    tries: i32,
) -> sqlx::Result<Option<Lease>> {
    let moved = Lease { applied_seq: part.to_seq, ..known.clone() };
    let mut transaction = worker.pool.begin().await?;
    let fence = Fence { known, to: &moved, lease: worker.lease() };
    let Some(now) = lease::advance(&mut transaction, &fence).await? else {
        return Ok(None);
    };
    let (mut replies, text) = (Vec::new(), error.to_string());
    for Entry { ingress, command, log_seq } in part.entries {
        let letter = DeadLetter { command, log_seq: *log_seq, error: &text, tries };
        dead_letters::bury(&mut transaction, &letter, now).await?;
        tracing::error!(
            partition = %known.partition, log_seq, tries, request_id = %command.request_id, action = command.action.name(),
            error = text, "a command could not be applied and is a dead letter: see `holdfast dead-letters`"
        );
        let reply = Reply { request_id: command.request_id, replayed: false, outcome: Outcome::Failed };
        if !command.action.is_internal() {
            replies.push((*ingress, reply));
        }
    }
    transaction.commit().await?;
    MEASURES.dead_letters.increment(part.entries.len() as u64);
    tell(worker, &moved, Horizon::Unknown, &replies, Changes::default(), now).await;
    Ok(Some(moved))
}

/// The news goes first: who is told that units are back, and asks again, must not be refused by what was known before.
async fn tell(
    worker: &Worker,
    lease: &Lease,
    horizon: Horizon,
    replies: &[(IngressId, Reply)],
    changes: Changes,
    now: Timestamp,
) {
    let products = changes.new_products.into_iter().chain(changes.changed_products);
    let products = products.map(|product| ProductAsOf { product, as_of: now }).collect();
    announce::news(worker, lease, horizon, products).await;
    announce::replies(worker, replies).await;
}
