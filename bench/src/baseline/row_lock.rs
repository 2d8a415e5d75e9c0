//! The row lock: each buyer waits for the lock of the product's row, and keeps it for four more round trips.

use sqlx::PgPool;
use uuid::Uuid;

use super::NewHold;

/// Makes a hold; returns false when there is not enough stock.
pub(super) async fn hold(pool: &PgPool, hold_id: Uuid, new: &NewHold) -> anyhow::Result<bool> {
    let mut transaction = pool.begin().await?;
    let locked = "SELECT available FROM stock WHERE product_id = $1 FOR UPDATE";
    let available: Option<i64> = sqlx::query_scalar(locked)
        .bind(new.product_id)
        .fetch_optional(&mut *transaction)
        .await?;
    if available.is_none_or(|available| available < new.quantity) {
        transaction.rollback().await?;
        return Ok(false);
    }
    sqlx::query(
        "UPDATE stock SET available = available - $2, held = held + $2 WHERE product_id = $1",
    )
    .bind(new.product_id)
    .bind(new.quantity)
    .execute(&mut *transaction)
    .await?;
    sqlx::query(
        "INSERT INTO holds VALUES ($1, $2, $3, 'active', now(), now() + interval '2 minutes')",
    )
    .bind(hold_id)
    .bind(new.product_id)
    .bind(new.quantity)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(true)
}
