//! Waits for the workers of `dev`, and adds product 1 on the first start.

use std::time::Duration;

use anyhow::bail;
use holdfast_common::command::{Action, Command, NewProduct};
use holdfast_common::encryption::Keyring;
use holdfast_common::id::ProductId;
use holdfast_common::outcome::{Outcome, Refusal};
use holdfast_common::settings::NatsSettings;
use holdfast_ingress::host_clock::new_request_id;
use holdfast_ingress::store::next_product_id;
use sqlx::PgPool;
use tokio::time::Instant;

use crate::store;
use crate::submit::CommandLog;

/// Long enough for the leases of killed workers to end.
const WORKERS_WAIT: Duration = Duration::from_secs(90);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Waits until each partition has a worker.
pub(super) async fn wait_for_workers(pool: &PgPool, partitions: u16) -> anyhow::Result<()> {
    let deadline = Instant::now() + WORKERS_WAIT;
    while Instant::now() < deadline {
        let leases = store::queue::leases(pool, partitions).await?;
        if leases.len() == usize::from(partitions) && leases.iter().all(|lease| lease.is_owned()) {
            return Ok(());
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    bail!("the workers did not take their partitions within {WORKERS_WAIT:?}; see the log above")
}

/// Adds product 1 when the database has no product.
pub(super) async fn add(pool: &PgPool, nats: &NatsSettings, keys: &Keyring) -> anyhow::Result<()> {
    if !store::selling::products(pool, None, 1).await?.is_empty() {
        return Ok(());
    }
    let product_id = ProductId(1);
    // Takes number 1 from the sequence, so that the next product gets number 2.
    next_product_id(pool).await?;
    let action = Action::CreateProduct(NewProduct {
        product_id,
        name: "Flash Sale Product".to_owned(),
        price_minor: 9999,
        currency: "USD".parse()?,
        total_stock: 100,
        max_per_customer: None,
        sale_starts_at: None,
        sale_ends_at: None,
    });
    let command = Command {
        request_id: new_request_id(product_id.slot()),
        key: None,
        action,
    };
    let log = CommandLog::connect(nats, keys).await?;
    match log.submit(pool, &command).await? {
        Outcome::ProductCreated(_) | Outcome::Refused(Refusal::ProductExists) => Ok(()),
        other => bail!("the first product was not added: {other:?}"),
    }
}
