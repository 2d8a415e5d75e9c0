//! Hears what workers say after a commit: replies to our requests, and the news of all partitions.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::select;
use holdfast_common::domain::Decision;
use holdfast_common::news;
use holdfast_common::reply::{self, Reply};

use crate::App;
use crate::waiters::Answer;

/// Subscribes to both, and listens from then on.
///
/// # Errors
/// When NATS does not take the subscriptions.
pub async fn start(app: Arc<App>) -> anyhow::Result<tokio::task::JoinHandle<()>> {
    let (nats, subjects) = (&app.connections.nats, &app.settings.nats.subjects);
    let own_replies = subjects.replies(app.connections.ingress);
    let replies = nats.subscribe(own_replies).await?.map(|message| (true, message.payload));
    let news = nats.subscribe(subjects.news()).await?.map(|message| (false, message.payload));
    // The server knows of both once it has answered this.
    nats.flush().await?;
    let mut heard = select(replies, news);
    Ok(tokio::spawn(async move {
        while let Some((is_reply, message)) = heard.next().await {
            if is_reply { hear_replies(&app, &message) } else { hear_news(&app, &message).await }
        }
    }))
}

fn hear_replies(app: &App, message: &[u8]) {
    match reply::decode(message) {
        Ok(replies) => {
            for Reply { request_id, replayed, outcome } in replies {
                app.waiters.answer(request_id, Answer::Decision(Decision { replayed, outcome }));
            }
        }
        Err(error) => tracing::error!(%error, "a worker's replies can't be read; rows will be read instead"),
    }
}

async fn hear_news(app: &App, message: &[u8]) {
    match news::decode(message) {
        Ok(news) => {
            app.positions.learn(&news);
            app.stock.learn(news, &app.connections).await;
        }
        Err(error) => tracing::error!(%error, "a worker's news can't be read; stock in memory may be old"),
    }
}
