//! The tables at rest, read in one transaction.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::partitions::PositionFall;
use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgPool};

#[derive(Clone, Debug, FromRow)]
pub struct ProductRow {
    pub product_id: i64,
    pub total_stock: i64,
    pub available_stock: i64,
    pub held_stock: i64,
    pub sold_stock: i64,
    pub holds_count: i64,
    pub hold_sequence: i64,
}

#[derive(Clone, Debug, FromRow)]
pub struct HoldRow {
    pub hold_id: String,
    pub product_id: i64,
    pub quantity: i64,
    pub customer_id: Option<String>,
    pub status: String,
    pub sequence: i64,
    pub expires_at: DateTime<Utc>,
}

#[derive(Clone, Debug, FromRow)]
pub struct OrderRow {
    pub order_id: String,
    pub product_id: i64,
    pub quantity: i64,
    pub amount_minor: i64,
    pub status: String,
    pub payment_id: Option<String>,
    pub refund_status: String,
}

#[derive(Clone, Debug, FromRow)]
pub struct PaymentRow {
    pub order_id: String,
    pub payment_id: String,
    pub succeeded: bool,
    pub amount_minor: Option<i64>,
    pub state: String,
    pub refund_reason: Option<String>,
}

#[derive(Clone, Debug, FromRow)]
pub struct PartitionRow {
    pub partition: i16,
    pub owner: Option<String>,
    pub epoch: i64,
    /// Whether the lease of the owner is valid.
    pub is_live: bool,
}

impl PartitionRow {
    /// # Errors
    /// When Postgres fails.
    pub async fn read(pool: &PgPool) -> sqlx::Result<Vec<Self>> {
        let rows = "SELECT partition, owner, epoch, lease_until > now() AS is_live FROM partitions";
        sqlx::query_as(rows).fetch_all(pool).await
    }
}

#[derive(Clone, Debug, FromRow)]
pub struct DeadLetterRow {
    pub dead_letter_id: i64,
    pub request_id: String,
    pub log_seq: i64,
    pub action: String,
    pub error: String,
}

/// The rows of the tables, by their ids.
#[derive(Debug, Default)]
pub struct Tables {
    pub products: BTreeMap<i64, ProductRow>,
    pub holds: HashMap<String, HoldRow>,
    pub orders: HashMap<String, OrderRow>,
    /// By order and payment.
    pub payments: HashMap<(String, String), PaymentRow>,
    /// The outcomes of restocks, by the hash of their key, in hexadecimal.
    pub restocks: HashMap<String, String>,
    /// The ids of requests that have an outcome.
    pub outcomes: HashSet<String>,
    pub dead_letters: Vec<DeadLetterRow>,
    pub falls: Vec<PositionFall>,
}

impl Tables {
    /// Reads all tables in one transaction.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn read(pool: &PgPool) -> sqlx::Result<Self> {
        let mut transaction = pool
            .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            .await?;
        let products: Vec<ProductRow> = sqlx::query_as("SELECT * FROM products")
            .fetch_all(&mut *transaction)
            .await?;
        let holds: Vec<HoldRow> = sqlx::query_as(
            "SELECT hold_id::text, product_id, quantity::bigint, customer_id, status::text, sequence, expires_at FROM holds",
        )
        .fetch_all(&mut *transaction)
        .await?;
        let orders: Vec<OrderRow> = sqlx::query_as(
            "SELECT order_id::text, product_id, quantity::bigint, amount_minor, status::text, payment_id,
                 refund_status::text FROM orders",
        )
        .fetch_all(&mut *transaction)
        .await?;
        let payments: Vec<PaymentRow> = sqlx::query_as(
            "SELECT order_id::text, payment_id, succeeded, amount_minor, state::text, refund_reason::text FROM payments",
        )
        .fetch_all(&mut *transaction)
        .await?;
        let restocks: Vec<(String, String)> = sqlx::query_as(
            "SELECT encode(key_hash, 'hex'), outcomes.outcome::text FROM idempotency_keys
             JOIN outcomes USING (slot, request_id) WHERE endpoint = 3",
        )
        .fetch_all(&mut *transaction)
        .await?;
        let outcomes: Vec<String> = sqlx::query_scalar("SELECT request_id::text FROM outcomes")
            .fetch_all(&mut *transaction)
            .await?;
        let dead_letters = sqlx::query_as(
            "SELECT dead_letter_id, request_id::text, log_seq, action, error FROM dead_letters ORDER BY dead_letter_id",
        )
        .fetch_all(&mut *transaction)
        .await?;
        let falls = sqlx::query_as("SELECT * FROM chaos.falls")
            .fetch_all(&mut *transaction)
            .await?;
        Ok(Self {
            products: products
                .into_iter()
                .map(|row| (row.product_id, row))
                .collect(),
            holds: holds
                .into_iter()
                .map(|row| (row.hold_id.clone(), row))
                .collect(),
            orders: orders
                .into_iter()
                .map(|row| (row.order_id.clone(), row))
                .collect(),
            payments: payments
                .into_iter()
                .map(|row| ((row.order_id.clone(), row.payment_id.clone()), row))
                .collect(),
            restocks: restocks.into_iter().collect(),
            outcomes: outcomes.into_iter().collect(),
            dead_letters,
            falls,
        })
    }
}
