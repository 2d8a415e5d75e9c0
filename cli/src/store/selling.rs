//! Products as they sell.

use sqlx::{FromRow, PgPool};

/// Of a product: the units it has, and of these the ones on sale.
#[derive(Clone, Debug, FromRow)]
#[allow(missing_docs)]
pub(crate) struct Selling {
    pub(crate) product_id: i64,
    pub(crate) name: String,
    pub(crate) total_stock: i64,
    pub(crate) available_stock: i64,
    pub(crate) held_stock: i64,
    pub(crate) sold_stock: i64,
    pub(crate) holds_count: i64,
    pub(crate) hold_sequence: i64,
}

/// Products as they sell, the first by number; or one of them.
///
/// # Errors
/// When Postgres fails.
pub(crate) async fn products(
    pool: &PgPool,
    product: Option<(i16, i64)>,
    limit: i64,
) -> sqlx::Result<Vec<Selling>> {
    sqlx::query_as(
        "SELECT product_id, name, total_stock, available_stock, held_stock, sold_stock, holds_count, hold_sequence
         FROM products WHERE ($1::smallint IS NULL OR slot = $1 AND product_id = $2) ORDER BY product_id LIMIT $3",
    )
    .bind(product.map(|(slot, _)| slot))
    .bind(product.map(|(_, id)| id))
    .bind(limit)
    .fetch_all(pool)
    .await
}
