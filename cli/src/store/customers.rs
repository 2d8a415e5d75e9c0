//! The rows that name a customer. No index covers customers of all products, so these queries scan whole slots.

use std::ops::RangeInclusive;

use holdfast_common::encryption::{Keyring, SealedKind};
use holdfast_common::id::{HoldId, InvalidId};
use holdfast_common::outcome::Outcome;
use serde_json::Value;
use sqlx::types::{Json, Uuid};
use sqlx::{FromRow, PgPool};

const OUTCOMES_PAGE_ROWS: i64 = 1000;

/// A hold of a customer.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct CustomerHold {
    pub(crate) slot: i16,
    pub(crate) hold_id: Uuid,
    /// Whether the hold and its order, if any, are in a final state.
    pub(crate) has_ended: bool,
    /// The row without the customer.
    pub(crate) document: Value,
}

impl CustomerHold {
    pub(crate) fn id(&self) -> Result<HoldId, InvalidId> {
        HoldId::from_uuid(self.hold_id)
    }
}

/// A customer's holds in some slots. `customer` is the value of the index column: see [`Keyring::index`].
pub(crate) async fn holds(
    pool: &PgPool,
    slots: RangeInclusive<u16>,
    customer: &str,
) -> sqlx::Result<Vec<CustomerHold>> {
    sqlx::query_as(
        "SELECT holds.slot, hold_id,
             holds.status IN ('released', 'expired') OR holds.status = 'active' AND holds.expires_at <= now()
                 OR coalesce(orders.status <> 'pending_payment', false) AS has_ended,
             to_jsonb(holds) - ARRAY['slot', 'customer_id', 'customer_sealed'] AS document
         FROM holds LEFT JOIN orders ON orders.slot = holds.slot AND order_id = hold_id
         WHERE holds.slot BETWEEN $1 AND $2 AND (holds.customer_id = $3 OR orders.customer_id = $3)
         ORDER BY holds.slot, hold_id",
    )
    .bind(slots.start().cast_signed())
    .bind(slots.end().cast_signed())
    .bind(customer)
    .fetch_all(pool)
    .await
}

/// The order id, the payment id or its ciphertext, and the row.
type PaymentRow = (Uuid, Option<String>, Value);

/// The orders of some holds of a slot.
pub(crate) async fn orders(
    pool: &PgPool,
    keys: &Keyring,
    slot: i16,
    holds: &[Uuid],
) -> sqlx::Result<Vec<Value>> {
    let rows = sqlx::query_as(
        "SELECT order_id, coalesce(payment_sealed, payment_id),
             to_jsonb(orders) - ARRAY['slot', 'customer_id', 'customer_sealed', 'payment_sealed']
         FROM orders WHERE slot = $1 AND order_id = ANY ($2) ORDER BY order_id",
    );
    let rows: Vec<PaymentRow> = rows.bind(slot).bind(holds).fetch_all(pool).await?;
    rows.into_iter().map(|row| decrypted(keys, row)).collect()
}

/// The payments for some holds of a slot, or for the orders of these holds.
pub(crate) async fn payments(
    pool: &PgPool,
    keys: &Keyring,
    slot: i16,
    holds: &[Uuid],
) -> sqlx::Result<Vec<Value>> {
    let rows = sqlx::query_as(
        "SELECT order_id, coalesce(payment_sealed, payment_id), to_jsonb(payments) - ARRAY['slot', 'payment_sealed']
         FROM payments WHERE slot = $1 AND order_id = ANY ($2) ORDER BY order_id, arrival",
    );
    let rows: Vec<PaymentRow> = rows.bind(slot).bind(holds).fetch_all(pool).await?;
    rows.into_iter().map(|row| decrypted(keys, row)).collect()
}

fn decrypted(keys: &Keyring, (id, payment, mut document): PaymentRow) -> sqlx::Result<Value> {
    let payment = payment
        .map(|text| keys.open_text(SealedKind::PaymentId, id, text))
        .transpose()?;
    document["payment_id"] = payment.into();
    Ok(document)
}

/// A stored outcome that names a customer.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct StoredOutcome {
    pub(crate) slot: i16,
    pub(crate) request_id: Uuid,
    pub(crate) replayed: bool,
    /// Encrypted when encryption is on.
    pub(crate) outcome: Json<Outcome>,
}

/// The next page of outcomes that name any customer. Postgres cannot filter by customer, because outcomes may be
/// encrypted.
pub(crate) async fn outcomes(
    pool: &PgPool,
    after: (i16, Uuid),
) -> sqlx::Result<Vec<StoredOutcome>> {
    sqlx::query_as(
        "SELECT slot, request_id, replayed, outcome FROM outcomes
         WHERE (slot, request_id) > ($1, $2) AND outcome::text ~ '\"customer_id\": ?\"'
         ORDER BY slot, request_id LIMIT $3",
    )
    .bind(after.0)
    .bind(after.1)
    .bind(OUTCOMES_PAGE_ROWS)
    .fetch_all(pool)
    .await
}
