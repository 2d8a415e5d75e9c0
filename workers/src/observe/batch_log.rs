//! The results of one batch, for metrics and log lines. Published after the commit: before it nothing has happened.
//!
//! The line of each command has level debug, and its data is gathered only when that level is on. Lines that an operator
//! acts on have level info and above. Ids of requests, products, holds and orders are logged. Customers, payments and
//! names are never logged.

use holdfast_common::command::Command;
use holdfast_common::domain::{
    CancelReason, Changes, Decision, HoldState, OrderState, Payment, PaymentState, RefundReason,
    RefundStatus, State,
};
use holdfast_common::id::{HoldId, ProductId, RequestId};
use holdfast_common::outcome::Outcome;
use holdfast_common::partition::Partition;
use holdfast_common::time::Timestamp;

use crate::observe::metrics::{METRICS, Stages, commands};
use crate::observe::worker_stats::WORKER_STATS;
use crate::progress::Progress;

/// The action and outcome of a payment whose amount or currency differs from its order's.
const MISMATCH: (&str, &str) = ("settle_payment", "mismatch");

pub(crate) struct BatchLog {
    /// The number of commands by action and outcome. A batch has a handful of these pairs.
    counts: Vec<(&'static str, &'static str, u64)>,
    lines: Vec<CommandLine>,
    is_debug: bool,
}

/// The line of one command.
struct CommandLine {
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

/// The product of a command, and its available stock before the decision.
pub(crate) struct StockBefore {
    product_id: Option<ProductId>,
    available: Option<i64>,
}

impl BatchLog {
    pub(crate) fn begin() -> Self {
        Self {
            counts: Vec::new(),
            lines: Vec::new(),
            is_debug: tracing::enabled!(tracing::Level::DEBUG),
        }
    }

    /// Reads the stock before a decision, for its line. `None` when lines are off.
    pub(crate) fn before(&self, state: &State, command: &Command) -> Option<StockBefore> {
        self.is_debug.then(|| {
            let product_id = state.product_of(&command.action);
            StockBefore {
                product_id,
                available: available(state, product_id),
            }
        })
    }

    /// Records a decision.
    pub(crate) fn record(
        &mut self,
        progress: &Progress,
        command: &Command,
        before: Option<StockBefore>,
        decision: &Decision,
        state: &State,
    ) {
        let (action, outcome) = (command.action.name(), decision.outcome.name());
        let counted_as = if decision.replayed {
            "replayed"
        } else {
            outcome
        };
        match self
            .counts
            .iter_mut()
            .find(|counted| (counted.0, counted.1) == (action, counted_as))
        {
            Some((.., count)) => *count += 1,
            None => self.counts.push((action, counted_as, 1)),
        }
        let Some(StockBefore {
            product_id,
            available: stock_before,
        }) = before
        else {
            return;
        };
        let created = matches!(decision.outcome, Outcome::HoldCreated(_))
            .then(|| HoldId::of_request(command.request_id));
        self.lines.push(CommandLine {
            partition: progress.lease.partition,
            request_id: command.request_id,
            action,
            outcome,
            replayed: decision.replayed,
            product_id,
            hold_id: command.action.named_hold().or(created),
            stock_before,
            stock_after: available(state, product_id),
            retries: progress.retries,
        });
    }

    /// Counts and logs the batch. Called after its commit.
    pub(crate) fn publish(&self, changes: &Changes, now: Timestamp, stages: &Stages) {
        for (action, outcome, count) in &self.counts {
            commands(action, outcome).increment(*count);
        }
        let all: u64 = self.counts.iter().map(|(.., count)| count).sum();
        METRICS.batch_commands.record(all as f64);
        let mismatches = self
            .counts
            .iter()
            .filter(|counted| (counted.0, counted.1) == MISMATCH);
        WORKER_STATS.count_batch(all, mismatches.map(|(.., count)| count).sum());
        count_expired(changes, now);
        let micros = stages.total().as_micros() as u64;
        for line in &self.lines {
            tracing::debug!(
                partition = %line.partition, request_id = %line.request_id, action = line.action, outcome = line.outcome,
                replayed = line.replayed, product_id = line.product_id.map(|id| id.0),
                hold_id = line.hold_id.map(tracing::field::display), stock_before = line.stock_before,
                stock_after = line.stock_after, retries = line.retries, batch_micros = micros, "command applied"
            );
        }
        for payment in changes.new_payments.iter().chain(&changes.changed_payments) {
            log_due_refund(payment);
        }
    }
}

fn available(state: &State, product_id: Option<ProductId>) -> Option<i64> {
    state
        .product(product_id?)
        .map(|product| product.stock.available())
}

/// Counts the holds and orders that this batch ended because of their time, by their delay.
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
        WORKER_STATS.count_expired(late_micros);
    }
}

fn log_due_refund(payment: &Payment) {
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
            %order_id, "a payment's amount or currency differs from its order's, so its refund is due; compare the shop's prices with Holdfast's"
        ),
        RefundReason::OrderCancelled | RefundReason::AlreadyPaid | RefundReason::HoldEnded => {
            tracing::info!(%order_id, ?reason, "a refund is due; see `holdfast refunds list`");
        }
        // Never due here: an operator refunded the payment outside of Holdfast.
        RefundReason::Unmatched => {}
    }
}
