//! Lists holds without their customers.

use chrono::{DateTime, Utc};
use sqlx::types::Uuid;
use sqlx::{FromRow, PgPool};

#[derive(Clone, Debug, FromRow)]
pub(crate) struct ListedHold {
    pub(crate) hold_id: Uuid,
    pub(crate) product_id: i64,
    pub(crate) quantity: i32,
    /// A hold past `expires_at` has the status `expired`, even when no worker has processed the expiry yet.
    pub(crate) status: String,
    pub(crate) sequence: i64,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) expires_at: DateTime<Utc>,
}

/// Holds ordered by slot and id. `product` is the slot and id of one product; `None` lists all.
pub(crate) async fn list(
    pool: &PgPool,
    product: Option<(i16, i64)>,
    status: Option<&str>,
    limit: i64,
) -> sqlx::Result<Vec<ListedHold>> {
    sqlx::query_as(
        "SELECT * FROM (
             SELECT slot, hold_id, product_id, quantity, sequence, created_at, expires_at,
                 CASE WHEN status = 'active' AND expires_at <= now() THEN 'expired' ELSE status::text END AS status
             FROM holds WHERE ($1::smallint IS NULL OR slot = $1 AND product_id = $2)) AS shown
         WHERE $3::text IS NULL OR status = $3 ORDER BY slot, hold_id LIMIT $4",
    )
    .bind(product.map(|(slot, _)| slot))
    .bind(product.map(|(_, id)| id))
    .bind(status)
    .bind(limit)
    .fetch_all(pool)
    .await
}
