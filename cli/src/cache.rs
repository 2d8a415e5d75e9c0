//! `holdfast cache`: the products that ingresses have in memory.

use std::time::Duration;

use anyhow::bail;
use async_nats::StatusCode;
use clap::{Args, Subcommand};
use futures_util::StreamExt;
use holdfast_common::id::ProductId;
use holdfast_common::log;
use holdfast_common::messages::cache_request::{Done, Request};
use holdfast_common::messages::wire::Message as _;
use holdfast_common::settings::NatsSettings;
use serde_json::json;
use tokio::time::timeout;

use crate::exit::{self, Found};
use crate::listing;

/// How long the first ingress may take.
const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// How long after one answer another may come: how many ingresses there are is not known.
const MORE_ANSWERS_WAIT: Duration = Duration::from_secs(1);

/// What `cache` is told.
#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Have every ingress forget its products and read each again when it is asked for
    #[command(after_help = exit::HELP)]
    Clear(Common),
    /// Have every ingress read products ahead of those who will ask
    #[command(after_help = exit::HELP)]
    Warm {
        /// Only this product
        #[arg(long)]
        product: Option<i64>,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Args)]
struct Common {
    /// As JSON, an object an ingress and line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    nats: NatsSettings,
}

/// Asks, and shows what each ingress answers. One that failed is something to see to.
pub(crate) async fn run(options: Options) -> anyhow::Result<Found> {
    let (request, Common { json, nats }) = match options.command {
        Command::Clear(common) => (Request::Clear, common),
        Command::Warm { product, common } => (Request::Warm(product.map(ProductId)), common),
    };
    let answers = ask(&nats, request).await?;
    let name = |done: &Done| format!("{:016x}", done.ingress.0);
    let document = |done: &Done| json!({"ingress": name(done), "products": done.products});
    listing::show(&answers, json, document, ["ingress", "products"], |done| {
        let products = done.products.map_or_else(
            || "failed: see its log".to_owned(),
            |count| count.to_string(),
        );
        [name(done), products]
    });
    Ok(Found::something_if(
        answers.iter().any(|done| done.products.is_none()),
    ))
}

async fn ask(settings: &NatsSettings, request: Request) -> anyhow::Result<Vec<Done>> {
    let nats = log::connect(settings, "holdfast", |_| ()).await?;
    let inbox = nats.new_inbox();
    let mut answers = nats.subscribe(inbox.clone()).await?;
    nats.publish_with_reply(settings.subjects.cache(), inbox, request.encode().into())
        .await?;
    let (mut heard, mut wait) = (Vec::new(), ANSWER_WAIT);
    while let Ok(Some(message)) = timeout(wait, answers.next()).await {
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            break;
        }
        heard.push(Done::decode(&message.payload)?);
        wait = MORE_ANSWERS_WAIT;
    }
    if heard.is_empty() {
        bail!("no ingress has answered: start holdfast-ingress, or correct NATS_PREFIX");
    }
    Ok(heard)
}
