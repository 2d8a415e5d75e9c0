//! `holdfast holds`: lists holds, and ends a hold for a buyer who cannot.

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use holdfast_common::command::{Action, Command as LogCommand};
use holdfast_common::id::{HoldId, ProductId};
use holdfast_common::outcome::{Outcome, Refusal};
use holdfast_common::settings::PostgresSettings;
use holdfast_ingress::host_clock::new_request_id;
use serde_json::{Value, json};

use crate::exit::{self, Verdict};
use crate::options::StoreAndLog;
use crate::output::{self, ListOutput, ResultOutput};
use crate::store::{self, holds::ListedHold};
use crate::submit::CommandLog;

const LISTED_MAX: i64 = 100_000;

#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List holds, without their customers
    #[command(after_help = exit::HELP)]
    List(List),
    /// End an active hold now. Its units go back on sale, and its status becomes released
    #[command(after_help = exit::HELP)]
    Expire(Expire),
}

#[derive(Args)]
struct List {
    /// List holds of this product only
    #[arg(long)]
    product: Option<i64>,
    /// List holds with this status only
    #[arg(long, value_enum, default_value = "active")]
    status: ListedStatus,
    /// Maximum number of holds to list
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(i64).range(1..=LISTED_MAX))]
    limit: i64,
    #[command(flatten)]
    output: ListOutput,
    #[command(flatten)]
    postgres: PostgresSettings,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ListedStatus {
    Active,
    Consumed,
    Released,
    Expired,
    /// Any status
    All,
}

impl ListedStatus {
    fn column_value(self) -> Option<&'static str> {
        match self {
            Self::Active => Some("active"),
            Self::Consumed => Some("consumed"),
            Self::Released => Some("released"),
            Self::Expired => Some("expired"),
            Self::All => None,
        }
    }
}

#[derive(Args)]
struct Expire {
    /// Id of the hold
    id: String,
    #[command(flatten)]
    output: ResultOutput,
    #[command(flatten)]
    connections: StoreAndLog,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<Verdict> {
    match options.command {
        Command::List(options) => list(options).await?,
        Command::Expire(options) => expire(options).await?,
    }
    Ok(Verdict::Ok)
}

async fn list(options: List) -> anyhow::Result<()> {
    let pool = store::open(&options.postgres, "holdfast-holds").await?;
    let product = options
        .product
        .map(|id| (ProductId(id).slot().as_i16(), id));
    let status = options.status.column_value();
    let mut holds = store::holds::list(&pool, product, status, options.limit + 1).await?;
    let has_more = holds.len() as i64 > options.limit;
    holds.truncate(options.limit as usize);
    let headers = [
        "hold", "product", "quantity", "status", "sequence", "expires",
    ];
    options.output.print(&holds, document, headers, |hold| {
        [
            hold.hold_id.to_string(),
            hold.product_id.to_string(),
            hold.quantity.to_string(),
            hold.status.clone(),
            hold.sequence.to_string(),
            output::seconds(hold.expires_at),
        ]
    });
    if has_more {
        eprintln!(
            "there are more than {} holds: choose a --product, or raise --limit",
            options.limit
        );
    }
    Ok(())
}

fn document(hold: &ListedHold) -> Value {
    json!({
        "hold_id": hold.hold_id, "product_id": hold.product_id, "quantity": hold.quantity, "status": hold.status,
        "sequence": hold.sequence, "created_at": hold.created_at, "expires_at": hold.expires_at,
    })
}

/// Submits the same command as a buyer's release.
async fn expire(options: Expire) -> anyhow::Result<()> {
    let hold_id: HoldId = options.id.parse().context("the hold id is not valid")?;
    let StoreAndLog { store, nats } = &options.connections;
    let (pool, keys) = store.open("holdfast-holds").await?;
    let command = LogCommand {
        request_id: new_request_id(hold_id.slot()),
        key: None,
        action: Action::ReleaseHold { hold_id },
    };
    let log = CommandLog::connect(nats, &keys).await?;
    match log.submit(&pool, &command).await? {
        Outcome::HoldReleased(_) => {}
        Outcome::Refused(Refusal::HoldNotFound) => bail!("there is no hold {hold_id}"),
        Outcome::Refused(Refusal::HoldConsumed) => {
            bail!(
                "hold {hold_id} became an order: an unpaid order is cancelled when its time to pay is over"
            )
        }
        Outcome::Refused(Refusal::HoldExpired) => bail!("hold {hold_id} has already expired"),
        other => bail!("hold {hold_id} was not ended: {other:?}; see `holdfast dead-letters list`"),
    }
    options.output.print(
        &json!({"hold_id": hold_id, "status": "released"}),
        &format!("hold {hold_id} is released"),
    );
    Ok(())
}
