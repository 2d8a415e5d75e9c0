//! What a batch came to, for metrics and logs; told after its commit, since before it nothing has happened.
//!
//! Each command's line is at debug level and costs nothing unless that is on. What an operator acts on is at info and
//! above. Ids of requests, products, holds and orders are logged; who bought, what pays and what anything is called
//! are not.

use holdfast_common::command::{Action, Command};
use holdfast_common::domain::{
    CancelReason, Changes, Decision, HoldState, OrderState, Payment, PaymentState, RefundReason,
    RefundStatus, State,
};
use holdfast_common::id::{HoldId, ProductId, RequestId};
use holdfast_common::outcome::Outcome;
use holdfast_common::partition::Partition;
use holdfast_common::time::Timestamp;

use crate::apply::batch::Batch;
use crate::observe::metrics::{METRICS, Stages, commands};
use crate::observe::worker_stats::TALLY;

/// A payment that is not what its order costs: its action and outcome.
const MISMATCH: (&str, &str) = ("settle_payment", "mismatch");

/// What one batch came to.
pub(crate) struct Journal {
    /// How many commands of an action came to an outcome; a handful.
    counts: Vec<(&'static str, &'static str, u64)>,
    lines: Vec<Line>,
    is_told: bool,
}

/// One command.
struct Line {
    partition: Partition,
    request_id: RequestId,
    action: &'static str,
    outcome: &'static str,
    replayed: bool,
    product_id: Option<ProductId>,
    hold_id: Option<HoldId>,
    stock_before: Option<i64>,
    stock_after: Option<i64>,
    retries: u32,
}

impl Journal {
    pub(crate) fn begin() -> Self {
        Self {
            counts: Vec::new(),
            lines: Vec::new(),
            is_told: tracing::enabled!(tracing::Level::DEBUG),
        }
    }

    /// Applies a command by `decide`, and notes what it came to.
    pub(crate) fn note(
        &mut self,
        batch: &Batch,
        state: &mut State,
        command: &Command,
        decide: impl FnOnce(&mut State) -> Decision,
    ) -> Decision {
        if !self.is_told {
            let decision = decide(state);
            self.count(&command.action, &decision);
            return decision;
        }
        let stock = |state: &State, id: Option<ProductId>| {
            state.product(id?).map(|product| product.stock.available())
        };
        let product_id = state.product_of(&command.action);
        let stock_before = stock(state, product_id);
        let decision = decide(state);
        self.count(&command.action, &decision);
        let made = matches!(decision.outcome, Outcome::HoldCreated(_))
            .then(|| HoldId::of_request(command.request_id));
        self.lines.push(Line {
            partition: batch.known.partition,
            request_id: command.request_id,
            action: command.action.name(),
            outcome: decision.outcome.name(),
            replayed: decision.replayed,
            product_id,
            hold_id: command.action.named_hold().or(made),
            stock_before,
            stock_after: stock(state, product_id),
            retries: batch.retries,
        });
        decision
    }

    fn count(&mut self, action: &Action, decision: &Decision) {
        let action = action.name();
        let outcome = if decision.replayed {
            "replayed"
        } else {
            decision.outcome.name()
        };
        match self
            .counts
            .iter_mut()
            .find(|counted| (counted.0, counted.1) == (action, outcome))
        {
            Some((.., count)) => *count += 1,
            None => self.counts.push((action, outcome, 1)),
        }
    }

    /// Counts and tells all of it.
    pub(crate) fn committed(&self, changes: &Changes, now: Timestamp, stages: &Stages) {
        for (action, outcome, count) in &self.counts {
            commands(action, outcome).increment(*count);
        }
        let all: u64 = self.counts.iter().map(|(.., count)| count).sum();
        METRICS.batch_commands.record(all as f64);
        let mismatches = self
            .counts
            .iter()
            .filter(|counted| (counted.0, counted.1) == MISMATCH);
        TALLY.batch(all, mismatches.map(|(.., count)| count).sum());
        count_expired(changes, now);
        let micros = stages.whole().as_micros() as u64;
        for line in &self.lines {
            tracing::debug!(
                partition = %line.partition, request_id = %line.request_id, action = line.action, outcome = line.outcome,
                replayed = line.replayed, product_id = line.product_id.map(|id| id.0),
                hold_id = line.hold_id.map(tracing::field::display), stock_before = line.stock_before,
                stock_after = line.stock_after, retries = line.retries, batch_micros = micros, "command applied"
            );
        }
        for payment in changes.new_payments.iter().chain(&changes.changed_payments) {
            tell_refund(payment);
        }
    }
}

/// How late holds and orders were ended that this batch ended for their time.
fn count_expired(changes: &Changes, now: Timestamp) {
    let holds = changes
        .changed_holds
        .iter()
        .filter(|hold| hold.state == HoldState::Expired { at: now });
    let ended = OrderState::Cancelled {
        reason: CancelReason::PaymentTimeout,
        at: now,
    };
    let orders = changes
        .changed_orders
        .iter()
        .filter(|order| order.state == ended);
    for due in holds
        .map(|hold| hold.expires_at)
        .chain(orders.map(|order| order.payment_due_at))
    {
        let late_micros = now.0.saturating_sub(due.0).max(0).cast_unsigned();
        METRICS.expiry_lag.record(late_micros as f64 / 1e6);
        TALLY.expired(late_micros);
    }
}

fn tell_refund(payment: &Payment) {
    let PaymentState::Refund {
        status: RefundStatus::Due,
        reason,
    } = payment.state
    else {
        return;
    };
    let order_id = payment.order_id;
    match reason {
        RefundReason::Mismatch => tracing::warn!(
            %order_id, "a payment is not what its order costs; its refund is due: compare the shop's prices with Holdfast's"
        ),
        RefundReason::OrderCancelled | RefundReason::AlreadyPaid | RefundReason::HoldEnded => {
            tracing::info!(%order_id, ?reason, "a refund is due: see `holdfast refunds`");
        }
        // Never due: it was paid back by hand.
        RefundReason::Unmatched => {}
    }
}
