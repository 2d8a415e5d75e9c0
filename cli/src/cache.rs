//! `holdfast cache`: clears or fills the product caches of all ingresses.

use std::time::Duration;

use anyhow::bail;
use async_nats::StatusCode;
use clap::{Args, Subcommand};
use futures_util::StreamExt;
use holdfast_common::id::ProductId;
use holdfast_common::log;
use holdfast_common::messages::cache_request::{CacheReply, CacheRequest};
use holdfast_common::messages::wire::Message as _;
use holdfast_common::settings::NatsSettings;
use serde_json::json;
use tokio::time::timeout;

use crate::exit::{self, Verdict};
use crate::output::ListOutput;

const FIRST_REPLY_WAIT: Duration = Duration::from_secs(30);
/// The number of ingresses is not known. The command ends when no reply arrives for this time.
const NEXT_REPLY_WAIT: Duration = Duration::from_secs(1);

#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Empty the product cache of every ingress. The next request for a product reads it from Postgres
    #[command(after_help = exit::HELP)]
    Clear(Common),
    /// Load products into the cache of every ingress before requests need them
    #[command(after_help = exit::HELP)]
    Warm {
        /// Load this product only
        #[arg(long)]
        product: Option<i64>,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Args)]
struct Common {
    #[command(flatten)]
    output: ListOutput,
    #[command(flatten)]
    nats: NatsSettings,
}

/// Prints the reply of each ingress. A failed ingress needs action.
pub(crate) async fn run(options: Options) -> anyhow::Result<Verdict> {
    let (request, Common { output, nats }) = match options.command {
        Command::Clear(common) => (CacheRequest::Clear, common),
        Command::Warm { product, common } => (CacheRequest::Warm(product.map(ProductId)), common),
    };
    let replies = request_all(&nats, request).await?;
    let name = |reply: &CacheReply| format!("{:016x}", reply.ingress.0);
    let document = |reply: &CacheReply| json!({"ingress": name(reply), "products": reply.products});
    output.print(&replies, document, ["ingress", "products"], |reply| {
        let products = reply.products.map_or_else(
            || "failed: read the log of this ingress".to_owned(),
            |count| count.to_string(),
        );
        [name(reply), products]
    });
    Ok(Verdict::needs_action_if(
        replies.iter().any(|reply| reply.products.is_none()),
    ))
}

async fn request_all(
    settings: &NatsSettings,
    request: CacheRequest,
) -> anyhow::Result<Vec<CacheReply>> {
    let nats = log::connect(settings, "holdfast", |_| ()).await?;
    let inbox = nats.new_inbox();
    let mut messages = nats.subscribe(inbox.clone()).await?;
    nats.publish_with_reply(
        settings.subjects.cache_requests(),
        inbox,
        request.encode().into(),
    )
    .await?;
    let (mut replies, mut wait) = (Vec::new(), FIRST_REPLY_WAIT);
    while let Ok(Some(message)) = timeout(wait, messages.next()).await {
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            break;
        }
        replies.push(CacheReply::decode(&message.payload)?);
        wait = NEXT_REPLY_WAIT;
    }
    if replies.is_empty() {
        bail!("no ingress replied: start holdfast-ingress, or correct NATS_PREFIX");
    }
    Ok(replies)
}
