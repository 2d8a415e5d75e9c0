//! The partition rows: who applies a partition, and how far it has come.
//!
//! The epoch is the fence: a batch commits only if the row still has the epoch and the position that its worker knows.
//! So two workers can never both apply, whatever their clocks, pauses and networks do; the lease only decides how soon
//! a successor tries. All times are Postgres's.

use std::time::Duration;

use chrono::{DateTime, Utc};
use holdfast_common::partition::{Partition, Partitions};
use holdfast_common::time::Timestamp;
use sqlx::postgres::Postgres;
use sqlx::postgres::types::PgInterval;
use sqlx::{PgConnection, PgPool, QueryBuilder};

/// A partition that is ours for now, and how far it has come.
#[derive(Clone, Debug)]
pub struct Lease {
    /// The partition.
    pub partition: Partition,
    /// Which owner of it we are.
    pub epoch: i64,
    /// When the stream was made that the position counts in.
    pub stream_created: DateTime<Utc>,
    /// The last log sequence whose effects are committed.
    pub applied_seq: u64,
}

type LeaseRow = (i16, i64, DateTime<Utc>, i64);

impl From<LeaseRow> for Lease {
    fn from((partition, epoch, stream_created, applied_seq): LeaseRow) -> Self {
        // Stored from a u16, and from a u64 that counts messages.
        let (partition, applied_seq) = (
            Partition(partition.cast_unsigned()),
            applied_seq.cast_unsigned(),
        );
        Self {
            partition,
            epoch,
            stream_created,
            applied_seq,
        }
    }
}

pub(super) fn interval(duration: Duration) -> PgInterval {
    PgInterval {
        months: 0,
        days: 0,
        microseconds: i64::try_from(duration.as_micros()).unwrap_or(i64::MAX),
    }
}

/// Makes the rows of partitions that have none yet.
///
/// # Errors
/// When Postgres fails.
pub async fn create_rows(pool: &PgPool, partitions: Partitions) -> sqlx::Result<()> {
    let last = partitions.count().cast_signed() - 1;
    sqlx::query("INSERT INTO partitions (partition) SELECT generate_series(0, $1::smallint) ON CONFLICT DO NOTHING")
        .bind(last)
        .execute(pool)
        .await?;
    Ok(())
}

/// Takes up to so many partitions that nobody has, or whose worker gave no sign of life.
///
/// # Errors
/// When Postgres fails.
pub async fn take_free(
    pool: &PgPool,
    owner: &str,
    lease: Duration,
    partitions: Partitions,
    count: i64,
) -> sqlx::Result<Vec<Lease>> {
    // A row that is locked belongs to a batch or to another worker that is just taking it. Rows of a log that had more
    // partitions belong to nobody.
    let rows: Vec<LeaseRow> = sqlx::query_as(
        "UPDATE partitions SET owner = $1, epoch = epoch + 1, lease_until = now() + $2
         WHERE partition IN (
             SELECT partition FROM partitions WHERE lease_until <= now() AND partition < $3
             ORDER BY partition LIMIT $4 FOR UPDATE SKIP LOCKED
         )
         RETURNING partition, epoch, stream_created, applied_seq",
    )
    .bind(owner)
    .bind(interval(lease))
    .bind(partitions.count().cast_signed())
    .bind(count)
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(Lease::from).collect())
}

/// Renews the leases of partitions that are ours and had no batch for a while.
///
/// # Errors
/// When Postgres fails.
pub async fn renew(pool: &PgPool, owner: &str, lease: Duration) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE partitions SET lease_until = now() + $2
         WHERE partition IN (
             SELECT partition FROM partitions WHERE owner = $1 AND lease_until <= now() + $2 * 0.7
             ORDER BY partition FOR UPDATE SKIP LOCKED
         )",
    )
    .bind(owner)
    .bind(interval(lease))
    .execute(pool)
    .await?;
    Ok(())
}

/// The partitions that are ours by the table, each with its epoch.
///
/// # Errors
/// When Postgres fails.
pub async fn owned(pool: &PgPool, owner: &str) -> sqlx::Result<Vec<(Partition, i64)>> {
    let rows: Vec<(i16, i64)> =
        sqlx::query_as("SELECT partition, epoch FROM partitions WHERE owner = $1")
            .bind(owner)
            .fetch_all(pool)
            .await?;
    Ok(rows
        .into_iter()
        .map(|(partition, epoch)| (Partition(partition.cast_unsigned()), epoch))
        .collect())
}

/// Gives a partition back, so that another worker can have it at once.
///
/// # Errors
/// When Postgres fails.
pub async fn give_back(pool: &PgPool, lease: &Lease) -> sqlx::Result<()> {
    sqlx::query("UPDATE partitions SET owner = NULL, lease_until = '-infinity' WHERE partition = $1 AND epoch = $2")
        .bind(lease.partition.0.cast_signed())
        .bind(lease.epoch)
        .execute(pool)
        .await?;
    Ok(())
}

/// Gives a partition up without knowing which owner of it we were.
///
/// # Errors
/// When Postgres fails.
pub async fn give_up(pool: &PgPool, owner: &str, partition: Partition) -> sqlx::Result<()> {
    sqlx::query("UPDATE partitions SET owner = NULL, lease_until = '-infinity' WHERE partition = $1 AND owner = $2")
        .bind(partition.0.cast_signed())
        .bind(owner)
        .execute(pool)
        .await?;
    Ok(())
}

/// Reads a partition as it is now, if it is still ours.
///
/// # Errors
/// When Postgres fails.
pub async fn read_own(pool: &PgPool, lease: &Lease) -> sqlx::Result<Option<Lease>> {
    let row: Option<LeaseRow> = sqlx::query_as(
        "SELECT partition, epoch, stream_created, applied_seq FROM partitions WHERE partition = $1 AND epoch = $2",
    )
    .bind(lease.partition.0.cast_signed())
    .bind(lease.epoch)
    .fetch_optional(pool)
    .await?;
    Ok(row.map(Lease::from))
}

/// Whether the rows of partitions, each once, are as we know them.
///
/// # Errors
/// When Postgres fails.
pub async fn are_as_known<'l>(
    connection: &mut PgConnection,
    known: impl ExactSizeIterator<Item = &'l Lease> + Clone,
) -> sqlx::Result<bool> {
    let found: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM UNNEST($1::smallint[], $2::bigint[], $3::bigint[], $4::timestamptz[])
             AS known (partition, epoch, applied_seq, stream_created)
         JOIN partitions USING (partition, epoch, applied_seq, stream_created)",
    )
    .bind(
        known
            .clone()
            .map(|lease| lease.partition.0.cast_signed())
            .collect::<Vec<_>>(),
    )
    .bind(known.clone().map(|lease| lease.epoch).collect::<Vec<_>>())
    .bind(
        known
            .clone()
            .map(|lease| lease.applied_seq.cast_signed())
            .collect::<Vec<_>>(),
    )
    .bind(
        known
            .clone()
            .map(|lease| lease.stream_created)
            .collect::<Vec<_>>(),
    )
    .fetch_one(connection)
    .await?;
    Ok(found == known.len() as i64)
}

/// A partition's row as we know it, and as it is to be.
#[derive(Clone, Debug)]
pub struct Move {
    /// The partition as we know it.
    pub known: Lease,
    /// Where it is to stand.
    pub to: Lease,
}

/// What is written together with it is written only if nobody else has changed the rows of the partitions that it moves.
#[derive(Clone, Copy, Debug)]
pub struct Fence<'m> {
    /// The partitions, each once.
    pub moves: &'m [Move],
    /// For how long they stay ours from then on.
    pub lease: Duration,
    /// What is written with it is true only before this, by Postgres's clock.
    pub good_until: Option<Timestamp>,
}

impl Fence<'_> {
    /// The update that moves those of the rows that are as we know them.
    pub(super) fn push_to(&self, query: &mut QueryBuilder<Postgres>) {
        fn column<C>(moves: &[Move], value: impl Fn(&Move) -> C) -> Vec<C> {
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
            .push_bind(column(moves, |row| row.known.partition.0.cast_signed()))
            .push("::smallint[], ");
        query
            .push_bind(column(moves, |row| row.known.epoch))
            .push("::bigint[], ");
        query
            .push_bind(column(moves, |row| row.known.applied_seq.cast_signed()))
            .push("::bigint[], ");
        query
            .push_bind(column(moves, |row| row.known.stream_created))
            .push("::timestamptz[], ");
        query
            .push_bind(column(moves, |row| row.to.applied_seq.cast_signed()))
            .push("::bigint[], ");
        query
            .push_bind(column(moves, |row| row.to.stream_created))
            .push(
            "::timestamptz[]) AS new (partition, epoch, known_seq, known_stream, to_seq, to_stream)
             WHERE partitions.partition = new.partition AND partitions.epoch = new.epoch
                 AND applied_seq = new.known_seq AND stream_created = new.known_stream",
        );
        if let Some(good_until) = good_until {
            query
                .push(" AND clock_timestamp() < ")
                .push_bind(DateTime::<Utc>::from(*good_until));
        }
    }
}

/// Moves one partition and renews its lease, and tells Postgres's time. `None` when the row is no longer as we know it:
/// then nothing of ours may be committed.
///
/// # Errors
/// When Postgres fails.
pub async fn advance(
    connection: &mut PgConnection,
    row: &Move,
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

/// The position that every partition has passed in the stream that was made then; `None` while some count in another.
///
/// # Errors
/// When Postgres fails.
pub async fn passed_by_all(
    pool: &PgPool,
    partitions: Partitions,
    stream_created: DateTime<Utc>,
) -> sqlx::Result<Option<u64>> {
    let passed: Option<i64> = sqlx::query_scalar(
        "SELECT CASE WHEN bool_and(stream_created = $1) THEN min(applied_seq) END FROM partitions WHERE partition < $2",
    )
    .bind(stream_created)
    .bind(partitions.count().cast_signed())
    .fetch_one(pool)
    .await?;
    Ok(passed.map(i64::cast_unsigned))
}
