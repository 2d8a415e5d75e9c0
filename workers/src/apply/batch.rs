//! The batch cycle: fetch (done by the [`crate::apply::reader`]), load, decide, write, commit, reply.
//!
//! One statement, which is a transaction of its own, moves the position and writes every effect of the batch, or none of
//! it. What clients are told is sent after it, never before (I5). If the process dies before the commit, nothing happened and the successor
//! reads the same commands; if it dies after it, the successor begins behind them and ingresses read the rows. Batches of
//! several partitions may share all of it (see [`crate::apply::group_commit`]).

use std::time::Duration;

use holdfast_common::command::Action;
use holdfast_common::domain::{Changes, State, decide, expire_due};
use holdfast_common::messages::reply::Reply;
use holdfast_common::time::Timestamp;
use sqlx::PgConnection;

use crate::Worker;
use crate::announce::{self, Told};
use crate::apply::crash_points;
use crate::apply::next_due::Horizon;
use crate::apply::reader::{Entry, Part};
use crate::expiry::tickets::TicketError;
use crate::observe::batch_log::Journal;
use crate::observe::metrics::{Stage, Stages};
use crate::store::lease::{self, Fence, Lease, Move};
use crate::store::load::due;
use crate::store::load::{self, Scope};
use crate::store::write;

/// How long a commit may take from the moment at which the fence was found to hold until everybody sees it.
const COMMIT_WAIT: Duration = Duration::from_millis(20);

/// A partition's batch.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The partition as we know it.
    pub known: Lease,
    /// When something of it falls due.
    pub horizon: Horizon,
    /// Its commands.
    pub part: Part,
    /// Attempts that failed since the partition moved last.
    pub retries: u32,
}

/// What became of an attempt to apply a batch.
#[derive(Clone, Debug)]
pub enum Applied {
    /// It is committed, and the partition is now here; and when something of it falls due next.
    Committed(Lease, Horizon),
    /// More was due than one transaction ends. Some of that is ended, and the batch is to be applied once more.
    DueFirst,
    /// A hold was to be ordered or given back so late that it might have expired before the commit. Nothing happened, the
    /// hold has expired by now, and the batch is to be applied once more.
    TooLate,
    /// The partition row is not as we know it. Nothing of the batch happened now.
    Fenced,
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
    /// Nothing is applied any more.
    #[error("the worker stops")]
    Stopped,
}

/// Classes of PostgreSQL's errors (its appendix A) that come from statements and rows: unsupported features, cardinality,
/// data, integrity, syntax, program limits, raised. The others are a server's own troubles.
const OF_CONTENT: [&str; 7] = ["0A", "21", "22", "23", "42", "54", "P0"];

/// Whether Postgres failed for what a statement says or a row holds.
pub(crate) fn is_of_content(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| OF_CONTENT.contains(&code.get(..2).unwrap_or_default())),
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
            Self::Ticket(_) | Self::Stopped => false,
            Self::Panicked(_) => true,
            Self::Postgres(error) => is_of_content(error),
        }
    }
}

/// Applies batches of different partitions once, all of them or none. On an error nothing is known but that the fence
/// decides whether it happened.
///
/// # Errors
/// When Postgres fails, or a ticket is not stored.
pub async fn apply(worker: &Worker, batches: &[Batch]) -> Result<Vec<Applied>, BatchError> {
    crash_points::pass("fetch");
    let mut stages = Stages::begin();
    let mut connection = worker.pool.acquire().await?;
    stages.end(Stage::Connection);
    let entries = batches.iter().flat_map(|batch| batch.part.entries());
    let (now, mut state) = load::state(&mut connection, &worker.keys, entries).await?;
    let mut looks = Vec::with_capacity(batches.len());
    for batch in batches {
        looks.push(look_for_due(worker, &mut connection, batch, now, &mut state).await?);
    }
    // Rows of two statements fit together only if nobody has moved the partition between them, and what does not fit
    // together can't be decided on. The fence would hold it back, but too late for that.
    if looks.iter().any(|look| look.has_loaded)
        && !lease::are_as_known(&mut connection, batches.iter().map(|batch| &batch.known)).await?
    {
        return Ok(vec![Applied::Fenced; batches.len()]);
    }
    stages.end(Stage::Load);
    crash_points::pass("load");
    expire_due(&mut state, now);
    let (mut journal, mut replies, mut moves) = (
        Journal::begin(),
        Vec::new(),
        Vec::with_capacity(batches.len()),
    );
    for (batch, look) in batches.iter().zip(&looks) {
        let Batch { known, part, .. } = batch;
        // No command is refused for units that are due: when there are many, those come back first, in a batch of their own.
        let nothing = Part::nothing(known.applied_seq);
        let part = if look.has_more { &nothing } else { part };
        replies.reserve(part.entries().len());
        for Entry {
            ingress, command, ..
        } in part.entries()
        {
            let decide = |state: &mut State| decide(state, command, now, &worker.policy);
            let decision = journal.note(batch, &mut state, command, decide);
            let reply = Reply {
                request_id: command.request_id,
                replayed: decision.replayed,
                outcome: decision.outcome,
            };
            if !command.action.is_internal() {
                replies.push((*ingress, reply));
            }
        }
        let to = Lease {
            applied_seq: part.to_seq,
            ..known.clone()
        };
        moves.push(Move {
            known: known.clone(),
            to,
        });
    }
    let changes = Changes::from(state);
    stages.end(Stage::Decide);
    // A hold without a ticket would not end by itself; a ticket for nothing does no harm. So it comes before the commit.
    worker.tickets.ensure(worker, &changes).await?;
    stages.end(Stage::Ticket);
    crash_points::pass("ticket");
    // A hold reads as expired from its instant on, so everybody sees it ended otherwise before that, or never.
    let good_until = changes.good_until().map(|until| until.minus(COMMIT_WAIT));
    if good_until.is_some_and(|until| until <= now) {
        drop(connection);
        tokio::time::sleep(COMMIT_WAIT).await;
        return Ok(vec![Applied::TooLate; batches.len()]);
    }
    let fence = Fence {
        moves: &moves,
        lease: worker.lease(),
        good_until,
    };
    let commit = write::commit(
        &mut connection,
        &worker.keys,
        &fence,
        worker.settings.nats.partitions,
        &changes,
        now,
    );
    if !crash_points::pass_during("write", commit).await? {
        return Ok(vec![Applied::Fenced; batches.len()]);
    }
    drop(connection);
    stages.end(Stage::Commit);
    crash_points::pass("commit");
    journal.committed(&changes, now, &stages);
    let ends = moves
        .into_iter()
        .zip(looks)
        .map(|(Move { to, .. }, look)| (to, look.horizon.after(&changes), look.has_more));
    let ends: Vec<_> = ends.collect();
    let told = ends.iter().map(|(to, horizon, _)| Told {
        lease: to,
        horizon: *horizon,
    });
    announce::committed(worker, &told.collect::<Vec<_>>(), &replies, changes, now).await;
    crash_points::pass("reply");
    let applied = |(to, horizon, has_more)| {
        if has_more {
            Applied::DueFirst
        } else {
            Applied::Committed(to, horizon)
        }
    };
    Ok(ends.into_iter().map(applied).collect())
}

/// What looking for what is due came to.
struct Look {
    has_loaded: bool,
    has_more: bool,
    horizon: Horizon,
}

/// Loads what is due in a batch's partition, and finds when something falls due next.
async fn look_for_due(
    worker: &Worker,
    connection: &mut PgConnection,
    batch: &Batch,
    now: Timestamp,
    state: &mut State,
) -> sqlx::Result<Look> {
    // Who asks for it is not put off by what we believe: a ticket or the table has said that something is due.
    let is_asked = batch
        .part
        .entries()
        .iter()
        .any(|entry| entry.command.action == Action::ExpireDue);
    if batch.horizon.is_clear_at(now) && !is_asked {
        return Ok(Look {
            has_loaded: false,
            has_more: false,
            horizon: batch.horizon,
        });
    }
    let scope = Scope {
        now,
        slots: worker.settings.nats.partitions.slots(batch.known.partition),
    };
    let mut due = due::find(connection, &scope).await?;
    let horizon = if due.has_more {
        Horizon::Unknown
    } else {
        Horizon::found(due::next(connection, &scope).await?)
    };
    if is_asked {
        due::add_parked(connection, &scope, &mut due).await?;
    }
    load::add_due(connection, &worker.keys, &due, state).await?;
    Ok(Look {
        has_loaded: !due.ids.is_empty(),
        has_more: due.has_more,
        horizon,
    })
}
