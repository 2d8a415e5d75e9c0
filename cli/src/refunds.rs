//! `holdfast refunds`: money that goes back, for the one who sees to it.
//!
//! Nothing is changed from here: what is asked is a command in the log like any other, and a worker applies it.

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use holdfast_common::command::Action;
use holdfast_common::domain::RefundStatus;
use holdfast_common::encryption::Keyring;
use holdfast_common::id::HoldId;
use holdfast_common::log::internal;
use holdfast_common::settings::{EncryptionSettings, NatsSettings, PostgresSettings};
use holdfast_ingress::store::payments::{self, ListedPayment};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::listing;
use crate::store;
use crate::submit::{CommandLog, wait_until_applied};

/// The most refunds that are listed.
const LISTED_MAX: i64 = 10_000;

/// What `refunds` is told.
#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List payments whose money goes back, oldest first
    List(List),
    /// Have a refund asked for once more, though it was accepted before
    Retry(One),
    /// Note that the money of a refund, or of a payment that nothing matched, is back
    Resolve(One),
}

#[derive(Args)]
struct List {
    /// Only those that have come this far [default: due and requested]
    #[arg(long, value_enum)]
    state: Option<State>,
    /// As JSON, an object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    postgres: PostgresSettings,
    #[command(flatten)]
    encryption: EncryptionSettings,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum State {
    /// The provider is to be asked
    Due,
    /// The provider was asked
    Requested,
    /// The money is back
    Refunded,
}

impl State {
    fn stored(self) -> &'static str {
        match self {
            Self::Due => "refund_due",
            Self::Requested => "refund_requested",
            Self::Refunded => "refunded",
        }
    }
}

#[derive(Args)]
struct One {
    /// The order, by its id or reference
    order: String,
    /// The payment, as its provider names it
    payment: String,
    /// Say how it stands as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    postgres: PostgresSettings,
    #[command(flatten)]
    encryption: EncryptionSettings,
    #[command(flatten)]
    nats: NatsSettings,
}

/// Does what was asked.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    match options.command {
        Command::List(list) => show(list).await,
        Command::Retry(one) => advance(one, RefundStatus::Due, State::Due).await,
        Command::Resolve(one) => advance(one, RefundStatus::Refunded, State::Refunded).await,
    }
}

async fn show(list: List) -> anyhow::Result<()> {
    let (pool, keys) =
        store::open_sealed(&list.postgres, &list.encryption, "holdfast-refunds").await?;
    let states = list
        .state
        .map_or_else(|| vec![State::Due, State::Requested], |state| vec![state]);
    let states: Vec<_> = states.into_iter().map(State::stored).collect();
    let mut refunds = payments::list(&pool, &keys, &states, None, LISTED_MAX + 1).await?;
    let has_more = refunds.len() as i64 > LISTED_MAX;
    refunds.truncate(LISTED_MAX as usize);
    listing::show(
        &refunds,
        list.json,
        document,
        ["order", "payment", "state", "reason", "amount", "received"],
        cells,
    );
    if has_more {
        eprintln!(
            "only the first {LISTED_MAX} are shown: name a --state, or page through GET /api/admin/refunds"
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
        listing::seconds(refund.received_at),
    ]
}

async fn advance(one: One, to: RefundStatus, state: State) -> anyhow::Result<()> {
    let order_id: HoldId = one
        .order
        .strip_prefix("order_")
        .unwrap_or(&one.order)
        .parse()
        .context("the order")?;
    let (pool, keys) =
        store::open_sealed(&one.postgres, &one.encryption, "holdfast-refunds").await?;
    match payments::state(&pool, &keys, order_id, &one.payment)
        .await?
        .as_deref()
    {
        None => bail!(
            "there is no such payment of this order; `holdfast refunds list` shows what there is"
        ),
        Some("refunded") if state != State::Refunded => {
            bail!("the money of this payment is back already")
        }
        Some("refund_due" | "refund_requested" | "refunded") => {}
        Some("unmatched") if state == State::Refunded => {}
        Some(other) => bail!("no refund is owed for this payment: it is {other}"),
    }
    let action = Action::AdvanceRefund {
        order_id,
        payment_id: one.payment.clone(),
        to,
    };
    let command = internal::command(order_id.slot(), action);
    let log = CommandLog::connect(&one.nats, &keys).await?;
    let seq = log.publish(&command).await?;
    wait_until_applied(async || {
        Ok(is_applied(&pool, &keys, &one.nats, order_id, seq)
            .await?
            .then_some(()))
    })
    .await?;
    // Another may have been faster, and a failure that nothing matched has no money to be back.
    let state = payments::state(&pool, &keys, order_id, &one.payment).await?;
    if one.json {
        println!(
            "{}",
            json!({"order_id": order_id, "payment_id": one.payment, "state": state})
        );
    } else {
        println!("{} is {}", one.payment, state.unwrap_or_default());
    }
    Ok(())
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
