//! What is due: holds whose time has run out, orders that were not paid in time, payments that nothing matched.
//!
//! For the products of the batch, so that none is refused for units that are due; for the whole partition when the batch
//! was asked to expire.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use holdfast_common::domain::{Hold, Order, State};
use holdfast_common::id::{HoldId, ProductId};
use holdfast_common::rows::{HoldRow, OrderRow};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Scope;

/// The most holds, orders and payments each that one batch ends.
const DUE_MAX: i64 = 4096;

/// What was found due.
#[derive(Default)]
pub(super) struct Due {
    /// The products it is of.
    pub(super) products: Vec<ProductId>,
    /// The ids whose orders and payments have to be looked at.
    pub(super) settled: Vec<HoldId>,
    /// Whether there is more.
    pub(super) has_more: bool,
}

pub(super) async fn load(
    connection: &mut PgConnection,
    scope: &Scope,
    products: &BTreeSet<ProductId>,
    whole_partition: bool,
    state: &mut State,
) -> sqlx::Result<Due> {
    let products = products.iter().map(|id| id.0).collect::<Vec<_>>();
    let mut due = Due::default();
    if products.is_empty() && !whole_partition {
        return Ok(due);
    }
    for hold in holds(connection, scope, &products, whole_partition).await? {
        due.products.push(hold.product_id);
        due.settled.push(hold.id);
        state.load_hold(hold);
    }
    for order in orders(connection, scope, &products, whole_partition).await? {
        due.products.push(order.product_id);
        due.settled.push(order.id);
    }
    if whole_partition {
        due.settled.extend(parked(connection, scope).await?);
    }
    due.has_more = due.settled.len() as i64 >= DUE_MAX;
    Ok(due)
}

async fn holds(
    connection: &mut PgConnection,
    scope: &Scope,
    products: &[i64],
    whole_partition: bool,
) -> sqlx::Result<Vec<Hold>> {
    let rows: Vec<HoldRow> = sqlx::query_as(
        "SELECT hold_id, product_id, quantity, customer_id, price_minor, currency, status::text, sequence, created_at,
             expires_at, ended_at
         FROM holds
         WHERE status = 'active' AND expires_at <= $1 AND slot BETWEEN $2 AND $3 AND ($4 OR product_id = ANY ($5))
         ORDER BY expires_at LIMIT $6",
    )
    .bind(DateTime::<Utc>::from(scope.now))
    .bind(scope.slots.start().as_i16())
    .bind(scope.slots.end().as_i16())
    .bind(whole_partition)
    .bind(products)
    .bind(DUE_MAX)
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(|row| Ok(Hold::try_from(row)?)).collect()
}

async fn orders(
    connection: &mut PgConnection,
    scope: &Scope,
    products: &[i64],
    whole_partition: bool,
) -> sqlx::Result<Vec<Order>> {
    let rows: Vec<OrderRow> = sqlx::query_as(
        "SELECT order_id, product_id, quantity, customer_id, amount_minor, currency, status::text, cancel_reason::text,
             payment_id, settled_at, refund_status::text, payment_due_at, created_at
         FROM orders
         WHERE status = 'pending_payment' AND payment_due_at <= $1 AND slot BETWEEN $2 AND $3
             AND ($4 OR product_id = ANY ($5))
         ORDER BY payment_due_at LIMIT $6",
    )
    .bind(DateTime::<Utc>::from(scope.now))
    .bind(scope.slots.start().as_i16())
    .bind(scope.slots.end().as_i16())
    .bind(whole_partition)
    .bind(products)
    .bind(DUE_MAX)
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(|row| Ok(Order::try_from(row)?)).collect()
}

/// Payments that have waited so long that they may be unmatched; the decision knows how long that is.
async fn parked(connection: &mut PgConnection, scope: &Scope) -> sqlx::Result<Vec<HoldId>> {
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
    rows.into_iter().map(|id| HoldId::from_uuid(id).map_err(|error| sqlx::Error::Decode(error.into()))).collect()
}
