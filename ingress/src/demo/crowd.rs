//! Many buyers for few units: each comes at its time, asks for one unit once, and pays or gives it back after a while.
//!
//! One crowd at a time, of so many buyers and on so many connections at once. It counts only what it was answered.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::App;
use crate::demo::loopback::{self, Answer, NoAnswer};
use crate::demo::payments::{self, Kind};

/// The most buyers of a crowd.
pub const BUYERS_MAX: i64 = 2000;
/// The most units that they are after.
pub const UNITS_MAX: i64 = 1000;
/// How many requests of a crowd are open at once.
const CONNECTIONS_MAX: usize = 64;
/// How long it takes until all have come.
const ARRIVAL: Duration = Duration::from_secs(8);
/// How long somebody with a hold thinks, at least and at most, in milliseconds.
const THINKING_MILLIS: std::ops::Range<u64> = 500..3000;
/// One of so many buyers gives the hold back.
const GIVES_BACK_EACH: u64 = 10;
/// How often somebody in line asks, a second apart, before giving up.
const POLLS_MAX: usize = 60;
const POLL: Duration = Duration::from_secs(1);

/// How a crowd is doing.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct Progress {
    pub product_id: i64,
    pub units: i64,
    pub buyers: u64,
    /// How many have come.
    pub arrived: u64,
    /// How many wait for an answer just now.
    pub in_line: u64,
    pub holds: u64,
    pub paid: u64,
    pub released: u64,
    /// How many were refused, by the problem's code.
    pub refused: BTreeMap<String, u64>,
    /// Who got no answer that says yes or no.
    pub failed: u64,
    pub is_done: bool,
    /// Who got a hold, in the order of the log.
    pub winners: Vec<Winner>,
}

/// A buyer who got a hold.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Winner {
    pub sequence: i64,
    pub buyer: u64,
    pub hold_id: String,
    pub created_at: String,
    pub end: &'static str,
}

/// The crowd that is there, or was last.
#[derive(Default)]
pub struct Crowd {
    progress: Mutex<Option<Progress>>,
}

impl Crowd {
    /// How it is doing.
    #[must_use]
    pub fn progress(&self) -> Option<Progress> {
        let mut progress = self
            .progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()?;
        progress.winners.sort_by_key(|winner| winner.sequence);
        Some(progress)
    }

    /// Takes the place of the crowd that was last, unless that is still there.
    #[must_use]
    pub fn begin(&self, buyers: u64, units: i64) -> bool {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        if progress.as_ref().is_some_and(|progress| !progress.is_done) {
            return false;
        }
        *progress = Some(Progress {
            buyers,
            units,
            ..Progress::default()
        });
        true
    }

    /// Changes what is counted.
    pub fn note(&self, change: impl FnOnce(&mut Progress)) {
        if let Some(progress) = self
            .progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_mut()
        {
            change(progress);
        }
    }
}

/// Lets a crowd that has begun come, until the last buyer has gone or the ingress stops.
pub async fn come(app: Arc<App>, product_id: i64, buyers: u64) {
    app.crowd.note(|progress| progress.product_id = product_id);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut all = JoinSet::new();
    for number in 1..=buyers {
        let buyer = Buyer {
            app: Arc::clone(&app),
            places: Arc::clone(&places),
            product_id,
            number,
        };
        all.spawn(async move {
            let share = ARRIVAL.mul_f64(number as f64 / buyers.max(1) as f64);
            sleep(share).await;
            buyer.buy().await;
        });
    }
    tokio::select! {
        _ = async { while all.join_next().await.is_some() {} } => {}
        () = app.stopping.cancelled() => {}
    }
    app.crowd.note(|progress| progress.is_done = true);
}

struct Buyer {
    app: Arc<App>,
    places: Arc<Semaphore>,
    product_id: i64,
    number: u64,
}

impl Buyer {
    async fn buy(&self) {
        let crowd = &self.app.crowd;
        crowd.note(|progress| {
            progress.arrived += 1;
            progress.in_line += 1;
        });
        let asked = self.hold().await;
        crowd.note(|progress| progress.in_line -= 1);
        let Ok((status, body)) = asked else {
            return crowd.note(|progress| progress.failed += 1);
        };
        if status != StatusCode::CREATED {
            let code = body["code"].as_str().unwrap_or("unknown").to_owned();
            return crowd.note(|progress| *progress.refused.entry(code).or_default() += 1);
        }
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let (hold_id, created_at) = (text("hold_id"), text("created_at"));
        let sequence = body["sequence"].as_i64().unwrap_or_default();
        crowd.note(|progress| {
            progress.holds += 1;
            let winner = Winner {
                sequence,
                buyer: self.number,
                hold_id: hold_id.clone(),
                created_at,
                end: "holds",
            };
            progress.winners.push(winner);
        });
        sleep(Duration::from_millis(rand::random_range(THINKING_MILLIS))).await;
        let end = if self.number.is_multiple_of(GIVES_BACK_EACH) {
            self.release(&hold_id).await
        } else {
            self.pay(&hold_id).await
        };
        crowd.note(|progress| {
            match end {
                "paid" => progress.paid += 1,
                "released" => progress.released += 1,
                _ => progress.failed += 1,
            }
            if let Some(winner) = progress
                .winners
                .iter_mut()
                .find(|winner| winner.sequence == sequence)
            {
                winner.end = end;
            }
        });
    }

    /// Asks for a unit, and in line again until there is an answer.
    async fn hold(&self) -> Result<(StatusCode, Value), NoAnswer> {
        let customer = format!("crowd-{}-{}", self.product_id, self.number);
        let body = json!({"product_id": self.product_id, "quantity": 1, "customer_id": customer});
        let first = self.send(Method::POST, "/api/holds", &body).await?;
        if first.status != StatusCode::ACCEPTED {
            return Ok((first.status, first.body));
        }
        let url = first.body["status_url"].as_str().unwrap_or_default();
        for _ in 0..POLLS_MAX {
            sleep(POLL).await;
            let mut answer = self.send(Method::GET, url, &Value::Null).await?;
            if answer.body["status"] == "done" {
                let status = answer.body["response"]["status"]
                    .as_u64()
                    .and_then(|status| u16::try_from(status).ok());
                let status = status
                    .and_then(|status| StatusCode::from_u16(status).ok())
                    .ok_or(NoAnswer)?;
                return Ok((status, answer.body["response"]["body"].take()));
            }
        }
        Err(NoAnswer)
    }

    async fn release(&self, hold_id: &str) -> &'static str {
        let answer = self
            .send(
                Method::DELETE,
                &format!("/api/holds/{hold_id}"),
                &Value::Null,
            )
            .await;
        if answer.is_ok_and(|answer| answer.status == StatusCode::OK) {
            "released"
        } else {
            "failed"
        }
    }

    async fn pay(&self, hold_id: &str) -> &'static str {
        let order = self
            .send(Method::POST, "/api/orders", &json!({"hold_id": hold_id}))
            .await;
        let is_ordered = order.is_ok_and(|answer| answer.status == StatusCode::CREATED);
        let Some(order_id) = hold_id.parse().ok().filter(|_| is_ordered) else {
            return "failed";
        };
        let Ok(_place) = self.places.acquire().await else {
            return "failed";
        };
        let sent = payments::deliver(&self.app, Kind::Pay, order_id).await;
        let is_paid =
            sent.is_ok_and(|sent| sent.iter().all(|one| one.answer["order_status"] == "paid"));
        if is_paid { "paid" } else { "failed" }
    }

    async fn send(&self, method: Method, path: &str, body: &Value) -> Result<Answer, NoAnswer> {
        let _place = self.places.acquire().await.map_err(|_| NoAnswer)?;
        let body = if body.is_null() {
            Bytes::new()
        } else {
            Bytes::from(body.to_string())
        };
        loopback::send(self.app.loopback, method, path, &[], body).await
    }
}
