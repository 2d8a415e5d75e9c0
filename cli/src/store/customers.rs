//! What is stored of a customer. There is no index by customer over all products, so these look through whole slots.

use std::ops::RangeInclusive;

use holdfast_common::encryption::{Keyring, Kind};
use holdfast_common::id::{HoldId, InvalidId};
use holdfast_common::outcome::Outcome;
use serde_json::Value;
use sqlx::types::{Json, Uuid};
use sqlx::{FromRow, PgPool};

/// How many outcomes are read at once.
const OUTCOMES_PAGE: i64 = 1000;

/// A hold of a customer, and how its order stands.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct Held {
    pub(crate) slot: i16,
    pub(crate) hold_id: Uuid,
    /// Whether the hold has ended, and its order where it has one.
    pub(crate) has_ended: bool,
    /// All but the customer.
    pub(crate) document: Value,
}

impl Held {
    /// The hold.
    ///
    /// # Errors
    /// When the stored id is none.
    pub(crate) fn id(&self) -> Result<HoldId, InvalidId> {
        HoldId::from_uuid(self.hold_id)
    }
}

/// A customer's holds in some slots. The customer is named as the tables find one: see [`Keyring::index`].
///
/// # Errors
/// When Postgres fails.
pub(crate) async fn holds(
    pool: &PgPool,
    slots: RangeInclusive<u16>,
    customer: &str,
) -> sqlx::Result<Vec<Held>> {
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

type OfPayment = (Uuid, Option<String>, Value);

/// The orders that some holds of a slot became.
///
/// # Errors
/// When Postgres fails, or no key opens what is sealed.
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
    let rows: Vec<OfPayment> = rows.bind(slot).bind(holds).fetch_all(pool).await?;
    rows.into_iter().map(|row| opened(keys, row)).collect()
}

/// The payments for some holds of a slot, or for the orders that they became.
///
/// # Errors
/// When Postgres fails, or no key opens what is sealed.
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
    let rows: Vec<OfPayment> = rows.bind(slot).bind(holds).fetch_all(pool).await?;
    rows.into_iter().map(|row| opened(keys, row)).collect()
}

fn opened(keys: &Keyring, (id, payment, mut document): OfPayment) -> sqlx::Result<Value> {
    let payment = payment
        .map(|text| keys.open_text(Kind::PaymentId, id, text))
        .transpose()?;
    document["payment_id"] = payment.into();
    Ok(document)
}

/// An outcome that names somebody.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct Told {
    pub(crate) slot: i16,
    pub(crate) request_id: Uuid,
    pub(crate) replayed: bool,
    /// As it is stored.
    pub(crate) outcome: Json<Outcome>,
}

/// Outcomes behind one that name a customer, whoever that is: sealed, they don't say so to Postgres.
///
/// # Errors
/// When Postgres fails.
pub(crate) async fn outcomes(pool: &PgPool, after: (i16, Uuid)) -> sqlx::Result<Vec<Told>> {
    sqlx::query_as(
        "SELECT slot, request_id, replayed, outcome FROM outcomes
         WHERE (slot, request_id) > ($1, $2) AND outcome::text ~ '\"customer_id\": ?\"'
         ORDER BY slot, request_id LIMIT $3",
    )
    .bind(after.0)
    .bind(after.1)
    .bind(OUTCOMES_PAGE)
    .fetch_all(pool)
    .await
}
