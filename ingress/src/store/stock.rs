//! What products' holds, orders and payments come to, counted from these alone, beside the counts that are stored.
//!
//! It shares no code with what a worker counts when it mends them. A product lies in one slot, and one statement reads a
//! few slots whole: that is one snapshot, and since a batch is committed as a whole, a sale that runs meanwhile never looks
//! like drift. There is no transaction around the statements, which would keep Postgres from cleaning up behind a sale.

use std::ops::RangeInclusive;

use sqlx::{FromRow, PgPool};

/// A product's counts as they are stored, and what they should come to.
#[derive(Clone, Debug, FromRow)]
pub struct Counted {
    pub product_id: i64,
    pub name: String,
    pub total_stock: i64,
    pub available_stock: i64,
    pub held_stock: i64,
    pub sold_stock: i64,
    pub holds_count: i64,
    pub hold_sequence: i64,
    /// Units of active holds and unpaid orders.
    pub held: i64,
    /// Units of paid orders.
    pub sold: i64,
    /// Active holds.
    pub holds: i64,
    /// The highest sequence of all holds that are still there.
    pub last_sequence: i64,
    /// Paid orders that no payment has paid.
    pub paid_without_payment: i64,
}

/// Counts the products of some slots, or one of them.
///
/// # Errors
/// When Postgres fails.
pub async fn count(
    pool: &PgPool,
    slots: RangeInclusive<u16>,
    product_id: Option<i64>,
) -> sqlx::Result<Vec<Counted>> {
    sqlx::query_as(
        concat!("WITH held AS (
             SELECT slot, product_id, sum(quantity) FILTER (WHERE status = 'active') AS units,
                 count(*) FILTER (WHERE status = 'active') AS holds, max(sequence) AS last
             FROM holds WHERE slot BETWEEN $1 AND $2 AND ($3::bigint IS NULL OR product_id = $3)
             GROUP BY slot, product_id
         ), ordered AS (
             SELECT slot, product_id, sum(quantity) FILTER (WHERE status = 'pending_payment') AS pending,
                 sum(quantity) FILTER (WHERE status = 'paid') AS paid,
                 count(*) FILTER (WHERE status = 'paid' AND NOT EXISTS (
                     SELECT FROM payments p WHERE p.slot = orders.slot AND p.order_id = orders.order_id
                         AND p.payment_id = orders.payment_id AND p.succeeded AND p.state = 'applied')) AS unpaid
             FROM orders WHERE slot BETWEEN $1 AND $2 AND ($3::bigint IS NULL OR product_id = $3)
             GROUP BY slot, product_id
         )
         SELECT ", holdfast_common::product_count_columns!(), ",
             coalesce(held.units, 0) + coalesce(ordered.pending, 0) AS held, coalesce(ordered.paid, 0) AS sold,
             coalesce(held.holds, 0) AS holds, coalesce(held.last, 0) AS last_sequence,
             coalesce(ordered.unpaid, 0) AS paid_without_payment
         FROM products LEFT JOIN held USING (slot, product_id) LEFT JOIN ordered USING (slot, product_id)
         WHERE slot BETWEEN $1 AND $2 AND ($3::bigint IS NULL OR product_id = $3)
         ORDER BY product_id"),
    )
    .bind(slots.start().cast_signed())
    .bind(slots.end().cast_signed())
    .bind(product_id)
    .fetch_all(pool)
    .await
}
