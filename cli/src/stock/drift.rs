//! Drift: where a product's counts are not what its holds and orders come to.

use anyhow::bail;
use comfy_table::Table;
use holdfast_common::id::{ProductId, SLOTS};
use indicatif::ProgressBar;
use serde_json::{Map, Value, json};
use sqlx::PgPool;

use crate::store::stock::{self, Counted};

/// How many slots one statement reads: a few hundred statements for all of a sale.
const STEP_SLOTS: u16 = 16;

/// A count that is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) stored: i64,
    pub(super) should_be: i64,
}

/// A product with counts that are off.
#[derive(Clone, Debug)]
pub(super) struct Drift {
    pub(super) product_id: ProductId,
    pub(super) fields: Vec<Field>,
}

/// What was found.
pub(super) struct Verified {
    pub(super) products: usize,
    pub(super) drifts: Vec<Drift>,
}

/// The count of payments that are missing. No counter is off then, so no counter can be mended.
const UNPAID: &str = "paid_orders_without_payment";

impl Drift {
    fn of(counted: &Counted) -> Option<Self> {
        let Counted { held, sold, .. } = *counted;
        // What was promised is kept: then there have to be more units.
        let total = counted.total_stock.max(held + sold);
        // Ended holds are removed in time, so the last one may have had more than any that is left.
        let sequence = counted.hold_sequence.max(counted.last_sequence);
        let fields = [
            ("total_stock", counted.total_stock, total),
            ("available_stock", counted.available_stock, total - held - sold),
            ("held_stock", counted.held_stock, held),
            ("sold_stock", counted.sold_stock, sold),
            ("holds_count", counted.holds_count, counted.holds),
            ("hold_sequence", counted.hold_sequence, sequence),
            (UNPAID, counted.paid_without_payment, 0),
        ];
        let off = fields.into_iter().filter(|(_, stored, should_be)| stored != should_be);
        let fields: Vec<_> = off.map(|(name, stored, should_be)| Field { name, stored, should_be }).collect();
        (!fields.is_empty()).then_some(Self { product_id: ProductId(counted.product_id), fields })
    }

    /// Whether the command that mends counts can do something about it.
    pub(super) fn can_be_mended(&self) -> bool {
        self.fields.iter().any(|field| field.name != UNPAID)
    }

    /// It as JSON.
    pub(super) fn document(&self) -> Value {
        let off =
            |field: &Field| (field.name.to_owned(), json!({"stored": field.stored, "should_be": field.should_be}));
        json!({"product_id": self.product_id, "off": self.fields.iter().map(off).collect::<Map<_, _>>()})
    }
}

/// Looks at every product, or at one.
///
/// # Errors
/// When Postgres fails, or there is no such product.
pub(super) async fn find(pool: &PgPool, product: Option<i64>) -> anyhow::Result<Verified> {
    let slots = match product {
        Some(id) => [ProductId(id).slot().get(); 2],
        None => [0, SLOTS - 1],
    };
    let mut found = Verified { products: 0, drifts: Vec::new() };
    let progress = ProgressBar::new((slots[1] - slots[0] + 1).into());
    for first in (slots[0]..=slots[1]).step_by(STEP_SLOTS.into()) {
        let last = slots[1].min(first + STEP_SLOTS - 1);
        let counted = stock::count(pool, first..=last, product).await?;
        found.products += counted.len();
        found.drifts.extend(counted.iter().filter_map(Drift::of));
        progress.inc((last - first + 1).into());
    }
    progress.finish_and_clear();
    found.drifts.sort_unstable_by_key(|drift| drift.product_id);
    if let (Some(id), 0) = (product, found.products) {
        bail!("there is no product {id}");
    }
    Ok(found)
}

/// The counts that are off, for people.
pub(super) fn table(drifts: &[Drift]) -> Table {
    let mut table = Table::new();
    table.set_header(["product", "count", "stored", "should be"]);
    for Drift { product_id, fields } in drifts {
        for Field { name, stored, should_be } in fields {
            table.add_row([product_id.to_string(), (*name).to_owned(), stored.to_string(), should_be.to_string()]);
        }
    }
    table
}
