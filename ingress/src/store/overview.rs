//! What an operator sees at a glance: counts that indexes or few rows answer, however large the tables are.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgPool};

/// All products together, and what waits.
#[derive(Clone, Debug, FromRow)]
pub struct Totals {
    pub products: i64,
    pub total_stock: i64,
    pub available_stock: i64,
    pub held_stock: i64,
    pub sold_stock: i64,
    pub holds_count: i64,
    pub orders_pending: i64,
    pub payments_parked: i64,
    pub payments_unmatched: i64,
    pub refunds_due: i64,
    pub refunds_requested: i64,
}

/// Who applies a partition, and how far it has come.
#[derive(Clone, Debug, FromRow)]
pub struct ListedPartition {
    /// The partition's number.
    pub partition: i16,
    /// The worker that has it, when one has.
    pub owner: Option<String>,
    /// Which owner of it that is.
    pub epoch: i64,
    /// Until when it counts as alive.
    pub lease_until: Option<DateTime<Utc>>,
    /// Whether that is still to come.
    pub is_owned: bool,
    /// The last log sequence whose effects are committed.
    pub applied_seq: i64,
}

/// Counts over everything.
///
/// # Errors
/// When Postgres fails.
pub async fn totals(pool: &PgPool) -> sqlx::Result<Totals> {
    sqlx::query_as(
        "SELECT count(*) AS products, coalesce(sum(total_stock), 0)::bigint AS total_stock,
             coalesce(sum(available_stock), 0)::bigint AS available_stock,
             coalesce(sum(held_stock), 0)::bigint AS held_stock, coalesce(sum(sold_stock), 0)::bigint AS sold_stock,
             coalesce(sum(holds_count), 0)::bigint AS holds_count,
             (SELECT count(*) FROM orders WHERE status = 'pending_payment') AS orders_pending,
             (SELECT count(*) FROM payments WHERE state = 'parked') AS payments_parked,
             (SELECT count(*) FROM payments WHERE state = 'unmatched') AS payments_unmatched,
             (SELECT count(*) FROM payments WHERE state = 'refund_due') AS refunds_due,
             (SELECT count(*) FROM payments WHERE state = 'refund_requested') AS refunds_requested
         FROM products",
    )
    .fetch_one(pool)
    .await
}

/// Every partition.
///
/// # Errors
/// When Postgres fails.
pub async fn partitions(pool: &PgPool) -> sqlx::Result<Vec<ListedPartition>> {
    sqlx::query_as(
        "SELECT partition, owner, epoch, nullif(lease_until, '-infinity') AS lease_until,
             owner IS NOT NULL AND lease_until > now() AS is_owned, applied_seq
         FROM partitions ORDER BY partition",
    )
    .fetch_all(pool)
    .await
}
