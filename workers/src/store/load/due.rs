//! What is due: holds whose time has run out, orders that were not paid in time, payments that nothing matched.
//!
//! For the whole partition, so that no command of a batch is refused for units that are due.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use holdfast_common::id::HoldId;
use holdfast_common::time::Timestamp;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::store::load::Scope;

/// The most holds, orders and payments each that one transaction ends.
const DUE_MAX: i64 = 4096;

/// What was found due.
#[derive(Default)]
pub struct Due {
    /// The holds; the orders, and what payments that have waited long were for, by the ids of their holds.
    pub ids: BTreeSet<HoldId>,
    /// Whether there is more than one transaction ends.
    pub has_more: bool,
}

/// Finds the holds and orders of a partition that are due.
///
/// # Errors
/// When Postgres fails.
pub async fn find(connection: &mut PgConnection, scope: &Scope) -> sqlx::Result<Due> {
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
    // With as many of one kind there may be more; with as many of both together there may not, and one look more shows.
    Ok(Due {
        has_more: found.len() as i64 >= DUE_MAX,
        ids: hold_ids(found)?,
    })
}

/// When the next hold or order falls due that is not due yet; `None` when there is none.
///
/// # Errors
/// When Postgres fails.
pub async fn next(connection: &mut PgConnection, scope: &Scope) -> sqlx::Result<Option<Timestamp>> {
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

/// Adds the payments that have waited so long that they may be unmatched; the decision knows how long that is.
///
/// # Errors
/// When Postgres fails.
pub async fn add_parked(
    connection: &mut PgConnection,
    scope: &Scope,
    due: &mut Due,
) -> sqlx::Result<()> {
    let found: Vec<Uuid> = sqlx::query_scalar(
        "SELECT order_id FROM payments
         WHERE state = 'parked' AND received_at <= $1 - interval '24 hours' AND slot BETWEEN $2 AND $3
         ORDER BY received_at LIMIT $4",
    )
    .bind(DateTime::<Utc>::from(scope.now))
    .bind(scope.slots.start().as_i16())
    .bind(scope.slots.end().as_i16())
    .bind(DUE_MAX)
    .fetch_all(connection)
    .await?;
    due.ids.extend(hold_ids(found)?);
    Ok(())
}

fn hold_ids(found: Vec<Uuid>) -> sqlx::Result<BTreeSet<HoldId>> {
    let ids = found
        .into_iter()
        .map(HoldId::from_uuid)
        .collect::<Result<_, _>>();
    ids.map_err(|error| sqlx::Error::Decode(error.into()))
}
