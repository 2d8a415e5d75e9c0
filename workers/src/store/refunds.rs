//! Refunds that are due.

use holdfast_common::encryption::{Keyring, SealedKind};
use holdfast_common::id::HoldId;
use holdfast_common::partition::Partitions;
use holdfast_common::partition_of_slot;
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

/// Refunds in one turn.
const DUE_MAX: i64 = 200;

#[derive(Clone, Debug, FromRow)]
pub struct DueRefund {
    order_id: Uuid,
    /// The provider's id of the payment.
    pub payment_id: String,
    /// In minor units. `None` when neither the payment nor an order has an amount.
    pub amount_minor: Option<i64>,
    pub currency: Option<String>,
    pub reason: String,
}

impl DueRefund {
    /// The order, or a hold that never became an order.
    ///
    /// # Errors
    /// When the stored id is not valid.
    pub fn order_id(&self) -> sqlx::Result<HoldId> {
        HoldId::from_uuid(self.order_id).map_err(|error| sqlx::Error::Decode(error.into()))
    }
}

/// The refunds that are due in a worker's partitions, oldest first. A payment without an amount gets its order's.
///
/// # Errors
/// When Postgres fails.
pub async fn due(
    pool: &PgPool,
    keys: &Keyring,
    owner: &str,
    partitions: Partitions,
) -> sqlx::Result<Vec<DueRefund>> {
    let mut due: Vec<DueRefund> = sqlx::query_as(
        concat!(
            "SELECT payments.order_id, coalesce(payments.payment_sealed, payments.payment_id) AS payment_id,
             coalesce(payments.amount_minor, orders.amount_minor) AS amount_minor,
             coalesce(payments.currency, orders.currency) AS currency, payments.refund_reason::text AS reason
         FROM payments
         JOIN partitions ON partitions.partition = ", partition_of_slot!("payments.slot", "$2"), " AND partitions.owner = $1
         LEFT JOIN orders ON orders.slot = payments.slot AND orders.order_id = payments.order_id
         WHERE payments.state = 'refund_due'
         ORDER BY payments.received_at LIMIT $3",
        ),
    )
    .bind(owner)
    .bind(i32::from(partitions.count()))
    .bind(DUE_MAX)
    .fetch_all(pool)
    .await?;
    for refund in &mut due {
        let sealed = std::mem::take(&mut refund.payment_id);
        refund.payment_id = keys.open_text(SealedKind::PaymentId, refund.order_id, sealed)?;
    }
    Ok(due)
}
