//! The clients: each does one operation after another, tells nobody but the journal, and never gives up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, INGRESSES};
use crate::operations::{Look, Operation, Payment, Prefer};
use crate::record::{Asked, End, Exchange, Journal, Notice, Read};
use crate::shelf::Shelf;
use crate::wire;

/// The longest pause between two operations of a client, in milliseconds.
const THINK_MS_MAX: u64 = 25;
/// The pause after a request without an answer: the ingress is being started again.
const NO_ANSWER_PAUSE: Duration = Duration::from_millis(50);
/// A repeat is of one of the latest requests, up to so many back.
const REPEAT_BACK_MAX: usize = 400;

/// What all clients of a run share.
#[derive(Debug)]
pub struct Market {
    /// What they talk to.
    pub cluster: Arc<Cluster>,
    /// What they write down.
    pub journal: Journal,
    /// What they know.
    pub shelf: Shelf,
    /// The products on sale.
    pub products: Vec<i64>,
}

/// One client.
#[derive(Debug)]
pub struct Client {
    name: String,
    market: Arc<Market>,
    rng: StdRng,
    operations: usize,
}

impl Client {
    /// A client whose doings follow from the seed and its number.
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

    /// Does operations until it is told to stop; says how many.
    pub async fn run(mut self, stop: CancellationToken) -> usize {
        while !stop.is_cancelled() {
            self.operations += 1;
            let operation = Operation::draw(&mut self.rng, self.market.products.len());
            let was_answered = self.perform(operation).await;
            let think = Duration::from_millis(self.rng.random_range(0..=THINK_MS_MAX));
            tokio::time::sleep(if was_answered { think } else { NO_ANSWER_PAUSE }).await;
        }
        self.operations
    }

    /// A name that no other operation has.
    fn fresh(&self, what: &str) -> String {
        format!("{what}-{}-{}", self.name, self.operations)
    }

    fn key(&self, keyed: bool) -> Option<String> {
        keyed.then(|| self.fresh("key"))
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
                let asked = Asked::Hold {
                    product,
                    quantity,
                    customer: self.fresh("customer"),
                };
                if twice {
                    self.ask_twice(asked, prefer).await
                } else {
                    self.ask(asked, self.key(keyed), prefer).await
                }
            }
            Operation::Release { keyed } => {
                let Some(hold) = self.market.shelf.hold(&mut self.rng) else {
                    return true;
                };
                self.ask(Asked::Release { hold }, self.key(keyed), Prefer::Nothing)
                    .await
            }
            Operation::Order { keyed, prefer } => {
                let Some(hold) = self.market.shelf.hold(&mut self.rng) else {
                    return true;
                };
                self.ask(Asked::Order { hold }, self.key(keyed), prefer)
                    .await
            }
            Operation::Pay(payment) => self.pay(payment).await,
            Operation::Restock { product, quantity } => {
                let asked = Asked::Restock {
                    product: self.market.products[product],
                    quantity,
                };
                self.ask(asked, self.key(true), Prefer::Nothing).await
            }
            Operation::Repeat => self.repeat(false).await,
            Operation::RepeatOtherBody => self.repeat(true).await,
            Operation::Poll => self.poll().await,
            Operation::Get(look) => self.look(look).await,
        }
    }

    async fn ask(&mut self, asked: Asked, key: Option<String>, prefer: Prefer) -> bool {
        let ingress = self.rng.random_range(0..INGRESSES);
        let number = ask(&self.market, ingress, asked, key, prefer).await;
        self.market.journal.exchanges()[number].told.is_ok()
    }

    /// Asks two ingresses for the same at once, under one key.
    async fn ask_twice(&self, asked: Asked, prefer: Prefer) -> bool {
        let key = self.key(true);
        let again = ask(&self.market, 1, asked.clone(), key.clone(), prefer);
        let (first, _) = tokio::join!(ask(&self.market, 0, asked, key, prefer), again);
        self.market.journal.exchanges()[first].told.is_ok()
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
        let notice = Notice {
            order,
            payment: self.fresh("pay"),
            succeeded,
            amount_minor,
        };
        if payment == Payment::Duplicate {
            return self.ask_twice(Asked::Pay(notice), Prefer::Nothing).await;
        }
        let (first, second) = (self.fresh("evt"), self.fresh("evt-again"));
        let was_answered = self
            .ask(Asked::Pay(notice.clone()), Some(first), Prefer::Nothing)
            .await;
        let again = match payment {
            Payment::BeforeOrder => {
                return self
                    .ask(Asked::Order { hold: notice.order }, None, Prefer::Nothing)
                    .await;
            }
            Payment::OtherKey => (notice, second),
            Payment::Reordered => (
                Notice {
                    succeeded: false,
                    ..notice
                },
                second,
            ),
            _ => return was_answered,
        };
        self.ask(Asked::Pay(again.0), Some(again.1), Prefer::Nothing)
            .await
    }

    /// What a payment is for, and what that costs if that is known.
    fn payable(&mut self, payment: Payment) -> Option<(String, Option<i64>)> {
        let shelf = &self.market.shelf;
        if payment == Payment::BeforeOrder {
            return shelf.youngest_hold().map(|hold| (hold, None));
        }
        shelf
            .order(&mut self.rng)
            .map(|order| (order.id, Some(order.amount_minor)))
    }

    async fn repeat(&mut self, with_other_body: bool) -> bool {
        let earlier = {
            let exchanges = self.market.journal.exchanges();
            let from = exchanges.len().saturating_sub(REPEAT_BACK_MAX);
            let keyed: Vec<_> = exchanges[from..]
                .iter()
                .filter(|exchange| exchange.key.is_some())
                .collect();
            if keyed.is_empty() {
                return true;
            }
            let earlier = keyed[self.rng.random_range(0..keyed.len())];
            (earlier.asked.clone(), earlier.key.clone())
        };
        let (asked, key) = earlier;
        let asked = if with_other_body {
            self.altered(asked)
        } else {
            asked
        };
        let prefer = if self.rng.random_bool(0.2) {
            Prefer::RespondAsync
        } else {
            Prefer::Nothing
        };
        self.ask(asked, key, prefer).await
    }

    /// Another body for the same key: of the same product, since a key counts for its product.
    fn altered(&self, asked: Asked) -> Asked {
        match asked {
            Asked::Hold {
                product,
                quantity,
                customer,
            } => Asked::Hold {
                product,
                quantity: quantity + 1,
                customer,
            },
            Asked::Restock { product, quantity } => Asked::Restock {
                product,
                quantity: if quantity == -1 { 1 } else { quantity + 1 },
            },
            Asked::Pay(notice) => Asked::Pay(Notice {
                payment: format!("{}-other", notice.payment),
                ..notice
            }),
            // Their body is which hold it is, and another hold may be of another product.
            same @ (Asked::Release { .. } | Asked::Order { .. }) => same,
        }
    }

    async fn poll(&mut self) -> bool {
        let open = {
            let exchanges = self.market.journal.exchanges();
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

    async fn look(&mut self, look: Look) -> bool {
        let path = match look {
            Look::Product => {
                let product = self.rng.random_range(0..self.market.products.len());
                Some(format!("/api/products/{}", self.market.products[product]))
            }
            Look::Hold => self
                .market
                .shelf
                .hold(&mut self.rng)
                .map(|hold| format!("/api/holds/{hold}")),
            Look::Order => self
                .market
                .shelf
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
        self.market.journal.reads().push(Read { path, reply });
        true
    }
}

/// Sends a request and writes down what it is told; says its number in the journal.
pub async fn ask(
    market: &Market,
    ingress: usize,
    asked: Asked,
    key: Option<String>,
    prefer: Prefer,
) -> usize {
    let client = market.cluster.client(ingress);
    let sent = Instant::now();
    let told = wire::send(&client, &asked, key.as_deref(), prefer)
        .await
        .map_err(|error| format!("{error:#}"));
    let (ends, places) = (Vec::new(), Vec::new());
    let mut exchange = Exchange {
        asked,
        key,
        ingress,
        sent,
        told,
        answered: Instant::now(),
        ends,
        places,
    };
    let place = exchange
        .told
        .as_ref()
        .ok()
        .and_then(|reply| reply.body["position"].as_u64());
    exchange
        .places
        .extend(place.map(|place| (exchange.answered, place)));
    if let Some(outcome) = exchange.outcome() {
        market.shelf.learn(&exchange.asked, &outcome);
    }
    market.journal.note(exchange)
}

/// Asks what became of an accepted request; says whether there was an answer.
pub async fn poll(market: &Market, ingress: usize, number: usize) -> bool {
    let path = match market.journal.exchanges()[number].told.as_ref() {
        Ok(reply) => reply.location.clone(),
        Err(_) => return true,
    };
    let Ok(reply) = wire::get(&market.cluster.client(ingress), &path).await else {
        return false;
    };
    let at = Instant::now();
    let mut exchanges = market.journal.exchanges();
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
        (200, Some("queued")) => exchange
            .places
            .extend(reply.body["position"].as_u64().map(|place| (at, place))),
        (404, _) => exchange.ends.push((at, End::Gone)),
        // The auditor reads all answers.
        _ => {}
    }
    if let Some(outcome) = exchange.outcome() {
        market.shelf.learn(&exchange.asked, &outcome);
    }
    drop(exchanges);
    market.journal.reads().push(Read { path, reply });
    true
}
