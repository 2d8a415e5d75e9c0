//! `holdfast holds`: what is set aside, and giving one back for a buyer who can't.

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use holdfast_common::command::{Action, Command as LogCommand};
use holdfast_common::id::{HoldId, ProductId};
use holdfast_common::outcome::{Outcome, Refusal};
use holdfast_common::settings::{EncryptionSettings, NatsSettings, PostgresSettings};
use holdfast_ingress::host_clock::new_request_id;
use serde_json::{Value, json};

use crate::exit::{self, Found};
use crate::listing;
use crate::store::{self, holds::Listed};
use crate::submit::CommandLog;

/// The most holds that can be listed.
const LISTED_MAX: i64 = 100_000;

/// What `holds` is told.
#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List holds, those that are active unless told otherwise; who has them is not shown
    #[command(after_help = exit::HELP)]
    List(List),
    /// End an active hold now: its units go back on sale, and it reads as released
    #[command(after_help = exit::HELP)]
    Expire(Expire),
}

#[derive(Args)]
struct List {
    /// Only those of this product
    #[arg(long)]
    product: Option<i64>,
    /// Only those that read so
    #[arg(long, value_enum, default_value = "active")]
    status: Status,
    /// How many at most
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(i64).range(1..=LISTED_MAX))]
    limit: i64,
    /// As JSON, an object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    postgres: PostgresSettings,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Status {
    Active,
    Consumed,
    Released,
    Expired,
    /// Whatever became of them
    All,
}

impl Status {
    fn stored(self) -> Option<&'static str> {
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
    /// The hold
    id: String,
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
pub(crate) async fn run(options: Options) -> anyhow::Result<Found> {
    match options.command {
        Command::List(options) => list(options).await?,
        Command::Expire(options) => expire(options).await?,
    }
    Ok(Found::Nothing)
}

async fn list(options: List) -> anyhow::Result<()> {
    let pool = store::open(&options.postgres, "holdfast-holds").await?;
    let product = options
        .product
        .map(|id| (ProductId(id).slot().as_i16(), id));
    let mut holds =
        store::holds::list(&pool, product, options.status.stored(), options.limit + 1).await?;
    let has_more = holds.len() as i64 > options.limit;
    holds.truncate(options.limit as usize);
    let heads = [
        "hold", "product", "quantity", "status", "sequence", "expires",
    ];
    listing::show(&holds, options.json, document, heads, |hold| {
        [
            hold.hold_id.to_string(),
            hold.product_id.to_string(),
            hold.quantity.to_string(),
            hold.status.clone(),
            hold.sequence.to_string(),
            listing::seconds(hold.expires_at),
        ]
    });
    if has_more {
        eprintln!(
            "there are more than {}: name a --product, or raise --limit",
            options.limit
        );
    }
    Ok(())
}

fn document(hold: &Listed) -> Value {
    json!({
        "hold_id": hold.hold_id, "product_id": hold.product_id, "quantity": hold.quantity, "status": hold.status,
        "sequence": hold.sequence, "created_at": hold.created_at, "expires_at": hold.expires_at,
    })
}

/// Nothing but the decision ends a hold: it is asked to, as the buyer would.
async fn expire(options: Expire) -> anyhow::Result<()> {
    let hold_id: HoldId = options.id.parse().context("the hold")?;
    let (pool, keys) =
        store::open_sealed(&options.postgres, &options.encryption, "holdfast-holds").await?;
    let action = Action::ReleaseHold { hold_id };
    let command = LogCommand {
        request_id: new_request_id(hold_id.slot()),
        key: None,
        action,
    };
    match CommandLog::connect(&options.nats, &keys)
        .await?
        .submit(&pool, &command)
        .await?
    {
        Outcome::HoldReleased(_) => {}
        Outcome::Refused(Refusal::HoldNotFound) => bail!("there is no hold {hold_id}"),
        Outcome::Refused(Refusal::HoldConsumed) => {
            bail!("hold {hold_id} became an order, which ends by itself unpaid")
        }
        Outcome::Refused(Refusal::HoldExpired) => bail!("hold {hold_id} has expired already"),
        other => bail!("hold {hold_id} was not ended: {other:?}; see `holdfast dead-letters`"),
    }
    if options.json {
        println!("{}", json!({"hold_id": hold_id, "status": "released"}));
    } else {
        println!("hold {hold_id} is released");
    }
    Ok(())
}
