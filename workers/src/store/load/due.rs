//! Rows that are due: holds past their expiry, orders that were not paid in time, payments that nothing matched.
//!
//! A batch ends what is due in its whole partition, so that no command is refused for units that are about to come back.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use holdfast_common::domain::UNMATCHED_AFTER;
use holdfast_common::id::{HoldId, Slot};
use holdfast_common::partition::{Partition, Partitions};
use holdfast_common::partition_of_slot;
use holdfast_common::time::Timestamp;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// The most holds, the most orders and the most payments that one transaction ends.
const DUE_MAX: i64 = 4096;

/// Where a batch searches.
pub struct DueScope {
    /// The batch's time.
    pub now: Timestamp,
    /// The slots of its partition.
    pub slots: RangeInclusive<Slot>,
}

#[derive(Default)]
pub struct DueRows {
    /// Holds. An order or a payment has the id of its hold.
    pub ids: BTreeSet<HoldId>,
    /// Whether more is due than one transaction ends.
    pub has_more: bool,
}

/// Finds the holds and orders of a partition that are due.
///
/// # Errors
/// When Postgres fails.
pub async fn find(connection: &mut PgConnection, scope: &DueScope) -> sqlx::Result<DueRows> {
    let found: Vec<Uuid> = sqlx::query_scalar(
        "(SELECT hold_id FROM holds WHERE status = 'active' AND expires_at <= $1 AND slot BETWEEN $2 AND $3
          ORDER BY expires_at LIMIT $4)
         UNION ALL
         (SELECT order_id FROM orders WHERE status = 'pending_payment' AND payment_due_at <= $1 AND slot BETWEEN $2 AND $3
          ORDER BY payment_due_at LIMIT $4)",
    )
    .bind(DateTime::<Utc>::from(scope.now))
    .bind(scope.slots.start().as_i16())
    .bind(scope.slots.end().as_i16())
    .bind(DUE_MAX)
    .fetch_all(connection)
    .await?;
    // The limit may be reached by holds and orders together, and then no more may be due. The next search finds out.
    Ok(DueRows {
        has_more: found.len() as i64 >= DUE_MAX,
        ids: hold_ids(found)?,
    })
}

/// The next due time of a hold or an order that is not due yet; `None` when there is none.
///
/// # Errors
/// When Postgres fails.
pub async fn next(
    connection: &mut PgConnection,
    scope: &DueScope,
) -> sqlx::Result<Option<Timestamp>> {
    let next: Option<DateTime<Utc>> = sqlx::query_scalar(
        "SELECT least(
             (SELECT expires_at FROM holds WHERE status = 'active' AND expires_at > $1 AND slot BETWEEN $2 AND $3
              ORDER BY expires_at LIMIT 1),
             (SELECT payment_due_at FROM orders
              WHERE status = 'pending_payment' AND payment_due_at > $1 AND slot BETWEEN $2 AND $3
              ORDER BY payment_due_at LIMIT 1))",
    )
    .bind(DateTime::<Utc>::from(scope.now))
    .bind(scope.slots.start().as_i16())
    .bind(scope.slots.end().as_i16())
    .fetch_one(connection)
    .await?;
    Ok(next.map(Timestamp::from))
}

/// Adds payments that have been parked for so long that they may become unmatched. `decide` checks the time again.
///
/// # Errors
/// When Postgres fails.
pub async fn add_parked(
    connection: &mut PgConnection,
    scope: &DueScope,
    due: &mut DueRows,
) -> sqlx::Result<()> {
    let found: Vec<Uuid> = sqlx::query_scalar(
        "SELECT order_id FROM payments
         WHERE state = 'parked' AND received_at <= $1 AND slot BETWEEN $2 AND $3
         ORDER BY received_at LIMIT $4",
    )
    .bind(DateTime::<Utc>::from(scope.now.minus(UNMATCHED_AFTER)))
    .bind(scope.slots.start().as_i16())
    .bind(scope.slots.end().as_i16())
    .bind(DUE_MAX)
    .fetch_all(connection)
    .await?;
    due.ids.extend(hold_ids(found)?);
    Ok(())
}

/// The partitions of a worker in which something is overdue by a second, and Postgres's time.
///
/// # Errors
/// When Postgres fails.
pub async fn overdue_partitions(
    pool: &PgPool,
    owner: &str,
    partitions: Partitions,
) -> sqlx::Result<Vec<(Partition, Timestamp)>> {
    let rows: Vec<(i16, DateTime<Utc>)> = sqlx::query_as(
        concat!(
            "WITH overdue AS (
             (SELECT slot FROM holds WHERE status = 'active' AND expires_at <= now() - interval '1 second'
              ORDER BY expires_at LIMIT 10000)
             UNION ALL
             (SELECT slot FROM orders WHERE status = 'pending_payment' AND payment_due_at <= now() - interval '1 second'
              ORDER BY payment_due_at LIMIT 10000)
             UNION ALL
             (SELECT slot FROM payments WHERE state = 'parked' AND received_at <= now() - make_interval(secs => $3)
              ORDER BY received_at LIMIT 10000)
         )
         SELECT partition, now() FROM partitions
         WHERE owner = $1 AND partition IN (SELECT ", partition_of_slot!("slot", "$2"), " FROM overdue)",
        ),
    )
    .bind(owner)
    .bind(i32::from(partitions.count()))
    .bind(UNMATCHED_AFTER.as_secs_f64())
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|(partition, now)| (Partition(partition.cast_unsigned()), now.into()))
        .collect())
}

fn hold_ids(found: Vec<Uuid>) -> sqlx::Result<BTreeSet<HoldId>> {
    let ids = found
        .into_iter()
        .map(HoldId::from_uuid)
        .collect::<Result<_, _>>();
    ids.map_err(|error| sqlx::Error::Decode(error.into()))
}
