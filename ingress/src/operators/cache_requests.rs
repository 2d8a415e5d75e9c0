//! Carries out an operator's requests about the product cache: clear it, or fill it before a sale.
//!
//! One request at a time, in a task of its own: the workers' news must not wait for it.

use std::sync::Arc;

use futures_util::StreamExt;
use holdfast_common::messages::cache_request::{CacheReply, CacheRequest};
use holdfast_common::messages::subjects::Subjects;
use holdfast_common::messages::wire::Message as _;
use tokio::task::JoinHandle;

use crate::connections::Connections;
use crate::products::cache::ProductCache;

/// Subscribes to the requests, and starts the task that carries them out.
///
/// # Errors
/// When NATS does not accept the subscription.
pub async fn start(
    connections: &Connections,
    subjects: &Subjects,
    products: Arc<ProductCache>,
) -> anyhow::Result<JoinHandle<()>> {
    let mut requests = connections
        .nats
        .subscribe(subjects.cache_requests())
        .await?;
    let (nats, ingress) = (connections.nats.clone(), connections.ingress);
    Ok(tokio::spawn(async move {
        while let Some(message) = requests.next().await {
            let request = match CacheRequest::decode(&message.payload) {
                Ok(request) => request,
                Err(error) => {
                    tracing::warn!(%error, "decoding a request about the product cache failed; it is ignored");
                    continue;
                }
            };
            let done = CacheReply {
                ingress,
                products: execute(&products, request).await,
            };
            let Some(reply) = message.reply else { continue };
            if let Err(error) = nats.publish(reply, done.encode().into()).await {
                tracing::warn!(%error, "responding to a request about the product cache failed; it was carried out");
            }
        }
    }))
}

/// The number of products that were removed or read; `None` after an error.
async fn execute(products: &ProductCache, request: CacheRequest) -> Option<u64> {
    tracing::info!(?request, "an operator's request about the product cache");
    match request {
        CacheRequest::Clear => Some(products.clear()),
        CacheRequest::Warm(product) => match products.warm(product).await {
            Ok(count) => Some(count),
            Err(error) => {
                tracing::warn!(%error, "filling the product cache failed");
                None
            }
        },
    }
}
