//! The buyers of a crowd. Each arrives at its own time, requests one unit once, and then pays or releases its hold.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use holdfast_ingress::demo::loopback::{self, NoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Crowd;
use super::progress::{CrowdProgress, Winner};

/// Requests of a crowd that are open at the same time, each on its own connection.
const CONNECTIONS_MAX: usize = 64;
/// The arrivals are spread evenly over this time.
const ARRIVALS: Duration = Duration::from_secs(8);
/// A crowd that takes longer is ended.
const CROWD_TIME_MAX: Duration = Duration::from_secs(300);
/// Time between a hold and its payment, in milliseconds.
const THINKING_MS: u64 = 500;
const THINKING_MS_MAX: u64 = 3000;
/// Every tenth buyer releases the hold instead of paying.
const RELEASED_EVERY: u64 = 10;
/// How often a queued request is polled before the buyer gives up.
const POLLS_MAX: usize = 60;
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Runs until every buyer has finished, the time is up, or `dev` stops.
pub(super) async fn run(crowd: Arc<Crowd>, product_id: i64, buyers: u64) {
    crowd
        .progress
        .update(|progress| progress.product_id = product_id);
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut all = JoinSet::new();
    for number in 1..=buyers {
        let buyer = Buyer {
            crowd: Arc::clone(&crowd),
            connections: Arc::clone(&connections),
            product_id,
            number,
        };
        all.spawn(async move {
            sleep(ARRIVALS.mul_f64(number as f64 / buyers as f64)).await;
            buyer.buy().await;
        });
    }
    let finished = timeout(CROWD_TIME_MAX, async {
        while all.join_next().await.is_some() {}
    });
    tokio::select! {
        _ = finished => {}
        () = crowd.stop.cancelled() => {}
    }
    // No buyer may change the counts of a crowd that is done.
    all.shutdown().await;
    crowd.progress.update(|progress| progress.is_done = true);
}

struct Buyer {
    crowd: Arc<Crowd>,
    connections: Arc<Semaphore>,
    product_id: i64,
    number: u64,
}

impl Buyer {
    fn progress(&self) -> &CrowdProgress {
        &self.crowd.progress
    }

    async fn buy(&self) {
        self.progress().update(|progress| {
            progress.arrived += 1;
            progress.in_line += 1;
        });
        let outcome = self.hold().await;
        self.progress().update(|progress| progress.in_line -= 1);
        let Ok((status, hold)) = outcome else {
            return self.progress().update(|progress| progress.failed += 1);
        };
        if status != StatusCode::CREATED {
            let code = text(&hold, "code");
            return self
                .progress()
                .update(|progress| *progress.refused.entry(code).or_default() += 1);
        }
        let hold_id = text(&hold, "hold_id");
        let winner = Winner {
            sequence: hold["sequence"].as_i64().unwrap_or_default(),
            buyer: self.number,
            hold_id: hold_id.clone(),
            created_at: text(&hold, "created_at"),
            end: "holds",
        };
        self.progress().update(|progress| {
            progress.holds += 1;
            progress.winners.push(winner);
        });
        sleep(self.thinking_time()).await;
        let end = if self.number.is_multiple_of(RELEASED_EVERY) {
            self.release(&hold_id).await
        } else {
            self.pay(&hold_id).await
        };
        self.finish(end);
    }

    /// Differs between neighbours, so that payments do not arrive in the order of the holds.
    fn thinking_time(&self) -> Duration {
        let range = THINKING_MS_MAX - THINKING_MS;
        Duration::from_millis(THINKING_MS + self.number * 7919 % range)
    }

    fn finish(&self, end: &'static str) {
        self.progress().update(|progress| {
            match end {
                "paid" => progress.paid += 1,
                "released" => progress.released += 1,
                _ => progress.failed += 1,
            }
            let mut winners = progress.winners.iter_mut();
            if let Some(winner) = winners.find(|winner| winner.buyer == self.number) {
                winner.end = end;
            }
        });
    }

    /// Requests a hold. When the request is queued, polls it until it is done.
    async fn hold(&self) -> Result<(StatusCode, Value), NoResponse> {
        let customer = format!("crowd-{}-{}", self.product_id, self.number);
        let body = json!({"product_id": self.product_id, "quantity": 1, "customer_id": customer});
        let first = self.send(Method::POST, "/api/holds", &body).await?;
        if first.status != StatusCode::ACCEPTED {
            return Ok((first.status, first.body));
        }
        let url = text(&first.body, "status_url");
        for _ in 0..POLLS_MAX {
            sleep(POLL_INTERVAL).await;
            let mut polled = self.send(Method::GET, &url, &Value::Null).await?.body;
            if polled["status"] == "done" {
                let status = polled["response"]["status"].as_u64();
                let status = status
                    .and_then(|status| u16::try_from(status).ok())
                    .and_then(|status| StatusCode::from_u16(status).ok())
                    .ok_or(NoResponse)?;
                return Ok((status, polled["response"]["body"].take()));
            }
        }
        Err(NoResponse)
    }

    async fn release(&self, hold_id: &str) -> &'static str {
        let path = format!("/api/holds/{hold_id}");
        match self.send(Method::DELETE, &path, &Value::Null).await {
            Ok(response) if response.status == StatusCode::OK => "released",
            _ => "failed",
        }
    }

    /// Orders, then has the demo store's payment provider pay for the order. An order has the id of its hold.
    async fn pay(&self, hold_id: &str) -> &'static str {
        let order = json!({"hold_id": hold_id});
        let order = self.send(Method::POST, "/api/orders", &order).await;
        if !order.is_ok_and(|response| response.status == StatusCode::CREATED) {
            return "failed";
        }
        let payment = json!({"order_id": hold_id, "kind": "pay"});
        match self.send(Method::POST, "/demo/payments", &payment).await {
            Ok(response) if response.body["webhooks"][0]["response"]["order_status"] == "paid" => {
                "paid"
            }
            _ => "failed",
        }
    }

    async fn send(&self, method: Method, path: &str, body: &Value) -> Result<Response, NoResponse> {
        let _permit = self.connections.acquire().await.map_err(|_| NoResponse)?;
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        loopback::send(self.crowd.ingress, method, path, &[], body.into()).await
    }
}

fn text(document: &Value, field: &str) -> String {
    document[field].as_str().unwrap_or("unknown").to_owned()
}
