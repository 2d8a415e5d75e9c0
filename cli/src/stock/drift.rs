//! Finds drift of one product or of all, and prints it.

use anyhow::bail;
use comfy_table::Table;
use holdfast_common::id::{ProductId, SLOTS};
use holdfast_ingress::operators::drift::{self, Drift, WrongCount};
use indicatif::ProgressBar;
use serde_json::{Value, json};
use sqlx::PgPool;

pub(super) struct VerifiedStock {
    /// The number of verified products.
    pub(super) products: usize,
    pub(super) drifts: Vec<Drift>,
}

/// Verifies one product, or all when `product` is `None`.
pub(super) async fn find(pool: &PgPool, product: Option<i64>) -> anyhow::Result<VerifiedStock> {
    if let Some(id) = product {
        let found = drift::verify_product(pool, ProductId(id)).await?;
        if found.products == 0 {
            bail!("there is no product {id}");
        }
        return Ok(VerifiedStock {
            products: found.products,
            drifts: found.drifts,
        });
    }
    let mut found = VerifiedStock {
        products: 0,
        drifts: Vec::new(),
    };
    let progress = ProgressBar::new(SLOTS.into());
    let mut next = Some(0);
    while let Some(first) = next {
        let verified = drift::verify_slots(pool, first).await?;
        found.products += verified.products;
        found.drifts.extend(verified.drifts);
        progress.inc(verified.slots.into());
        next = verified.next;
    }
    progress.finish_and_clear();
    found.drifts.sort_unstable_by_key(|drift| drift.product_id);
    Ok(found)
}

pub(super) fn document(drift: &Drift) -> Value {
    json!({"product_id": drift.product_id, "off": drift.wrong_counts_by_name()})
}

/// One row for each wrong count.
pub(super) fn table(drifts: &[Drift]) -> Table {
    let mut table = Table::new();
    table.set_header(["product", "count", "stored", "should be"]);
    for Drift {
        product_id,
        wrong_counts,
        ..
    } in drifts
    {
        for WrongCount {
            name,
            stored,
            should_be,
        } in wrong_counts
        {
            table.add_row([
                product_id.to_string(),
                (*name).to_owned(),
                stored.to_string(),
                should_be.to_string(),
            ]);
        }
    }
    table
}
