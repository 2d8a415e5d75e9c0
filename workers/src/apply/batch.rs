//! The batch cycle: fetch (done by the [`crate::apply::reader`]), load, decide, write, commit, reply.
//!
//! One statement, which is a transaction of its own, moves the positions and writes every effect of the batches, or
//! nothing. Replies are sent after it, never before (I5). If the process dies before the commit, nothing has happened and
//! the successor reads the same commands. If it dies after the commit, the successor begins after them and ingresses read
//! the rows. Batches of several partitions may share one transaction (see [`crate::apply::group_commit`]).

use std::sync::Arc;
use std::time::Duration;

use holdfast_common::command::Action;
use holdfast_common::domain::{Changes, Policy, State, decide, expire_due};
use holdfast_common::encryption::Keyring;
use holdfast_common::messages::reply::Reply;
use holdfast_common::partition::Partitions;
use holdfast_common::time::Timestamp;
use sqlx::{PgConnection, PgPool};

use crate::announce::Announcer;
use crate::apply::crash_points;
use crate::apply::error::BatchError;
use crate::apply::next_due::NextDue;
use crate::apply::progress::Progress;
use crate::apply::reader::BatchPart;
use crate::expiry::tickets::Tickets;
use crate::observe::batch_log::BatchLog;
use crate::observe::metrics::{Stage, Stages};
use crate::store::fence::{self, Fence, Move};
use crate::store::lease::Lease;
use crate::store::load::{self, due, due::Scope};
use crate::store::write;

/// The longest time from the check of the fence to the moment at which the commit is visible to everybody.
const COMMIT_WAIT: Duration = Duration::from_millis(20);

/// Commands of one partition that are applied together, and the partition's state before them.
#[derive(Clone, Debug)]
pub struct PartitionBatch {
    pub known: Progress,
    pub part: BatchPart,
}

/// The result of an attempt to apply a batch.
#[derive(Clone, Debug)]
pub enum Applied {
    /// The batch is committed, and the partition has this progress now.
    Committed(Progress),
    /// More was due than one transaction ends. A part of it has ended; apply the batch again.
    DueFirst,
    /// A hold would have been ordered or released so shortly before its expiry that it might expire before the commit.
    /// Nothing happened. The hold has expired by now; apply the batch again.
    TooLate,
    /// The partition's row is not as this worker knows it. This attempt changed nothing.
    Fenced,
}

/// Applies batches. One for the process.
pub struct BatchCycle {
    pub pool: PgPool,
    pub keys: Keyring,
    pub policy: Policy,
    pub partitions: Partitions,
    pub lease: Duration,
    pub tickets: Tickets,
    pub announcer: Arc<Announcer>,
}

impl BatchCycle {
    /// Applies batches of different partitions once: all of them or none. After an error it is unknown whether they were
    /// committed; the fence of the next attempt finds out.
    ///
    /// # Errors
    /// When Postgres fails, or a ticket is not stored.
    pub async fn apply(&self, batches: &[PartitionBatch]) -> Result<Vec<Applied>, BatchError> {
        crash_points::pass("fetch");
        let mut stages = Stages::begin();
        let mut connection = self.pool.acquire().await?;
        stages.end(Stage::Connection);

        // 1. Load the rows that the commands name, and the rows that are due.
        let commands = batches.iter().flat_map(|batch| batch.part.entries());
        let commands = commands.map(|entry| &entry.command);
        let (now, mut state) = load::state(&mut connection, &self.keys, commands).await?;
        let mut searches = Vec::with_capacity(batches.len());
        for batch in batches {
            searches.push(
                self.load_due(&mut connection, batch, now, &mut state)
                    .await?,
            );
        }
        // Two statements see one state of the rows only if nobody moved the partition between them. `decide` must not get
        // rows that contradict each other, and the fence in the write would come after it. So the rows are compared here.
        let leases = batches.iter().map(|batch| &batch.known.lease);
        if searches.iter().any(|search| search.has_loaded)
            && !fence::rows_match(&mut connection, leases).await?
        {
            return Ok(vec![Applied::Fenced; batches.len()]);
        }
        stages.end(Stage::Load);
        crash_points::pass("load");

        // 2. Decide, in the log's order within each partition. No IO, no clock: `now` is Postgres's time of the load.
        expire_due(&mut state, now);
        let mut log = BatchLog::begin();
        let mut replies = Vec::new();
        let mut moves = Vec::with_capacity(batches.len());
        for (PartitionBatch { known, part }, search) in batches.iter().zip(&searches) {
            // When more is due than one transaction ends, no command is decided yet: it could be refused for units that
            // are about to come back. This transaction only ends what is due.
            let nothing = BatchPart::nothing(known.lease.applied_seq);
            let part = if search.has_more { &nothing } else { part };
            replies.reserve(part.entries().len());
            for entry in part.entries() {
                let command = &entry.command;
                let before = log.before(&state, command);
                let decision = decide(&mut state, command, now, &self.policy);
                log.record(known, command, before, &decision, &state);
                if !command.action.is_internal() {
                    let reply = Reply {
                        request_id: command.request_id,
                        replayed: decision.replayed,
                        outcome: decision.outcome,
                    };
                    replies.push((entry.ingress, reply));
                }
            }
            moves.push(Move {
                known: known.lease.clone(),
                to: Lease {
                    applied_seq: part.to_seq,
                    ..known.lease.clone()
                },
            });
        }
        let changes = Changes::from(state);
        stages.end(Stage::Decide);

        // 3. Store the tickets of what will fall due. Before the commit: nothing would end a hold without a ticket in
        // time, while a ticket without a hold does no harm.
        self.tickets.ensure(&changes).await?;
        stages.end(Stage::Ticket);
        crash_points::pass("ticket");

        // 4. Write and commit, in one statement. A hold reads as expired from its expiry time on. Another end of it must
        // be visible to everybody before that time, or not happen.
        let good_until = changes.good_until().map(|until| until.minus(COMMIT_WAIT));
        if good_until.is_some_and(|until| until <= now) {
            drop(connection);
            tokio::time::sleep(COMMIT_WAIT).await;
            return Ok(vec![Applied::TooLate; batches.len()]);
        }
        let fence = Fence {
            moves: &moves,
            lease: self.lease,
            good_until,
        };
        let commit = write::commit(
            &mut connection,
            &self.keys,
            &fence,
            self.partitions,
            &changes,
            now,
        );
        if !crash_points::pass_during("write", commit).await? {
            return Ok(vec![Applied::Fenced; batches.len()]);
        }
        drop(connection);
        stages.end(Stage::Commit);
        crash_points::pass("commit");

        // 5. Log, and reply. Only now has anything happened (I5). A crash here loses the replies; ingresses read the rows.
        log.publish(&changes, now, &stages);
        let ends = moves.into_iter().zip(&searches);
        let ends = ends.map(|(Move { to, .. }, search)| Progress {
            lease: to,
            next_due: search.next_due.after(&changes),
            retries: 0,
        });
        let ends: Vec<Progress> = ends.collect();
        self.announcer
            .send_committed(&ends, &replies, changes, now)
            .await;
        crash_points::pass("reply");
        let applied = ends.into_iter().zip(&searches).map(|(end, search)| {
            if search.has_more {
                Applied::DueFirst
            } else {
                Applied::Committed(end)
            }
        });
        Ok(applied.collect())
    }

    /// Loads what is due in a batch's partition, and finds the next due time.
    async fn load_due(
        &self,
        connection: &mut PgConnection,
        PartitionBatch { known, part }: &PartitionBatch,
        now: Timestamp,
        state: &mut State,
    ) -> sqlx::Result<DueSearch> {
        // `ExpireDue` always searches, whatever the known next due time: a ticket or the table says that rows are due.
        let is_requested = part
            .entries()
            .iter()
            .any(|entry| entry.command.action == Action::ExpireDue);
        if known.next_due.is_clear_at(now) && !is_requested {
            return Ok(DueSearch {
                has_loaded: false,
                has_more: false,
                next_due: known.next_due,
            });
        }
        let scope = Scope {
            now,
            slots: self.partitions.slots(known.lease.partition),
        };
        let mut due = due::find(connection, &scope).await?;
        let next_due = if due.has_more {
            NextDue::Unknown
        } else {
            NextDue::found(due::next(connection, &scope).await?)
        };
        if is_requested {
            due::add_parked(connection, &scope, &mut due).await?;
        }
        load::add_due(connection, &self.keys, &due, state).await?;
        Ok(DueSearch {
            has_loaded: !due.ids.is_empty(),
            has_more: due.has_more,
            next_due,
        })
    }
}

/// The result of the search for due rows.
struct DueSearch {
    has_loaded: bool,
    /// More is due than one transaction ends.
    has_more: bool,
    next_due: NextDue,
}
