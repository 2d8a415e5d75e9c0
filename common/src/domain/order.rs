//! An order: a consumed hold that a payment has to settle. Next: [`super::payment`].

use serde::{Deserialize, Serialize};

use crate::domain::hold::Hold;
use crate::domain::payment::RefundStatus;
use crate::id::{HoldId, ProductId};
use crate::money::Currency;
use crate::time::Timestamp;

/// Units that are paid or wait for a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The id of the hold that the order consumed.
    pub id: HoldId,
    pub product_id: ProductId,
    /// Units.
    pub quantity: u32,
    /// The customer, when the shop sent one.
    pub customer_id: Option<String>,
    /// The price of all units, in minor units, by the hold's price.
    pub amount_minor: i64,
    pub currency: Currency,
    pub state: OrderState,
    /// The refund of the order's payments that is furthest from its end.
    pub refund_status: RefundStatus,
    /// At this time an unpaid order is cancelled.
    pub payment_due_at: Timestamp,
    pub created_at: Timestamp,
}

/// The state of an order. I3: `PendingPayment` becomes `Paid` or `Cancelled`; `Cancelled` becomes `Paid` only by a
/// late payment that gets stock; `Paid` is final.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderState {
    /// The order's units are held.
    PendingPayment,
    /// The order's units are sold.
    Paid {
        /// The provider's id of the payment that paid the order.
        payment_id: String,
        at: Timestamp,
    },
    /// The order's units are back on sale.
    Cancelled { reason: CancelReason, at: Timestamp },
}

/// An order's state without its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderStatus {
    PendingPayment,
    Paid,
    Cancelled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CancelReason {
    PaymentFailed,
    /// No payment came before `payment_due_at`.
    PaymentTimeout,
}

/// The order's state does not allow the transition. The order is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the order's state {0:?} does not allow this transition")]
pub struct OrderTransitionError(pub OrderStatus);

impl Order {
    pub(super) fn of_hold(hold: &Hold, now: Timestamp, payment_seconds: u32) -> Self {
        Self {
            id: hold.id,
            product_id: hold.product_id,
            quantity: hold.quantity,
            customer_id: hold.customer_id.clone(),
            amount_minor: hold.price_minor * i64::from(hold.quantity),
            currency: hold.currency,
            state: OrderState::PendingPayment,
            refund_status: RefundStatus::None,
            payment_due_at: now.plus_seconds(payment_seconds),
            created_at: now,
        }
    }

    #[must_use]
    pub fn status(&self) -> OrderStatus {
        match self.state {
            OrderState::PendingPayment => OrderStatus::PendingPayment,
            OrderState::Paid { .. } => OrderStatus::Paid,
            OrderState::Cancelled { .. } => OrderStatus::Cancelled,
        }
    }

    pub(super) fn is_overdue(&self, now: Timestamp) -> bool {
        self.state == OrderState::PendingPayment && self.payment_due_at <= now
    }

    /// Pending to paid.
    pub(super) fn pay(
        &mut self,
        payment_id: &str,
        now: Timestamp,
    ) -> Result<(), OrderTransitionError> {
        self.check_status(OrderStatus::PendingPayment)?;
        self.set_paid(payment_id, now);
        Ok(())
    }

    /// Cancelled to paid, by a late payment. The caller holds the units again first.
    pub(super) fn pay_late(
        &mut self,
        payment_id: &str,
        now: Timestamp,
    ) -> Result<(), OrderTransitionError> {
        self.check_status(OrderStatus::Cancelled)?;
        self.set_paid(payment_id, now);
        Ok(())
    }

    /// Pending to cancelled.
    pub(super) fn cancel(
        &mut self,
        reason: CancelReason,
        now: Timestamp,
    ) -> Result<(), OrderTransitionError> {
        self.check_status(OrderStatus::PendingPayment)?;
        self.state = OrderState::Cancelled { reason, at: now };
        Ok(())
    }

    fn set_paid(&mut self, payment_id: &str, now: Timestamp) {
        self.state = OrderState::Paid {
            payment_id: payment_id.to_owned(),
            at: now,
        };
    }

    fn check_status(&self, required: OrderStatus) -> Result<(), OrderTransitionError> {
        let status = self.status();
        (status == required)
            .then_some(())
            .ok_or(OrderTransitionError(status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn order(state: OrderState) -> Order {
        let product_id = ProductId(1);
        Order {
            id: HoldId::new(product_id.slot(), 0, 1),
            product_id,
            quantity: 2,
            customer_id: None,
            amount_minor: 3998,
            currency: "EUR".parse().unwrap(),
            state,
            refund_status: RefundStatus::None,
            payment_due_at: Timestamp(9),
            created_at: Timestamp(0),
        }
    }

    fn paid() -> OrderState {
        OrderState::Paid {
            payment_id: "pay_1".to_owned(),
            at: NOW,
        }
    }

    fn cancelled() -> OrderState {
        OrderState::Cancelled {
            reason: CancelReason::PaymentTimeout,
            at: NOW,
        }
    }

    #[test]
    fn pending_order_can_be_paid_or_cancelled() {
        let mut order_paid = order(OrderState::PendingPayment);
        assert_eq!(order_paid.pay("pay_1", NOW), Ok(()));
        assert_eq!(order_paid.state, paid());
        let mut order_cancelled = order(OrderState::PendingPayment);
        assert_eq!(
            order_cancelled.cancel(CancelReason::PaymentTimeout, NOW),
            Ok(())
        );
        assert_eq!(order_cancelled.state, cancelled());
        let refused = OrderTransitionError(OrderStatus::PendingPayment);
        assert_eq!(
            order(OrderState::PendingPayment).pay_late("pay_1", NOW),
            Err(refused)
        );
    }

    #[test]
    fn cancelled_order_can_only_be_paid_late() {
        let mut order = order(cancelled());
        let refused = Err(OrderTransitionError(OrderStatus::Cancelled));
        assert_eq!(order.pay("pay_1", NOW), refused);
        assert_eq!(order.cancel(CancelReason::PaymentFailed, NOW), refused);
        assert_eq!(order.state, cancelled());
        assert_eq!(order.pay_late("pay_1", NOW), Ok(()));
        assert_eq!(order.state, paid());
    }

    #[test]
    fn paid_order_refuses_every_transition() {
        let mut order = order(paid());
        let refused = Err(OrderTransitionError(OrderStatus::Paid));
        assert_eq!(order.pay("pay_2", NOW), refused);
        assert_eq!(order.pay_late("pay_2", NOW), refused);
        assert_eq!(order.cancel(CancelReason::PaymentFailed, NOW), refused);
        assert_eq!(order.state, paid());
    }
}
