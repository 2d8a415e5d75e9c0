//! The orders that a batch names or that are due, and the payments of each.

use std::collections::BTreeSet;

use holdfast_common::domain::{Order, Payment, State};
use holdfast_common::id::HoldId;
use holdfast_common::rows::{OrderRow, PaymentRow};
use sqlx::PgConnection;

pub(super) async fn load(
    connection: &mut PgConnection,
    orders: &BTreeSet<HoldId>,
    state: &mut State,
) -> sqlx::Result<()> {
    if orders.is_empty() {
        return Ok(());
    }
    let slots = orders.iter().map(|id| id.slot().as_i16()).collect::<Vec<_>>();
    let ids = orders.iter().map(|id| id.uuid()).collect::<Vec<_>>();
    let rows: Vec<OrderRow> = sqlx::query_as(
        "SELECT order_id, product_id, quantity, customer_id, amount_minor, currency, status::text, cancel_reason::text,
             payment_id, settled_at, refund_status::text, payment_due_at, created_at
         FROM UNNEST($1::smallint[], $2::uuid[]) AS named (slot, order_id) JOIN orders USING (slot, order_id)",
    )
    .bind(&slots)
    .bind(&ids)
    .fetch_all(&mut *connection)
    .await?;
    for row in rows {
        state.load_order(Order::try_from(row)?);
    }
    let rows: Vec<PaymentRow> = sqlx::query_as(
        "SELECT order_id, payment_id, succeeded, amount_minor, currency, state::text, refund_reason::text, arrival,
             received_at
         FROM UNNEST($1::smallint[], $2::uuid[]) AS named (slot, order_id) JOIN payments USING (slot, order_id)
         ORDER BY order_id, arrival",
    )
    .bind(&slots)
    .bind(&ids)
    .fetch_all(connection)
    .await?;
    for row in rows {
        state.load_payment(Payment::try_from(row)?);
    }
    Ok(())
}
