//! The fence: a batch commits only if its partition's row still has the epoch and the position of its worker's progress.
//!
//! So two workers can never both apply a partition, whatever their clocks, pauses and networks do (I6). A worker that was
//! replaced finds another epoch. A worker whose own commit succeeded without its knowledge finds another position.

use std::time::Duration;

use chrono::{DateTime, Utc};
use holdfast_common::time::Timestamp;
use sqlx::postgres::Postgres;
use sqlx::{PgConnection, QueryBuilder};

use crate::store::lease::{Lease, interval};

/// Whether the rows of partitions, each given once, match this worker's leases.
///
/// # Errors
/// When Postgres fails.
pub async fn rows_match<'l>(
    connection: &mut PgConnection,
    leases: impl ExactSizeIterator<Item = &'l Lease> + Clone,
) -> sqlx::Result<bool> {
    let found: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM UNNEST($1::smallint[], $2::bigint[], $3::bigint[], $4::timestamptz[])
             AS lease (partition, epoch, applied_seq, stream_created)
         JOIN partitions USING (partition, epoch, applied_seq, stream_created)",
    )
    .bind(
        leases
            .clone()
            .map(|lease| lease.partition.0.cast_signed())
            .collect::<Vec<_>>(),
    )
    .bind(leases.clone().map(|lease| lease.epoch).collect::<Vec<_>>())
    .bind(
        leases
            .clone()
            .map(|lease| lease.applied_seq.cast_signed())
            .collect::<Vec<_>>(),
    )
    .bind(
        leases
            .clone()
            .map(|lease| lease.stream_created)
            .collect::<Vec<_>>(),
    )
    .fetch_one(connection)
    .await?;
    Ok(found == leases.len() as i64)
}

/// The change of a partition's position.
#[derive(Clone, Debug)]
pub struct PartitionMove {
    /// The row as this worker last read or wrote it.
    pub from: Lease,
    pub to: Lease,
}

impl PartitionMove {
    /// Moves a partition to a position in the same stream.
    #[must_use]
    pub fn new(from: &Lease, applied_seq: u64) -> Self {
        Self {
            from: from.clone(),
            to: Lease {
                applied_seq,
                ..from.clone()
            },
        }
    }
}

/// The condition of a write: no other worker has changed the rows of the partitions that it moves.
#[derive(Clone, Copy, Debug)]
pub struct Fence<'m> {
    /// The partitions, each once.
    pub moves: &'m [PartitionMove],
    /// The partitions' leases end this long after the write.
    pub lease: Duration,
    /// The write is valid only before this time, by Postgres's clock.
    pub good_until: Option<Timestamp>,
}

impl Fence<'_> {
    /// Pushes the update of the rows that match this worker's leases.
    pub(super) fn push_to(&self, query: &mut QueryBuilder<Postgres>) {
        fn column<C>(moves: &[PartitionMove], value: impl Fn(&PartitionMove) -> C) -> Vec<C> {
            moves.iter().map(value).collect()
        }
        let Fence {
            moves,
            lease,
            good_until,
        } = self;
        query.push(
            "UPDATE partitions SET applied_seq = new.to_seq, stream_created = new.to_stream, lease_until = now() + ",
        );
        query.push_bind(interval(*lease)).push(" FROM UNNEST(");
        query
            .push_bind(column(moves, |row| row.from.partition.0.cast_signed()))
            .push("::smallint[], ");
        query
            .push_bind(column(moves, |row| row.from.epoch))
            .push("::bigint[], ");
        query
            .push_bind(column(moves, |row| row.from.applied_seq.cast_signed()))
            .push("::bigint[], ");
        query
            .push_bind(column(moves, |row| row.from.stream_created))
            .push("::timestamptz[], ");
        query
            .push_bind(column(moves, |row| row.to.applied_seq.cast_signed()))
            .push("::bigint[], ");
        query
            .push_bind(column(moves, |row| row.to.stream_created))
            .push(
            "::timestamptz[]) AS new (partition, epoch, from_seq, from_stream, to_seq, to_stream)
             WHERE partitions.partition = new.partition AND partitions.epoch = new.epoch
                 AND applied_seq = new.from_seq AND stream_created = new.from_stream",
        );
        if let Some(good_until) = good_until {
            query
                .push(" AND clock_timestamp() < ")
                .push_bind(DateTime::<Utc>::from(*good_until));
        }
    }
}

/// Moves one partition, renews its lease, and returns Postgres's time. `None` when the row does not match:
/// then nothing of this transaction may be committed.
///
/// # Errors
/// When Postgres fails.
pub async fn advance(
    connection: &mut PgConnection,
    row: &PartitionMove,
    lease: Duration,
) -> sqlx::Result<Option<Timestamp>> {
    let mut query = QueryBuilder::new("");
    Fence {
        moves: std::slice::from_ref(row),
        lease,
        good_until: None,
    }
    .push_to(&mut query);
    let now: Option<DateTime<Utc>> = query
        .push(" RETURNING now()")
        .build_query_scalar()
        .fetch_optional(connection)
        .await?;
    Ok(now.map(Timestamp::from))
}
