//! Receives what workers publish after a commit: replies to this ingress's requests, and the news of all partitions.

use std::sync::Arc;

use futures_util::{FutureExt, StreamExt};
use holdfast_common::domain::Decision;
use holdfast_common::messages::news::{self, NewsMessage};
use holdfast_common::messages::reply::{self, Reply};
use holdfast_common::messages::subjects::Subjects;
use holdfast_common::partition::Partition;
use tokio::task::{JoinHandle, unconstrained};

use crate::commands::lost_replies::LostReplies;
use crate::commands::positions::AppliedPositions;
use crate::commands::waiters::Waiters;
use crate::connections::Connections;
use crate::products::cache::ProductCache;

/// The receivers of replies and news.
pub struct Listener {
    pub waiters: Arc<Waiters>,
    pub positions: Arc<AppliedPositions>,
    pub products: Arc<ProductCache>,
    pub lost_replies: Arc<LostReplies>,
}

impl Listener {
    /// Subscribes to replies and news, and starts the task that receives them.
    ///
    /// # Errors
    /// When NATS does not accept the subscriptions.
    pub async fn start(
        self,
        connections: &Connections,
        subjects: &Subjects,
    ) -> anyhow::Result<JoinHandle<()>> {
        let nats = &connections.nats;
        let mut replies = nats
            .subscribe(subjects.replies(connections.ingress))
            .await?;
        let mut news = nats.subscribe(subjects.news()).await?;
        // The flush ends after the server has registered both subscriptions. A request that is published before that
        // would get no reply.
        nats.flush().await?;
        Ok(tokio::spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    Some(message) = news.next() => self.receive_news(&message.payload).await,
                    Some(message) = replies.next() => {
                        // A worker publishes its news before its replies, and one connection keeps this order. The news
                        // must be applied first: a client whose release is confirmed may send a hold at once, and the
                        // cache must not refuse it with the old stock. `unconstrained` turns off the runtime's budget,
                        // which could end the loop while news is waiting.
                        while let Some(Some(message)) = unconstrained(news.next()).now_or_never() {
                            self.receive_news(&message.payload).await;
                        }
                        self.receive_replies(&message.payload);
                    }
                    else => return,
                }
            }
        }))
    }

    fn receive_replies(&self, message: &[u8]) {
        match reply::decode(message) {
            Ok(replies) => {
                for Reply {
                    request_id,
                    replayed,
                    outcome,
                } in replies
                {
                    self.waiters
                        .complete(request_id, Ok(Decision { replayed, outcome }));
                }
            }
            Err(error) => tracing::error!(
                %error, bytes = message.len(),
                "decoding a worker's replies failed; their outcomes are read from Postgres. \
                 Do the workers run the same version?"
            ),
        }
    }

    async fn receive_news(&self, message: &[u8]) {
        match news::decode(message) {
            Ok(NewsMessage::News(news)) => {
                let partition = Partition(news.pulse.partition);
                let gaps = self.products.freshness.gaps(partition);
                self.positions.record_news(&news);
                self.products.apply_news(news).await;
                if self.products.freshness.gaps(partition) != gaps {
                    self.lost_replies.add(partition);
                }
            }
            Ok(NewsMessage::Heartbeat(heartbeat)) => {
                self.products.freshness.record_heartbeat(&heartbeat);
            }
            Err(error) => tracing::error!(
                %error, bytes = message.len(),
                "decoding a worker's news failed; the product cache may be old. \
                 Do the workers run the same version?"
            ),
        }
    }
}
