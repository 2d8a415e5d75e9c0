//! Drift: where a product's counts are not what its holds and orders come to. Looked for by `holdfast stock` and by the
//! administration, a few slots at a time; nothing is changed here.

use holdfast_common::id::{ProductId, SLOTS};
use serde_json::{Map, Value, json};
use sqlx::PgPool;

use crate::store::stock::{self, Counted};

/// How many slots one statement reads: a few hundred statements for all of a sale.
const STEP_SLOTS: u16 = 16;

/// A count that is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Which count.
    pub name: &'static str,
    /// What the product's row says.
    pub stored: i64,
    /// What its holds, orders and payments come to.
    pub should_be: i64,
}

/// A product with counts that are off.
#[derive(Clone, Debug)]
pub struct Drift {
    /// The product.
    pub product_id: ProductId,
    /// What it is called.
    pub name: String,
    /// Its counts that are off.
    pub fields: Vec<Field>,
}

/// What was found in some slots.
#[derive(Clone, Debug)]
pub struct Step {
    /// How many products were looked at.
    pub products: usize,
    /// Those that are off.
    pub drifts: Vec<Drift>,
    /// How many slots were looked at.
    pub slots: u16,
    /// The slot to go on with, unless these were the last.
    pub next: Option<u16>,
}

/// The count of payments that are missing. No counter is off then, so no counter can be mended.
const UNPAID: &str = "paid_orders_without_payment";

impl Drift {
    fn of(counted: Counted) -> Option<Self> {
        let Counted { held, sold, .. } = counted;
        // What was promised is kept: then there have to be more units.
        let total = counted.total_stock.max(held + sold);
        // Ended holds are removed in time, so the last one may have had more than any that is left.
        let sequence = counted.hold_sequence.max(counted.last_sequence);
        let fields = [
            ("total_stock", counted.total_stock, total),
            (
                "available_stock",
                counted.available_stock,
                total - held - sold,
            ),
            ("held_stock", counted.held_stock, held),
            ("sold_stock", counted.sold_stock, sold),
            ("holds_count", counted.holds_count, counted.holds),
            ("hold_sequence", counted.hold_sequence, sequence),
            (UNPAID, counted.paid_without_payment, 0),
        ];
        let off = fields
            .into_iter()
            .filter(|(_, stored, should_be)| stored != should_be);
        let fields: Vec<_> = off
            .map(|(name, stored, should_be)| Field {
                name,
                stored,
                should_be,
            })
            .collect();
        (!fields.is_empty()).then_some(Self {
            product_id: ProductId(counted.product_id),
            name: counted.name,
            fields,
        })
    }

    /// Whether the command that mends counts can do something about it.
    #[must_use]
    pub fn can_be_mended(&self) -> bool {
        self.fields.iter().any(|field| field.name != UNPAID)
    }

    /// Its counts that are off, by name.
    #[must_use]
    pub fn off(&self) -> Map<String, Value> {
        let off = |field: &Field| {
            (
                field.name.to_owned(),
                json!({"stored": field.stored, "should_be": field.should_be}),
            )
        };
        self.fields.iter().map(off).collect()
    }
}

/// Looks at the products of a few slots, from one on.
///
/// # Errors
/// When Postgres fails.
pub async fn look(pool: &PgPool, first: u16) -> sqlx::Result<Step> {
    let last = first.saturating_add(STEP_SLOTS - 1).min(SLOTS - 1);
    let counted = stock::count(pool, first..=last, None).await?;
    let next = (last < SLOTS - 1).then_some(last + 1);
    Ok(Step {
        slots: last.saturating_sub(first) + 1,
        next,
        ..Step::of(counted)
    })
}

/// Looks at one product, if there is such a one.
///
/// # Errors
/// When Postgres fails.
pub async fn look_at(pool: &PgPool, product_id: ProductId) -> sqlx::Result<Step> {
    let slot = product_id.slot().get();
    Ok(Step::of(
        stock::count(pool, slot..=slot, Some(product_id.0)).await?,
    ))
}

impl Step {
    fn of(counted: Vec<Counted>) -> Self {
        let products = counted.len();
        Self {
            products,
            drifts: counted.into_iter().filter_map(Drift::of).collect(),
            slots: 1,
            next: None,
        }
    }
}
