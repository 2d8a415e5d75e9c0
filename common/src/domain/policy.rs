//! The settings that decisions depend on.

/// The settings of an operator that [`decide`](crate::domain::decide()) reads.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Lifetime of a hold, in seconds (`HOLD_EXPIRY_SECONDS`).
    pub hold_expiry_seconds: u32,
    /// Time in which an order must be paid, in seconds (`ORDER_PAYMENT_SECONDS`).
    pub order_payment_seconds: u32,
    /// Whether a payment for a cancelled order takes stock again when there is enough (`LATE_PAYMENT`).
    pub reallocate_late_payments: bool,
    /// Time for which an idempotency key is remembered, in seconds (`IDEMPOTENCY_KEY_TTL`).
    pub idempotency_key_ttl_seconds: u32,
}
