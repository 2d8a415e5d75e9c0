//! Lists of payments, for operators: oldest first, a page at a time.

use chrono::{DateTime, Utc};
use holdfast_common::encryption::{Keyring, SealedKind};
use holdfast_common::id::HoldId;
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

/// The states of payments that are or were refunded.
pub const REFUND_STATES: [&str; 3] = ["refund_due", "refund_requested", "refunded"];

/// A payment as an operator looks at it.
#[derive(Clone, Debug, FromRow)]
pub struct ListedPayment {
    /// The order, or the hold that may become it.
    pub order_id: Uuid,
    /// The product, where the order or hold is known.
    pub product_id: Option<i64>,
    /// The payment, as its provider names it.
    pub payment_id: String,
    /// Whether it succeeded; otherwise it failed.
    pub succeeded: bool,
    /// What was paid, in minor units; where nobody said, what the order costs.
    pub amount_minor: Option<i64>,
    /// The currency, likewise.
    pub currency: Option<String>,
    /// What became of it.
    pub state: String,
    /// Why its money goes back, where it does.
    pub refund_reason: Option<String>,
    /// When it was told of first.
    pub received_at: DateTime<Utc>,
}

/// The payment before the first of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentCursor {
    pub received_at: DateTime<Utc>,
    pub order_id: Uuid,
    pub payment_id: String,
}

/// Payments in some states, in the order in which they were told of.
///
/// # Errors
/// When Postgres fails.
pub async fn list(
    pool: &PgPool,
    keys: &Keyring,
    states: &[&str],
    after: Option<&PaymentCursor>,
    limit: i64,
) -> sqlx::Result<Vec<ListedPayment>> {
    let mut listed: Vec<ListedPayment> = sqlx::query_as(
        "SELECT payments.order_id, coalesce(orders.product_id, holds.product_id) AS product_id,
             coalesce(payments.payment_sealed, payments.payment_id) AS payment_id, payments.succeeded, coalesce(payments.amount_minor, orders.amount_minor) AS amount_minor,
             coalesce(payments.currency, orders.currency) AS currency, payments.state::text AS state,
             payments.refund_reason::text AS refund_reason, payments.received_at
         FROM payments
         LEFT JOIN orders ON orders.slot = payments.slot AND orders.order_id = payments.order_id
         LEFT JOIN holds ON holds.slot = payments.slot AND holds.hold_id = payments.order_id
         WHERE payments.state = ANY ($1::payment_state[])
             AND ($2::timestamptz IS NULL OR (payments.received_at, payments.order_id, payments.payment_id) > ($2, $3, $4))
         ORDER BY payments.received_at, payments.order_id, payments.payment_id LIMIT $5",
    )
    .bind(states)
    .bind(after.map(|after| after.received_at))
    .bind(after.map(|after| after.order_id))
    .bind(after.map(|after| keys.index(SealedKind::PaymentId, &after.payment_id)))
    .bind(limit)
    .fetch_all(pool)
    .await?;
    for payment in &mut listed {
        let sealed = std::mem::take(&mut payment.payment_id);
        payment.payment_id = keys.open_text(SealedKind::PaymentId, payment.order_id, sealed)?;
    }
    Ok(listed)
}

/// What became of one payment; `None` when it is not known.
///
/// # Errors
/// When Postgres fails.
pub async fn state(
    pool: &PgPool,
    keys: &Keyring,
    order_id: HoldId,
    payment_id: &str,
) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar(
        "SELECT state::text FROM payments WHERE slot = $1 AND order_id = $2 AND payment_id = $3",
    )
    .bind(order_id.slot().as_i16())
    .bind(order_id.uuid())
    .bind(keys.index(SealedKind::PaymentId, payment_id))
    .fetch_optional(pool)
    .await
}
