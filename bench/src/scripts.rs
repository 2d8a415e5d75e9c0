//! The requests of buyers and operators, and the checks of the responses.
//!
//! Requests that never change are built in advance. The counts here are those that the auditor compares with the tables.

mod checkouts;

use rand::distr::Distribution;
use rand::distr::weighted::WeightedIndex;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

pub(crate) use self::checkouts::Checkouts;
use crate::generator::{Script, Verdict};

pub(crate) const ADMIN_TOKEN: &str = "bench-admin-token";
pub(crate) const WEBHOOK_SECRET: &str = "bench-webhook-secret";

/// The bytes of a POST request.
fn post(path: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    )
    .into_bytes()
}

fn hold_request(product_id: i64) -> Vec<u8> {
    post(
        "/api/holds",
        "",
        &format!(r#"{{"product_id":{product_id},"quantity":1}}"#),
    )
}

/// Repeats one request, and expects one status.
pub(crate) struct FixedRequest {
    request: Vec<u8>,
    status: u16,
}

impl FixedRequest {
    /// Requests the server's empty handler.
    pub(crate) fn bare() -> Self {
        Self {
            request: b"GET /healthz HTTP/1.1\r\nhost: bench\r\n\r\n".to_vec(),
            status: 200,
        }
    }

    /// Reads a product.
    pub(crate) fn read(product_id: i64) -> Self {
        let request =
            format!("GET /api/products/{product_id} HTTP/1.1\r\nhost: bench\r\n\r\n").into_bytes();
        Self {
            request,
            status: 200,
        }
    }

    /// Requests holds of a product without stock.
    pub(crate) fn sold_out(product_id: i64) -> Self {
        Self {
            request: hold_request(product_id),
            status: 409,
        }
    }
}

impl Script for FixedRequest {
    fn request(&mut self, _: usize, request: &mut Vec<u8>) {
        request.extend_from_slice(&self.request);
    }

    fn response(&mut self, _: usize, status: u16, _: &[u8]) -> Verdict {
        if status == self.status {
            Verdict::Done
        } else {
            Verdict::Failed
        }
    }
}

/// How a buyer chooses a product.
enum ProductChoice {
    Evenly,
    Weighted(WeightedIndex<f64>),
}

/// Requests holds of one unit. A response 409 (sold out) counts as a completed round.
pub(crate) struct Holds {
    requests: Vec<Vec<u8>>,
    choice: ProductChoice,
    random: SmallRng,
    /// Number of responses 201.
    pub(crate) accepted: u64,
}

impl Holds {
    /// All products are equally likely.
    pub(crate) fn evenly(product_ids: &[i64]) -> Self {
        Self::new(product_ids, ProductChoice::Evenly)
    }

    /// The n-th product has a weight of 1/n (Zipf, exponent 1.0).
    ///
    /// # Errors
    /// When there is no product.
    pub(crate) fn by_zipf(product_ids: &[i64]) -> anyhow::Result<Self> {
        let weights = (1..=product_ids.len()).map(|rank| 1.0 / rank as f64);
        Ok(Self::new(
            product_ids,
            ProductChoice::Weighted(WeightedIndex::new(weights)?),
        ))
    }

    fn new(product_ids: &[i64], choice: ProductChoice) -> Self {
        let requests = product_ids.iter().map(|id| hold_request(*id)).collect();
        // A constant seed: the buyers choose the same products in each run.
        Self {
            requests,
            choice,
            random: SmallRng::seed_from_u64(1),
            accepted: 0,
        }
    }
}

impl Script for Holds {
    fn request(&mut self, _: usize, request: &mut Vec<u8>) {
        let number = match &self.choice {
            _ if self.requests.len() == 1 => 0,
            ProductChoice::Evenly => self.random.random_range(..self.requests.len()),
            ProductChoice::Weighted(weights) => weights.sample(&mut self.random),
        };
        request.extend_from_slice(&self.requests[number]);
    }

    fn response(&mut self, _: usize, status: u16, _: &[u8]) -> Verdict {
        match status {
            201 => {
                self.accepted += 1;
                Verdict::Done
            }
            409 => Verdict::Done,
            _ => Verdict::Failed,
        }
    }
}

/// Creates products.
pub(crate) struct NewProducts {
    request: Vec<u8>,
    /// The ids of the created products.
    pub(crate) ids: Vec<i64>,
}

impl NewProducts {
    pub(crate) fn new(stock: u64) -> Self {
        let body = format!(
            r#"{{"name":"Lamp","price_minor":9999,"currency":"USD","total_stock":{stock}}}"#
        );
        let request = post(
            "/api/admin/products",
            &format!("authorization: Bearer {ADMIN_TOKEN}\r\n"),
            &body,
        );
        Self {
            request,
            ids: Vec::new(),
        }
    }
}

impl Script for NewProducts {
    fn request(&mut self, _: usize, request: &mut Vec<u8>) {
        request.extend_from_slice(&self.request);
    }

    fn response(&mut self, _: usize, status: u16, body: &[u8]) -> Verdict {
        let product = serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
        match product["id"].as_i64() {
            Some(id) if status == 201 => {
                self.ids.push(id);
                Verdict::Done
            }
            _ => Verdict::Failed,
        }
    }
}
