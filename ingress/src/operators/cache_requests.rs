//! Does what an operator asks of the products in memory: forget them, or read them ahead of a sale.
//!
//! One request at a time, apart from the workers' news, which must not wait for it.

use std::sync::Arc;

use futures_util::StreamExt;
use holdfast_common::messages::cache_request::{Done, Request};
use holdfast_common::messages::wire::Message as _;

use crate::App;

/// Listens from now on.
///
/// # Errors
/// When NATS does not take the subscription.
pub async fn start(app: Arc<App>) -> anyhow::Result<tokio::task::JoinHandle<()>> {
    let mut requests = app
        .connections
        .nats
        .subscribe(app.settings.nats.subjects.cache())
        .await?;
    Ok(tokio::spawn(async move {
        while let Some(message) = requests.next().await {
            let request = match Request::decode(&message.payload) {
                Ok(request) => request,
                Err(error) => {
                    tracing::warn!(%error, "a request about products in memory can't be read");
                    continue;
                }
            };
            let done = Done {
                ingress: app.connections.ingress,
                products: handle(&app, request).await,
            };
            let Some(reply) = message.reply else { continue };
            if let Err(error) = app
                .connections
                .nats
                .publish(reply, done.encode().into())
                .await
            {
                tracing::warn!(%error, "who asked about products in memory was not answered");
            }
        }
    }))
}

async fn handle(app: &App, request: Request) -> Option<u64> {
    tracing::info!(?request, "an operator asks about products in memory");
    match request {
        Request::Clear => Some(app.stock.clear()),
        Request::Warm(product) => match app.stock.warm(product, &app.connections).await {
            Ok(count) => Some(count),
            Err(error) => {
                tracing::warn!(%error, "products were not read into memory");
                None
            }
        },
    }
}
