//! What makes a first start worth looking at: workers that are there, and a product to buy.

use std::time::Duration;

use anyhow::bail;
use holdfast_common::command::{Action, Command, NewProduct};
use holdfast_common::id::ProductId;
use holdfast_common::outcome::{Outcome, Refusal};
use holdfast_common::partition::Partitions;
use holdfast_ingress::App;
use holdfast_ingress::commands::clock::new_request_id;
use holdfast_ingress::commands::submit::{Submitted, submit};
use sqlx::PgPool;
use tokio::time::Instant;

/// How long the workers may take to have every partition: the lease of ones that were killed has to run out.
const WORKERS_WAIT: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(20);
/// How long the first product may take.
const PRODUCT_WAIT: Duration = Duration::from_secs(10);

/// Waits until a worker has each partition.
pub(super) async fn wait_for_workers(pool: &PgPool, partitions: Partitions) -> anyhow::Result<()> {
    let give_up = Instant::now() + WORKERS_WAIT;
    while Instant::now() < give_up {
        let taken: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM partitions WHERE owner IS NOT NULL AND lease_until > now() AND partition < $1",
        )
        .bind(partitions.count().cast_signed())
        .fetch_one(pool)
        .await?;
        if taken == i64::from(partitions.count()) {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
    bail!("the workers did not take their partitions; see the log above")
}

/// Adds product 1 where there is no product yet.
pub(super) async fn add_product_at_first_start(app: &App) -> anyhow::Result<()> {
    let has_products: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM products)")
        .fetch_one(app.pool())
        .await?;
    if has_products {
        return Ok(());
    }
    let product_id = ProductId(1);
    // The number is then not given out again.
    sqlx::query("SELECT nextval('product_ids')")
        .execute(app.pool())
        .await?;
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
    match submit(app, &command, PRODUCT_WAIT).await? {
        Submitted::Done(decision) => match decision.outcome {
            Outcome::ProductCreated(_) | Outcome::Refused(Refusal::ProductExists) => Ok(()),
            other => bail!("the demo product was not added: {other:?}"),
        },
        Submitted::Queued(_) => {
            bail!("the demo product was not added in {PRODUCT_WAIT:?}; see the log above")
        }
    }
}
