//! `holdfast refunds`: lists refunds, and moves them forward.
//!
//! Changes are commands in the log; this module writes no rows.

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use holdfast_common::command::Action;
use holdfast_common::domain::RefundStatus;
use holdfast_common::encryption::Keyring;
use holdfast_common::id::{HoldId, OrderReference};
use holdfast_common::log::internal;
use holdfast_common::settings::NatsSettings;
use holdfast_ingress::store::payments::{self, ListedPayment};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::exit;
use crate::options::{EncryptedStore, StoreAndLog};
use crate::output::{self, ListOutput, ResultOutput};
use crate::submit::{CommandLog, wait_until_applied};

const LISTED_MAX: i64 = 10_000;

#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List payments with a refund, oldest first
    #[command(after_help = exit::HELP)]
    List(List),
    /// Request a refund again, even when the payment provider has accepted it before
    #[command(after_help = exit::HELP)]
    Retry(Payment),
    /// Record that the money of a refund, or of an unmatched payment, was returned
    #[command(after_help = exit::HELP)]
    Resolve(Payment),
}

#[derive(Args)]
struct List {
    /// List refunds in this state only [default: due and requested]
    #[arg(long, value_enum)]
    state: Option<RefundState>,
    #[command(flatten)]
    output: ListOutput,
    #[command(flatten)]
    store: EncryptedStore,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RefundState {
    /// The refund has not been requested from the payment provider yet
    Due,
    /// The refund was requested from the payment provider
    Requested,
    /// The money was returned
    Refunded,
}

impl RefundState {
    fn column_value(self) -> &'static str {
        match self {
            Self::Due => "refund_due",
            Self::Requested => "refund_requested",
            Self::Refunded => "refunded",
        }
    }
}

#[derive(Args)]
struct Payment {
    /// Id or reference of the order
    order: String,
    /// Payment id of the payment provider
    payment: String,
    #[command(flatten)]
    output: ResultOutput,
    #[command(flatten)]
    connections: StoreAndLog,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    match options.command {
        Command::List(options) => list(options).await,
        Command::Retry(payment) => advance(payment, RefundStatus::Due).await,
        Command::Resolve(payment) => advance(payment, RefundStatus::Refunded).await,
    }
}

async fn list(options: List) -> anyhow::Result<()> {
    let (pool, keys) = options.store.open("holdfast-refunds").await?;
    let states = options.state.map_or_else(
        || vec![RefundState::Due, RefundState::Requested],
        |state| vec![state],
    );
    let states: Vec<_> = states.into_iter().map(RefundState::column_value).collect();
    let mut refunds = payments::list(&pool, &keys, &states, None, LISTED_MAX + 1).await?;
    let has_more = refunds.len() as i64 > LISTED_MAX;
    refunds.truncate(LISTED_MAX as usize);
    let headers = ["order", "payment", "state", "reason", "amount", "received"];
    options.output.print(&refunds, document, headers, cells);
    if has_more {
        eprintln!(
            "only the first {LISTED_MAX} refunds are listed: choose a --state, or page through GET /api/admin/refunds"
        );
    }
    Ok(())
}

fn document(refund: &ListedPayment) -> Value {
    json!({
        "order_id": refund.order_id, "payment_id": refund.payment_id, "state": refund.state,
        "reason": refund.refund_reason, "amount_minor": refund.amount_minor, "currency": refund.currency,
        "received_at": refund.received_at,
    })
}

fn cells(refund: &ListedPayment) -> [String; 6] {
    let amount = refund.amount_minor.zip(refund.currency.as_ref());
    [
        refund.order_id.to_string(),
        refund.payment_id.clone(),
        refund.state.clone(),
        refund.refund_reason.clone().unwrap_or_default(),
        amount
            .map(|(minor, currency)| format!("{minor} {currency} (minor units)"))
            .unwrap_or_default(),
        output::seconds(refund.received_at),
    ]
}

async fn advance(options: Payment, to: RefundStatus) -> anyhow::Result<()> {
    let Payment {
        order,
        payment,
        output,
        connections: StoreAndLog { store, nats },
    } = options;
    let order: OrderReference = order.parse().context("the order id is not valid")?;
    let order_id = order.order_id();
    let (pool, keys) = store.open("holdfast-refunds").await?;
    let state = payments::state(&pool, &keys, order_id, &payment).await?;
    check_transition(state.as_deref(), to)?;
    let action = Action::AdvanceRefund {
        order_id,
        payment_id: payment.clone(),
        to,
    };
    let command = internal::command(order_id.slot(), action);
    let log = CommandLog::connect(&nats, &keys).await?;
    let seq = log.publish(&command).await?;
    wait_until_applied(async || {
        let is_applied = is_applied(&pool, &keys, &nats, order_id, seq).await?;
        Ok(is_applied.then_some(()))
    })
    .await?;
    // The state may differ from `to`: another command may have come first, and an unmatched payment that had failed
    // becomes `ignored`.
    let state = payments::state(&pool, &keys, order_id, &payment).await?;
    output.print(
        &json!({"order_id": order_id, "payment_id": payment, "state": state}),
        &format!("{payment} is {}", state.unwrap_or_default()),
    );
    Ok(())
}

fn check_transition(state: Option<&str>, to: RefundStatus) -> anyhow::Result<()> {
    match state {
        None => bail!("the order has no such payment; `holdfast refunds list` lists refunds"),
        Some("refunded") if to != RefundStatus::Refunded => {
            bail!("the money of this payment was already returned")
        }
        Some("refund_due" | "refund_requested" | "refunded") => Ok(()),
        Some("unmatched") if to == RefundStatus::Refunded => Ok(()),
        Some(other) => bail!("this payment has no refund: its state is {other}"),
    }
}

async fn is_applied(
    pool: &PgPool,
    keys: &Keyring,
    nats: &NatsSettings,
    order_id: HoldId,
    seq: u64,
) -> anyhow::Result<bool> {
    let partition = nats.partitions.of(order_id.slot());
    let (_, position) =
        holdfast_ingress::store::request(pool, keys, order_id.request(), partition).await?;
    Ok(position.applied_seq >= seq)
}
