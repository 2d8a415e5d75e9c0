//! The batch cycle: fetch (done by the [`crate::apply::reader`]), load, decide, store tickets, write and commit, reply.
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
use crate::apply::reader::BatchPart;
use crate::expiry::tickets::Tickets;
use crate::next_due::NextDue;
use crate::observe::batch_log::BatchLog;
use crate::observe::metrics::{Stage, Stages};
use crate::progress::Progress;
use crate::store::fence::{self, Fence, PartitionMove};
use crate::store::load::{self, due, due::DueScope};
use crate::store::write;

/// The longest time that a commit may take, from the check of the fence until every reader sees the commit.
const COMMIT_WAIT: Duration = Duration::from_millis(20);

/// Commands of one partition that are applied together, and the partition's progress before them.
#[derive(Clone, Debug)]
pub struct PartitionBatch {
    pub progress: Progress,
    pub part: BatchPart,
}

/// The result of an attempt to apply a batch.
#[derive(Clone, Debug)]
pub enum BatchResult {
    /// The batch is committed, and the partition has this progress now.
    Committed(Progress),
    /// More was due than one transaction ends. A part of it has ended; apply the batch again.
    DueFirst,
    /// A hold would have been ordered or released so shortly before its expiry that it might expire before the commit.
    /// Nothing happened. The hold has expired by now; apply the batch again.
    TooLate,
    /// The partition's row differs from this worker's progress. This attempt changed nothing.
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
    pub async fn apply(&self, batches: &[PartitionBatch]) -> Result<Vec<BatchResult>, BatchError> {
        // 1. Fetch. The reader of each partition has done it.
        crash_points::pass("fetch");
        let mut stages = Stages::begin();
        let mut connection = self.pool.acquire().await?;
        stages.end(Stage::Connection);

        // 2. Load the rows that the commands name, and the rows that are due.
        let Some(loaded) = self.load(&mut connection, batches).await? else {
            return Ok(vec![BatchResult::Fenced; batches.len()]);
        };
        let LoadedBatches {
            now,
            mut state,
            searches,
        } = loaded;
        stages.end(Stage::Load);
        crash_points::pass("load");

        // 3. Decide, in the log's order within each partition. No IO, no clock: `now` is Postgres's time of the load.
        // What is due ends first, so that the commands find its units available.
        expire_due(&mut state, now);
        let mut log = BatchLog::begin();
        let mut replies = Vec::new();
        let mut moves = Vec::with_capacity(batches.len());
        for (PartitionBatch { progress, part }, search) in batches.iter().zip(&searches) {
            // When more is due than one transaction ends, no command is decided yet: it could be refused for units that
            // are about to come back. This transaction only ends what is due.
            let nothing = BatchPart::nothing(progress.lease.applied_seq);
            let part = if search.has_more { &nothing } else { part };
            replies.reserve(part.entries().len());
            for entry in part.entries() {
                let command = &entry.command;
                let before = log.before(&state, command);
                let decision = decide(&mut state, command, now, &self.policy);
                log.record(progress, command, before, &decision, &state);
                if !command.action.is_internal() {
                    let reply = Reply {
                        request_id: command.request_id,
                        replayed: decision.replayed,
                        outcome: decision.outcome,
                    };
                    replies.push((entry.ingress, reply));
                }
            }
            moves.push(PartitionMove::new(&progress.lease, part.to_seq));
        }
        let changes = Changes::from(state);
        stages.end(Stage::Decide);

        // 4. Store the tickets of what will fall due. Before the commit: nothing would end a hold without a ticket in
        // time, while a ticket without a hold does no harm.
        self.tickets.ensure(&changes).await?;
        stages.end(Stage::Ticket);
        crash_points::pass("ticket");

        // 5. Write and commit, in one statement. A hold reads as expired from its expiry time on. If it ends in another way,
        // every reader must see that before this time, or it must not happen.
        let good_until = changes.good_until().map(|until| until.minus(COMMIT_WAIT));
        if good_until.is_some_and(|until| until <= now) {
            drop(connection);
            tokio::time::sleep(COMMIT_WAIT).await;
            return Ok(vec![BatchResult::TooLate; batches.len()]);
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
            return Ok(vec![BatchResult::Fenced; batches.len()]);
        }
        drop(connection);
        stages.end(Stage::Commit);
        crash_points::pass("commit");

        // 6. Log, publish the news and reply. Only now has anything happened (I5). A crash here loses the replies; ingresses
        // read the rows.
        log.publish(&changes, now, &stages);
        let ends = moves.into_iter().zip(&searches);
        let ends = ends.map(|(PartitionMove { to, .. }, search)| Progress {
            lease: to,
            next_due: search.next_due.after(&changes),
            retries: 0,
        });
        let ends: Vec<Progress> = ends.collect();
        self.announcer
            .send_committed(&ends, &replies, changes, now)
            .await;
        crash_points::pass("reply");
        let results = ends.into_iter().zip(&searches).map(|(end, search)| {
            if search.has_more {
                BatchResult::DueFirst
            } else {
                BatchResult::Committed(end)
            }
        });
        Ok(results.collect())
    }

    /// Loads the rows of batches: one statement for the rows that commands name, and a search in each partition whose next
    /// due time has come. `None` when a partition's row differs from this worker's progress.
    async fn load(
        &self,
        connection: &mut PgConnection,
        batches: &[PartitionBatch],
    ) -> sqlx::Result<Option<LoadedBatches>> {
        let commands = batches.iter().flat_map(|batch| batch.part.entries());
        let commands = commands.map(|entry| &entry.command);
        let (now, mut state) = load::state(connection, &self.keys, commands).await?;
        let mut searches = Vec::with_capacity(batches.len());
        for batch in batches {
            searches.push(self.load_due(connection, batch, now, &mut state).await?);
        }
        // Two statements read the same state of the rows only if no other worker moved the partition between them. `decide`
        // must not get rows that contradict each other, and the fence of the write comes too late for it. So the partition
        // rows are compared here, too.
        let leases = batches.iter().map(|batch| &batch.progress.lease);
        if searches.iter().any(|search| search.has_loaded)
            && !fence::rows_match(connection, leases).await?
        {
            return Ok(None);
        }
        Ok(Some(LoadedBatches {
            now,
            state,
            searches,
        }))
    }

    /// Loads what is due in a batch's partition, and finds the next due time.
    async fn load_due(
        &self,
        connection: &mut PgConnection,
        PartitionBatch { progress, part }: &PartitionBatch,
        now: Timestamp,
        state: &mut State,
    ) -> sqlx::Result<DueSearch> {
        // `ExpireDue` always searches: it comes from a ticket or from the tables, which may have rows that this worker's next
        // due time does not cover.
        let is_requested = part
            .entries()
            .iter()
            .any(|entry| entry.command.action == Action::ExpireDue);
        if progress.next_due.is_clear_at(now) && !is_requested {
            return Ok(DueSearch {
                has_loaded: false,
                has_more: false,
                next_due: progress.next_due,
            });
        }
        let scope = DueScope {
            now,
            slots: self.partitions.slots(progress.lease.partition),
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

/// The rows of batches, and Postgres's time of the load, which is the time of the batches.
struct LoadedBatches {
    now: Timestamp,
    state: State,
    /// One for each batch.
    searches: Vec<DueSearch>,
}

/// The result of the search for due rows in one partition.
struct DueSearch {
    has_loaded: bool,
    /// More is due than one transaction ends.
    has_more: bool,
    next_due: NextDue,
}
