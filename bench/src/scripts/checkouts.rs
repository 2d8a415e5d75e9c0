//! The requests of a checkout: a hold, its order, and the signed webhook that pays it.

use std::io::Write;

use anyhow::Context;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{WEBHOOK_SECRET, hold_request};
use crate::generator::{Script, Verdict};

const ID_BYTES: usize = 36;

/// The next request of a connection, with the id that it needs.
#[derive(Clone, Copy)]
enum Step {
    Hold,
    Order([u8; ID_BYTES]),
    Pay([u8; ID_BYTES]),
}

/// Checkouts of one product. A round is three requests.
pub(crate) struct Checkouts {
    hold: Vec<u8>,
    steps: Vec<Step>,
    signer: Hmac<Sha256>,
    body: Vec<u8>,
    /// Number of holds with response 201.
    pub(crate) accepted: u64,
    /// Number of webhooks with response 200.
    pub(crate) paid: u64,
}

impl Checkouts {
    /// # Errors
    /// When the webhook secret can't be a key.
    pub(crate) fn new(product_id: i64, connections: usize) -> anyhow::Result<Self> {
        Ok(Self {
            hold: hold_request(product_id),
            steps: vec![Step::Hold; connections],
            signer: Hmac::new_from_slice(WEBHOOK_SECRET.as_bytes())
                .context("the webhook secret can't be a key")?,
            body: Vec::new(),
            accepted: 0,
            paid: 0,
        })
    }

    fn order(&mut self, id: &[u8], request: &mut Vec<u8>) {
        request.extend_from_slice(
            b"POST /api/orders HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{\"hold_id\":\"",
        );
        request.extend_from_slice(id);
        request.extend_from_slice(b"\"}");
    }

    fn pay(&mut self, id: &[u8], request: &mut Vec<u8>) {
        let id = std::str::from_utf8(id).unwrap_or_default();
        self.body.clear();
        // Writing to memory does not fail.
        let _ = write!(
            self.body,
            r#"{{"order_id":"{id}","payment_id":"pay_{id}","status":"succeeded","timestamp":"2026-01-01T00:00:00Z"}}"#
        );
        let mut signer = self.signer.clone();
        signer.update(&self.body);
        let mut signature = [0; 64];
        let _ = hex::encode_to_slice(signer.finalize().into_bytes(), &mut signature);
        let _ = write!(
            request,
            "POST /api/payments/webhook HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nx-webhook-signature: {}\r\nx-idempotency-key: evt_{id}\r\n\r\n",
            self.body.len(),
            std::str::from_utf8(&signature).unwrap_or_default(),
        );
        request.extend_from_slice(&self.body);
    }
}

impl Script for Checkouts {
    fn request(&mut self, connection: usize, request: &mut Vec<u8>) {
        match self.steps[connection] {
            Step::Hold => request.extend_from_slice(&self.hold),
            Step::Order(id) => self.order(&id, request),
            Step::Pay(id) => self.pay(&id, request),
        }
    }

    fn response(&mut self, connection: usize, status: u16, body: &[u8]) -> Verdict {
        let (next, verdict) = match (self.steps[connection], status) {
            (Step::Hold, 201) => {
                self.accepted += 1;
                // The id is the first member of the document. Parsing the document as JSON would cost the generator too much.
                match body
                    .get(12..12 + ID_BYTES)
                    .and_then(|id| id.try_into().ok())
                {
                    Some(id) => (Step::Order(id), Verdict::Next),
                    None => (Step::Hold, Verdict::Failed),
                }
            }
            (Step::Order(id), 201) => (Step::Pay(id), Verdict::Next),
            (Step::Pay(_), 200) => {
                self.paid += 1;
                (Step::Hold, Verdict::Done)
            }
            _ => (Step::Hold, Verdict::Failed),
        };
        self.steps[connection] = next;
        verdict
    }
}
