//! The conditional update: one statement, which locks the row until its commit is on disk.

use sqlx::PgPool;
use uuid::Uuid;

use super::NewHold;

/// Makes a hold; returns false when there is not enough stock.
pub(super) async fn hold(pool: &PgPool, hold_id: Uuid, new: &NewHold) -> anyhow::Result<bool> {
    let statement = "
        WITH taken AS (
            UPDATE stock SET available = available - $3, held = held + $3
            WHERE product_id = $2 AND available >= $3 RETURNING product_id
        )
        INSERT INTO holds SELECT $1, product_id, $3, 'active', now(), now() + interval '2 minutes' FROM taken";
    let made = sqlx::query(statement)
        .bind(hold_id)
        .bind(new.product_id)
        .bind(new.quantity)
        .execute(pool)
        .await?;
    Ok(made.rows_affected() == 1)
}
