//! Refund requests: posted to the shop's `REFUND_URL` until it accepts them.
//!
//! A refund stays due in the table until a request got a 2xx response. Then a command in the log makes it `requested`,
//! like any other change. A worker that dies between the two posts the request again with the same id, by which the
//! receiver recognizes it. Only this process remembers failed tries: after a restart all due refunds are posted at once.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use holdfast_common::command::Action;
use holdfast_common::domain::RefundStatus;
use holdfast_common::encryption::Keyring;
use holdfast_common::id::OrderReference;
use holdfast_common::partition::Partitions;
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::internal_commands::InternalCommands;
use crate::observe::metrics::METRICS;
use crate::post::{OutgoingMessage, Poster, retry_pause};
use crate::store;
use crate::store::refunds::{self, DueRefund};

const CHECK_EVERY: Duration = Duration::from_millis(500);
/// Requests in progress at once.
const REQUESTS_MAX: usize = 8;

pub struct RefundExecutor {
    pub pool: PgPool,
    pub keys: Keyring,
    pub owner: String,
    pub partitions: Partitions,
    pub poster: Poster,
    pub commands: InternalCommands,
}

/// The tries of one refund.
struct RefundTries {
    count: u32,
    next_at: Instant,
}

impl RefundExecutor {
    /// Posts due refunds until the process stops.
    pub async fn run(self, stop: CancellationToken) {
        let mut tries: HashMap<String, RefundTries> = HashMap::new();
        let mut turn = tokio::time::interval(CHECK_EVERY);
        turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(turn.tick()).await.is_some() {
            let posted = stop.run_until_cancelled(self.post_due(&mut tries)).await;
            if let Some(Err(error)) = posted {
                tracing::warn!(%error, "due refunds could not be read or recorded; they stay due and are checked again");
            }
        }
    }

    async fn post_due(
        &self,
        tries: &mut HashMap<String, RefundTries>,
    ) -> Result<(), async_nats::Error> {
        let due = refunds::due(&self.pool, &self.keys, &self.owner, self.partitions).await?;
        let due: HashMap<String, DueRefund> = due
            .into_iter()
            .map(|refund| (refund_id(&refund), refund))
            .collect();
        tries.retain(|id, _| due.contains_key(id));
        let now = Instant::now();
        let is_time = |id: &String| tries.get(id).is_none_or(|tries| tries.next_at <= now);
        let ready = due.into_iter().filter(|(id, _)| is_time(id));
        let requests = ready.collect::<Vec<_>>().into_iter();
        let requests = requests.map(|(id, refund)| async move {
            let posted = self.post(&id, &refund).await;
            (id, refund, posted)
        });
        let mut responses = stream::iter(requests).buffer_unordered(REQUESTS_MAX);
        while let Some((id, refund, posted)) = responses.next().await {
            match posted {
                Ok(()) => {
                    METRICS.refunds_accepted.increment(1);
                    self.record_requested(&refund).await?;
                }
                Err(error) => {
                    METRICS.refunds_failed.increment(1);
                    tracing::warn!(refund = id, %error, "a refund request was not accepted; it is posted again after a pause");
                }
            }
            // After a success, too: until the table shows the refund as requested, it must not be posted again at once.
            let entry = tries.entry(id).or_insert(RefundTries {
                count: 0,
                next_at: now,
            });
            entry.count += 1;
            entry.next_at = Instant::now() + retry_pause(entry.count);
        }
        Ok(())
    }

    async fn post(&self, id: &str, refund: &DueRefund) -> anyhow::Result<()> {
        let order_id = refund.order_id()?;
        let body = serde_json::json!({
            "type": "refund.due",
            "refund_id": id,
            "order_id": order_id.uuid(),
            "order_reference": OrderReference::from(order_id).to_string(),
            "payment_id": refund.payment_id,
            "amount_minor": refund.amount_minor,
            "currency": refund.currency,
            "reason": refund.reason,
        });
        let message = OutgoingMessage {
            id,
            timestamp: store::now_seconds(&self.pool).await?,
            content_type: "application/json",
            body: body.to_string().into_bytes(),
        };
        Ok(self.poster.post(message).await?)
    }

    /// Publishes the command that makes the refund `requested`.
    async fn record_requested(&self, refund: &DueRefund) -> Result<(), async_nats::Error> {
        let order_id = refund.order_id()?;
        let action = Action::AdvanceRefund {
            order_id,
            payment_id: refund.payment_id.clone(),
            to: RefundStatus::Requested,
        };
        self.commands.publish(order_id.slot(), action, None).await
    }
}

/// The id of a payment's refund. It never changes, and reveals nothing about the payment.
fn refund_id(refund: &DueRefund) -> String {
    let order_id = refund
        .order_id()
        .map(|id| id.to_string())
        .unwrap_or_default();
    let digest = Sha256::digest(format!("{order_id} {}", refund.payment_id));
    format!("refund_{}", hex::encode(&digest[..16]))
}
