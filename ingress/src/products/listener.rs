//! Hears what workers say after a commit: replies to our requests, and the news of all partitions.

use std::sync::Arc;

use futures_util::{FutureExt, StreamExt};
use holdfast_common::domain::Decision;
use holdfast_common::messages::news::{self, Message};
use holdfast_common::messages::reply::{self, Reply};
use holdfast_common::partition::Partition;
use tokio::task::unconstrained;

use crate::App;
use crate::commands::waiters::Answer;

/// Subscribes to both, and listens from then on.
///
/// # Errors
/// When NATS does not take the subscriptions.
pub async fn start(app: Arc<App>) -> anyhow::Result<tokio::task::JoinHandle<()>> {
    let (nats, subjects) = (&app.connections.nats, &app.settings.nats.subjects);
    let mut replies = nats
        .subscribe(subjects.replies(app.connections.ingress))
        .await?;
    let mut news = nats.subscribe(subjects.news()).await?;
    // The server knows of both once it has answered this.
    nats.flush().await?;
    Ok(tokio::spawn(async move {
        loop {
            tokio::select! {
                biased;
                Some(message) = news.next() => hear_news(&app, &message.payload).await,
                Some(message) = replies.next() => {
                    // A worker's news is sent before its replies, and comes in that order. Who is told that units are back
                    // may ask again at once, and must find them back. (Without this, the runtime could end our turn early.)
                    while let Some(Some(message)) = unconstrained(news.next()).now_or_never() {
                        hear_news(&app, &message.payload).await;
                    }
                    hear_replies(&app, &message.payload);
                }
                else => return,
            }
        }
    }))
}

fn hear_replies(app: &App, message: &[u8]) {
    match reply::decode(message) {
        Ok(replies) => {
            for Reply {
                request_id,
                replayed,
                outcome,
            } in replies
            {
                app.waiters
                    .answer(request_id, Answer::Decision(Decision { replayed, outcome }));
            }
        }
        Err(error) => {
            tracing::error!(%error, "a worker's replies can't be read; rows will be read instead")
        }
    }
}

async fn hear_news(app: &App, message: &[u8]) {
    match news::decode(message) {
        Ok(Message::News(news)) => {
            let partition = Partition(news.pulse.partition);
            let doubts = app.stock.pulses.doubts(partition);
            app.positions.learn(&news);
            app.stock.learn(news, &app.connections).await;
            if app.stock.pulses.doubts(partition) != doubts {
                app.missed.note(partition);
            }
        }
        Ok(Message::Heartbeat(heartbeat)) => app.stock.pulses.learn_heartbeat(&heartbeat),
        Err(error) => {
            tracing::error!(%error, "a worker's news can't be read; stock in memory may be old")
        }
    }
}
