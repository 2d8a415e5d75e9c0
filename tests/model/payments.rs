//! What payments do to orders, as the contract's table of webhooks states it, and how refunds come along.
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
        let result = self.take_notice(notice);
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

    fn take_notice(&mut self, notice: &PaymentNotice) -> SettlementResult {
        let PaymentNotice {
            order_id,
            payment_id,
            succeeded,
            amount_minor,
            currency,
        } = notice.clone();
        match self.payment(order_id, &payment_id) {
            Some(known) if known.succeeded == succeeded => return SettlementResult::Duplicate,
            // What succeeded has not failed, whatever comes late.
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

    /// Everything that came before the order, in the order of its arrival.
    pub(crate) fn settle_what_waited(&mut self, order_id: HoldId) {
        let waiting = self
            .payments
            .iter()
            .filter(|payment| payment.order_id == order_id && waits(payment));
        for payment_id in waiting
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

    /// A hold has ended without an order: what was paid for it goes back, also when that was listed as unmatched before
    /// there was the hold.
    pub(crate) fn refund_what_waited(&mut self, hold_id: HoldId) {
        for payment in self
            .payments
            .iter_mut()
            .filter(|payment| payment.order_id == hold_id)
        {
            if waits(payment) {
                payment.state = if payment.succeeded {
                    due(RefundReason::HoldEnded)
                } else {
                    PaymentState::Ignored
                };
            }
        }
    }

    /// What nothing has matched for a day is listed as such.
    pub(crate) fn give_up_waiting(&mut self) {
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
            // Paid back by hand, and never asked for; a failure is only taken off the list.
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

    /// The order as its document shows it: the refund that is furthest behind counts.
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

fn waits(payment: &Payment) -> bool {
    matches!(
        payment.state,
        PaymentState::Parked | PaymentState::Unmatched
    )
}
