//! The rules of payments and refunds, as the contract's table of webhooks states them.
//!
//! Like [`crate::model`], it must not call the domain's methods.

use holdfast_common::command::PaymentNotice;
use holdfast_common::domain::{
    CancelReason, HoldState, Order, OrderState, OrderStatus, Payment, PaymentState, RefundReason,
    RefundStatus,
};
use holdfast_common::id::HoldId;
use holdfast_common::outcome::{Settlement, SettlementResult};

use crate::model::Model;

const DAY_SECONDS: u32 = 86_400;

impl Model {
    pub(crate) fn settle_payment(&mut self, notice: &PaymentNotice) -> Settlement {
        let result = self.apply_notice(notice);
        let order = self.order_shown(notice.order_id);
        let status = |order: Order| match order.state {
            OrderState::PendingPayment => OrderStatus::PendingPayment,
            OrderState::Paid { .. } => OrderStatus::Paid,
            OrderState::Cancelled { .. } => OrderStatus::Cancelled,
        };
        Settlement {
            result,
            order: order.map(|order| (order.id, status(order))),
        }
    }

    fn apply_notice(&mut self, notice: &PaymentNotice) -> SettlementResult {
        let PaymentNotice {
            order_id,
            payment_id,
            succeeded,
            amount_minor,
            currency,
        } = notice.clone();
        match self.payment(order_id, &payment_id) {
            Some(known) if known.succeeded == succeeded => return SettlementResult::Duplicate,
            // A success stays a success.
            Some(known) if known.succeeded => return SettlementResult::Ignored,
            Some(known) => {
                (known.succeeded, known.amount_minor, known.currency) =
                    (true, amount_minor, currency);
            }
            None => {
                let arrival = self
                    .payments
                    .iter()
                    .filter(|payment| payment.order_id == order_id)
                    .count() as i32
                    + 1;
                let (state, received_at) = (PaymentState::Parked, self.now);
                self.payments.push(Payment {
                    order_id,
                    payment_id,
                    succeeded,
                    amount_minor,
                    currency,
                    state,
                    arrival,
                    received_at,
                });
            }
        }
        self.settle(order_id, &notice.payment_id)
    }

    /// Settles the payments that came before the order, by arrival.
    pub(crate) fn settle_parked(&mut self, order_id: HoldId) {
        let parked = self
            .payments
            .iter()
            .filter(|payment| payment.order_id == order_id && is_parked(payment));
        for payment_id in parked
            .map(|payment| payment.payment_id.clone())
            .collect::<Vec<_>>()
        {
            self.settle(order_id, &payment_id);
        }
    }

    fn settle(&mut self, order_id: HoldId, payment_id: &str) -> SettlementResult {
        let payment = self.payment(order_id, payment_id).unwrap().clone();
        let (result, state) = match self.orders.iter().position(|order| order.id == order_id) {
            Some(place) => self.settle_order(place, &payment),
            None => self.settle_without_order(&payment),
        };
        self.payment(order_id, payment_id).unwrap().state = state;
        result
    }

    fn settle_without_order(&self, payment: &Payment) -> (SettlementResult, PaymentState) {
        let hold = self.hold(payment.order_id).map(|hold| hold.state);
        let has_ended = matches!(
            hold,
            Some(HoldState::Released { .. } | HoldState::Expired { .. })
        );
        match (has_ended, payment.succeeded) {
            (false, _) => (SettlementResult::Parked, PaymentState::Parked),
            (true, true) => (SettlementResult::RefundDue, due(RefundReason::HoldEnded)),
            (true, false) => (SettlementResult::Ignored, PaymentState::Ignored),
        }
    }

    fn settle_order(
        &mut self,
        place: usize,
        payment: &Payment,
    ) -> (SettlementResult, PaymentState) {
        let order = &self.orders[place];
        let is_wrong = payment
            .amount_minor
            .is_some_and(|amount| amount != order.amount_minor)
            || payment
                .currency
                .is_some_and(|currency| currency != order.currency);
        let has_stock = self.available(order.product_id) >= i64::from(order.quantity);
        let paid = OrderState::Paid {
            payment_id: payment.payment_id.clone(),
            at: self.now,
        };
        let failed = OrderState::Cancelled {
            reason: CancelReason::PaymentFailed,
            at: self.now,
        };
        let applied = PaymentState::Applied;
        let (state, result) = match (&order.state, payment.succeeded) {
            (_, true) if is_wrong => {
                return (SettlementResult::Mismatch, due(RefundReason::Mismatch));
            }
            (OrderState::PendingPayment, true) => (paid, SettlementResult::Processed),
            (OrderState::PendingPayment, false) => (failed, SettlementResult::Processed),
            (OrderState::Cancelled { .. }, true)
                if self.policy.reallocate_late_payments && has_stock =>
            {
                (paid, SettlementResult::Reallocated)
            }
            (OrderState::Cancelled { .. }, true) => {
                return (
                    SettlementResult::RefundDue,
                    due(RefundReason::OrderCancelled),
                );
            }
            (OrderState::Paid { .. }, true) => {
                return (SettlementResult::RefundDue, due(RefundReason::AlreadyPaid));
            }
            (_, false) => return (SettlementResult::Ignored, PaymentState::Ignored),
        };
        self.orders[place].state = state;
        (result, applied)
    }

    /// Refunds the payments of a hold that has ended without an order, also those that became unmatched before the hold was
    /// created.
    pub(crate) fn refund_parked(&mut self, hold_id: HoldId) {
        for payment in self
            .payments
            .iter_mut()
            .filter(|payment| payment.order_id == hold_id)
        {
            if is_parked(payment) {
                payment.state = if payment.succeeded {
                    due(RefundReason::HoldEnded)
                } else {
                    PaymentState::Ignored
                };
            }
        }
    }

    /// Makes payments unmatched that were parked for a day.
    pub(crate) fn unmatch_parked(&mut self) {
        for payment in &mut self.payments {
            if payment.state == PaymentState::Parked
                && payment.received_at.plus_seconds(DAY_SECONDS) <= self.now
            {
                payment.state = PaymentState::Unmatched;
            }
        }
    }

    pub(crate) fn advance_refund(&mut self, order_id: HoldId, payment_id: &str, to: RefundStatus) {
        let Some(payment) = self.payment(order_id, payment_id) else {
            return;
        };
        match &mut payment.state {
            PaymentState::Refund { status, .. } if *status != RefundStatus::Refunded => {
                *status = to
            }
            // An operator has paid a success back by hand. A failure has no money to pay back.
            PaymentState::Unmatched if to == RefundStatus::Refunded => {
                let back = PaymentState::Refund {
                    status: to,
                    reason: RefundReason::Unmatched,
                };
                payment.state = if payment.succeeded {
                    back
                } else {
                    PaymentState::Ignored
                };
            }
            _ => {}
        }
    }

    /// The order in outcomes and rows. Its refund status is that of the refund furthest from its end.
    pub(crate) fn order_shown(&self, id: HoldId) -> Option<Order> {
        let mut order = self.orders.iter().find(|order| order.id == id)?.clone();
        let owed = |status| {
            let is_at = |payment: &Payment| matches!(payment.state, PaymentState::Refund { status: s, .. } if s == status);
            self.payments
                .iter()
                .any(|payment| payment.order_id == id && is_at(payment))
        };
        order.refund_status = [
            RefundStatus::Due,
            RefundStatus::Requested,
            RefundStatus::Refunded,
        ]
        .into_iter()
        .find(|status| owed(*status))
        .unwrap_or(RefundStatus::None);
        Some(order)
    }

    fn payment(&mut self, order_id: HoldId, payment_id: &str) -> Option<&mut Payment> {
        self.payments
            .iter_mut()
            .find(|payment| payment.order_id == order_id && payment.payment_id == payment_id)
    }
}

fn due(reason: RefundReason) -> PaymentState {
    PaymentState::Refund {
        status: RefundStatus::Due,
        reason,
    }
}

fn is_parked(payment: &Payment) -> bool {
    matches!(
        payment.state,
        PaymentState::Parked | PaymentState::Unmatched
    )
}
