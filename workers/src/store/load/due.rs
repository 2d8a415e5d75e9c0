//! What is due: holds whose time has run out, orders that were not paid in time, payments that nothing matched.
//!
//! For the whole partition, so that no command of a batch is refused for units that are due.

use chrono::{DateTime, Utc};
use holdfast_common::domain::{Hold, Order};
use holdfast_common::id::HoldId;
use holdfast_common::rows::{HoldRow, OrderRow};
use holdfast_common::time::Timestamp;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Scope;

/// The most holds, orders and payments each that one transaction ends.
const DUE_MAX: i64 = 4096;

/// What was found due.
#[derive(Default)]
pub struct Due {
    /// Holds whose time has run out.
    pub(super) holds: Vec<Hold>,
    /// Unpaid orders whose time has run out.
    pub(super) orders: Vec<Order>,
    /// What payments were for that have waited long.
    pub(super) parked: Vec<HoldId>,
    /// Whether there is more than one transaction ends.
    pub has_more: bool,
}

/// Loads the holds and orders of a partition that are due.
///
/// # Errors
/// When Postgres fails, or a row makes no sense.
pub async fn load(connection: &mut PgConnection, scope: &Scope) -> sqlx::Result<Due> {
    let holds = holds(connection, scope).await?;
    let orders = orders(connection, scope).await?;
    let has_more = holds.len().max(orders.len()) as i64 >= DUE_MAX;
    Ok(Due { holds, orders, parked: Vec::new(), has_more })
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

async fn holds(connection: &mut PgConnection, scope: &Scope) -> sqlx::Result<Vec<Hold>> {
    let rows: Vec<HoldRow> = sqlx::query_as(
        "SELECT hold_id, product_id, quantity, customer_id, price_minor, currency, status::text, sequence, created_at,
             expires_at, ended_at
         FROM holds WHERE status = 'active' AND expires_at <= $1 AND slot BETWEEN $2 AND $3
         ORDER BY expires_at LIMIT $4",
    )
    .bind(DateTime::<Utc>::from(scope.now))
    .bind(scope.slots.start().as_i16())
    .bind(scope.slots.end().as_i16())
    .bind(DUE_MAX)
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(|row| Ok(Hold::try_from(row)?)).collect()
}

async fn orders(connection: &mut PgConnection, scope: &Scope) -> sqlx::Result<Vec<Order>> {
    let rows: Vec<OrderRow> = sqlx::query_as(
        "SELECT order_id, product_id, quantity, customer_id, amount_minor, currency, status::text, cancel_reason::text,
             payment_id, settled_at, refund_status::text, payment_due_at, created_at
         FROM orders WHERE status = 'pending_payment' AND payment_due_at <= $1 AND slot BETWEEN $2 AND $3
         ORDER BY payment_due_at LIMIT $4",
    )
    .bind(DateTime::<Utc>::from(scope.now))
    .bind(scope.slots.start().as_i16())
    .bind(scope.slots.end().as_i16())
    .bind(DUE_MAX)
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(|row| Ok(Order::try_from(row)?)).collect()
}

/// Adds the payments that have waited so long that they may be unmatched; the decision knows how long that is.
///
/// # Errors
/// When Postgres fails.
pub async fn add_parked(connection: &mut PgConnection, scope: &Scope, due: &mut Due) -> sqlx::Result<()> {
    let rows: Vec<Uuid> = sqlx::query_scalar(
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
    for id in rows {
        due.parked.push(HoldId::from_uuid(id).map_err(|error| sqlx::Error::Decode(error.into()))?);
    }
    Ok(())
}
