//! What is measured.

use std::fmt;

use anyhow::Context;
use clap::ValueEnum;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::http::Connection;
use crate::load::{AsyncStep, Step};
use crate::sale::{Sale, WEBHOOK_SECRET};

/// More than any measurement can sell.
const PLENTY: u64 = 900_000_000;

/// What every connection does again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// The same server's empty handler: the ceiling
    Bare,
    /// One hot product with stock enough
    Holds,
    /// The same, sold out
    SoldOut,
    /// Reads of a product that nobody buys
    Reads,
    /// A hold, its order and the webhook that pays it, counted as one
    Checkouts,
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

/// A scenario and the product it is about.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    scenario: Scenario,
    product_id: i64,
}

impl Scenario {
    pub(crate) const ALL: [Self; 5] = [Self::Bare, Self::Holds, Self::SoldOut, Self::Reads, Self::Checkouts];

    pub(crate) async fn prepare(self, sale: &Sale) -> anyhow::Result<Target> {
        let stock = if self == Self::SoldOut { 0 } else { PLENTY };
        Ok(Target { scenario: self, product_id: sale.product(stock).await? })
    }
}

impl AsyncStep for Target {
    async fn step(&self, connection: &mut Connection) -> anyhow::Result<Step> {
        let product = self.product_id;
        let is_done = match self.scenario {
            Scenario::Bare => connection.get("/healthz").await?.status == 200,
            Scenario::Holds => hold(connection, product).await?.is_some(),
            Scenario::SoldOut => connection.post("/api/holds", "", &hold_body(product)).await?.status == 409,
            Scenario::Reads => connection.get(&format!("/api/products/{product}")).await?.status == 200,
            Scenario::Checkouts => checkout(connection, product).await?,
        };
        Ok(if is_done { Step::Done } else { Step::Failed })
    }
}

fn hold_body(product_id: i64) -> Vec<u8> {
    format!(r#"{{"product_id":{product_id},"quantity":1}}"#).into_bytes()
}

async fn hold(connection: &mut Connection, product_id: i64) -> anyhow::Result<Option<String>> {
    let response = connection.post("/api/holds", "", &hold_body(product_id)).await?;
    if response.status != 201 {
        return Ok(None);
    }
    // The id is the document's first member; reading all of it as JSON would measure the generator.
    let id = response.body.get(12..48).context("a hold without an id")?;
    Ok(Some(std::str::from_utf8(id)?.to_owned()))
}

async fn checkout(connection: &mut Connection, product_id: i64) -> anyhow::Result<bool> {
    let Some(id) = hold(connection, product_id).await? else { return Ok(false) };
    let order = format!(r#"{{"hold_id":"{id}"}}"#);
    if connection.post("/api/orders", "", order.as_bytes()).await?.status != 201 {
        return Ok(false);
    }
    let body = format!(
        r#"{{"order_id":"{id}","payment_id":"pay_{id}","status":"succeeded","timestamp":"2026-01-01T00:00:00Z"}}"#
    );
    let mut mac = Hmac::<Sha256>::new_from_slice(WEBHOOK_SECRET)?;
    mac.update(body.as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    let headers = format!("x-webhook-signature: {signature}\r\nx-idempotency-key: evt_{id}\r\n");
    Ok(connection.post("/api/payments/webhook", &headers, body.as_bytes()).await?.status == 200)
}
