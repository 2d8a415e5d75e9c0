//! The clients: each runs one operation after another, and records every request and reply in the history.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, INGRESSES};
use crate::history::{End, Exchange, History, PaymentNotice, Read, Request};
use crate::known_ids::KnownIds;
use crate::operations::{Operation, Payment, Prefer, ReadTarget};
use crate::wire;

/// The longest pause between two operations of a client, in milliseconds.
const THINK_MS_MAX: u64 = 25;
/// The pause after a request without a reply, because the ingress is probably restarting.
const NO_REPLY_PAUSE: Duration = Duration::from_millis(50);
/// Repeats are chosen among this number of latest requests.
const REPEAT_BACK_MAX: usize = 400;

/// The state that all clients of a run share.
#[derive(Debug)]
pub struct Market {
    pub cluster: Arc<Cluster>,
    pub history: History,
    pub known_ids: KnownIds,
    /// The ids of the products.
    pub products: Vec<i64>,
}

#[derive(Debug)]
pub struct Client {
    name: String,
    market: Arc<Market>,
    rng: StdRng,
    operations: usize,
}

impl Client {
    /// A client whose operations are drawn from the seed and its number.
    #[must_use]
    pub fn new(market: Arc<Market>, seed: u64, number: u64) -> Self {
        let rng = StdRng::seed_from_u64(seed ^ (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        Self {
            name: format!("c{number}"),
            market,
            rng,
            operations: 0,
        }
    }

    /// Runs operations until `stop` is cancelled; returns their number.
    pub async fn run(mut self, stop: CancellationToken) -> usize {
        while !stop.is_cancelled() {
            self.operations += 1;
            let operation = Operation::draw(&mut self.rng, self.market.products.len());
            let has_reply = self.perform(operation).await;
            let think = Duration::from_millis(self.rng.random_range(0..=THINK_MS_MAX));
            // This pause is part of the load: it sets the rate of requests.
            tokio::time::sleep(if has_reply { think } else { NO_REPLY_PAUSE }).await;
        }
        self.operations
    }

    /// An id that no other operation uses.
    fn unique(&self, prefix: &str) -> String {
        format!("{prefix}-{}-{}", self.name, self.operations)
    }

    fn key(&self, keyed: bool) -> Option<String> {
        keyed.then(|| self.unique("key"))
    }

    async fn perform(&mut self, operation: Operation) -> bool {
        match operation {
            Operation::Hold {
                product,
                quantity,
                keyed,
                twice,
                prefer,
            } => {
                let product = self.market.products[product];
                let request = Request::Hold {
                    product,
                    quantity,
                    customer: self.unique("customer"),
                };
                if twice {
                    self.send_twice(request, prefer).await
                } else {
                    self.send(request, self.key(keyed), prefer).await
                }
            }
            Operation::Release { keyed } => {
                let Some(hold) = self.market.known_ids.hold(&mut self.rng) else {
                    return true;
                };
                self.send(Request::Release { hold }, self.key(keyed), Prefer::Nothing)
                    .await
            }
            Operation::Order { keyed, prefer } => {
                let Some(hold) = self.market.known_ids.hold(&mut self.rng) else {
                    return true;
                };
                self.send(Request::Order { hold }, self.key(keyed), prefer)
                    .await
            }
            Operation::Pay(payment) => self.pay(payment).await,
            Operation::Restock { product, quantity } => {
                let request = Request::Restock {
                    product: self.market.products[product],
                    quantity,
                };
                self.send(request, self.key(true), Prefer::Nothing).await
            }
            Operation::Repeat => self.repeat(false).await,
            Operation::RepeatOtherBody => self.repeat(true).await,
            Operation::Poll => self.poll().await,
            Operation::Read(target) => self.read(target).await,
        }
    }

    async fn send(&mut self, request: Request, key: Option<String>, prefer: Prefer) -> bool {
        let ingress = self.rng.random_range(0..INGRESSES);
        let number = send(&self.market, ingress, request, key, prefer).await;
        self.market.history.exchanges()[number].reply.is_ok()
    }

    /// Sends one request to both ingresses at once, under one key.
    async fn send_twice(&self, request: Request, prefer: Prefer) -> bool {
        let key = self.key(true);
        let again = send(&self.market, 1, request.clone(), key.clone(), prefer);
        let (first, _) = tokio::join!(send(&self.market, 0, request, key, prefer), again);
        self.market.history.exchanges()[first].reply.is_ok()
    }

    async fn pay(&mut self, payment: Payment) -> bool {
        let Some((order, amount)) = self.payable(payment) else {
            return true;
        };
        let amount_minor = match payment {
            Payment::WrongAmount => amount.map(|amount| amount + 1),
            _ => amount.filter(|_| self.rng.random_bool(0.5)),
        };
        let succeeded = payment != Payment::Failure;
        let notice = PaymentNotice {
            order,
            payment: self.unique("pay"),
            succeeded,
            amount_minor,
        };
        if payment == Payment::Duplicate {
            return self.send_twice(Request::Pay(notice), Prefer::Nothing).await;
        }
        let (first, second) = (self.unique("evt"), self.unique("evt-again"));
        let has_reply = self
            .send(Request::Pay(notice.clone()), Some(first), Prefer::Nothing)
            .await;
        let again = match payment {
            Payment::BeforeOrder => {
                return self
                    .send(Request::Order { hold: notice.order }, None, Prefer::Nothing)
                    .await;
            }
            Payment::OtherKey => (notice, second),
            Payment::Reordered => (
                PaymentNotice {
                    succeeded: false,
                    ..notice
                },
                second,
            ),
            _ => return has_reply,
        };
        self.send(Request::Pay(again.0), Some(again.1), Prefer::Nothing)
            .await
    }

    /// Chooses the order or hold to pay, with its amount if it is known.
    fn payable(&mut self, payment: Payment) -> Option<(String, Option<i64>)> {
        let known_ids = &self.market.known_ids;
        if payment == Payment::BeforeOrder {
            return known_ids.newest_hold().map(|hold| (hold, None));
        }
        known_ids
            .order(&mut self.rng)
            .map(|order| (order.id, Some(order.amount_minor)))
    }

    async fn repeat(&mut self, with_other_body: bool) -> bool {
        let earlier = {
            let exchanges = self.market.history.exchanges();
            let from = exchanges.len().saturating_sub(REPEAT_BACK_MAX);
            let keyed: Vec<_> = exchanges[from..]
                .iter()
                .filter(|exchange| exchange.key.is_some())
                .collect();
            if keyed.is_empty() {
                return true;
            }
            let earlier = keyed[self.rng.random_range(0..keyed.len())];
            (earlier.request.clone(), earlier.key.clone())
        };
        let (request, key) = earlier;
        let request = if with_other_body {
            self.altered(request)
        } else {
            request
        };
        let prefer = if self.rng.random_bool(0.2) {
            Prefer::RespondAsync
        } else {
            Prefer::Nothing
        };
        self.send(request, key, prefer).await
    }

    /// Another body for the same key. The product stays, because a key's scope includes the product.
    fn altered(&self, request: Request) -> Request {
        match request {
            Request::Hold {
                product,
                quantity,
                customer,
            } => Request::Hold {
                product,
                quantity: quantity + 1,
                customer,
            },
            Request::Restock { product, quantity } => Request::Restock {
                product,
                quantity: if quantity == -1 { 1 } else { quantity + 1 },
            },
            Request::Pay(notice) => Request::Pay(PaymentNotice {
                payment: format!("{}-other", notice.payment),
                ..notice
            }),
            // Another hold could be of another product, so these requests stay as they are.
            same @ (Request::Release { .. } | Request::Order { .. }) => same,
        }
    }

    async fn poll(&mut self) -> bool {
        let open = {
            let exchanges = self.market.history.exchanges();
            let open: Vec<_> = (0..exchanges.len())
                .filter(|number| exchanges[*number].is_open())
                .collect();
            if open.is_empty() {
                return true;
            }
            open[self.rng.random_range(0..open.len())]
        };
        let ingress = self.rng.random_range(0..INGRESSES);
        poll(&self.market, ingress, open).await
    }

    async fn read(&mut self, target: ReadTarget) -> bool {
        let path = match target {
            ReadTarget::Product => {
                let product = self.rng.random_range(0..self.market.products.len());
                Some(format!("/api/products/{}", self.market.products[product]))
            }
            ReadTarget::Hold => self
                .market
                .known_ids
                .hold(&mut self.rng)
                .map(|hold| format!("/api/holds/{hold}")),
            ReadTarget::Order => self
                .market
                .known_ids
                .order(&mut self.rng)
                .map(|order| format!("/api/orders/{}", order.id)),
        };
        let Some(path) = path else { return true };
        let client = self
            .market
            .cluster
            .client(self.rng.random_range(0..INGRESSES));
        let Ok(reply) = wire::get(&client, &path).await else {
            return false;
        };
        self.market.history.reads().push(Read { path, reply });
        true
    }
}

/// Sends a request and records it with its reply; returns its number in the history.
pub async fn send(
    market: &Market,
    ingress: usize,
    request: Request,
    key: Option<String>,
    prefer: Prefer,
) -> usize {
    let client = market.cluster.client(ingress);
    let sent_at = Instant::now();
    let reply = wire::send(&client, &request, key.as_deref(), prefer)
        .await
        .map_err(|error| format!("{error:#}"));
    let (ends, positions) = (Vec::new(), Vec::new());
    let mut exchange = Exchange {
        request,
        key,
        ingress,
        sent_at,
        reply,
        replied_at: Instant::now(),
        ends,
        positions,
    };
    let position = exchange
        .reply
        .as_ref()
        .ok()
        .and_then(|reply| reply.body["position"].as_u64());
    exchange
        .positions
        .extend(position.map(|position| (exchange.replied_at, position)));
    if let Some(outcome) = exchange.outcome() {
        market.known_ids.add_from(&exchange.request, &outcome);
    }
    market.history.record(exchange)
}

/// Polls a request that got 202; returns whether there was a reply.
pub async fn poll(market: &Market, ingress: usize, number: usize) -> bool {
    let path = match market.history.exchanges()[number].reply.as_ref() {
        Ok(reply) => reply.location.clone(),
        Err(_) => return true,
    };
    let Ok(reply) = wire::get(&market.cluster.client(ingress), &path).await else {
        return false;
    };
    let at = Instant::now();
    let mut exchanges = market.history.exchanges();
    let exchange = &mut exchanges[number];
    match (reply.status, reply.body["status"].as_str()) {
        (200, Some("done")) => {
            let response = &reply.body["response"];
            let status = response["status"]
                .as_u64()
                .and_then(|status| u16::try_from(status).ok())
                .unwrap_or_default();
            exchange.ends.push((
                at,
                End::Done {
                    status,
                    body: response["body"].clone(),
                },
            ));
        }
        (200, Some("queued")) => exchange.positions.extend(
            reply.body["position"]
                .as_u64()
                .map(|position| (at, position)),
        ),
        (404, _) => exchange.ends.push((at, End::Gone)),
        // The auditor judges all other replies.
        _ => {}
    }
    if let Some(outcome) = exchange.outcome() {
        market.known_ids.add_from(&exchange.request, &outcome);
    }
    drop(exchanges);
    market.history.reads().push(Read { path, reply });
    true
}
