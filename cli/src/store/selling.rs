//! The stock counts of products.

use sqlx::{FromRow, PgPool};

#[derive(Clone, Debug, FromRow)]
pub(crate) struct ProductCounts {
    pub(crate) product_id: i64,
    pub(crate) name: String,
    pub(crate) total_stock: i64,
    pub(crate) available_stock: i64,
    pub(crate) held_stock: i64,
    pub(crate) sold_stock: i64,
    pub(crate) holds_count: i64,
    pub(crate) hold_sequence: i64,
}

/// The first `limit` products by id, or one product, given by its slot and id.
pub(crate) async fn products(
    pool: &PgPool,
    product: Option<(i16, i64)>,
    limit: i64,
) -> sqlx::Result<Vec<ProductCounts>> {
    sqlx::query_as(
        concat!(
            "SELECT ",
            holdfast_common::product_count_columns!(),
            " FROM products WHERE ($1::smallint IS NULL OR slot = $1 AND product_id = $2) ORDER BY product_id LIMIT $3"
        ),
    )
    .bind(product.map(|(slot, _)| slot))
    .bind(product.map(|(_, id)| id))
    .bind(limit)
    .fetch_all(pool)
    .await
}
