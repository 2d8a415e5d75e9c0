//! Finds drift: counts of a product that differ from its holds, orders and payments.
//!
//! `holdfast stock` and `GET /api/admin/stock/verify` call it, for a few slots at a time. It must not repair anything: a
//! worker does, when it applies the command `RepairStock`.

use holdfast_common::id::{ProductId, SLOTS};
use serde_json::{Map, Value, json};
use sqlx::PgPool;

use crate::store::stock::{self, Counted};

/// The number of slots in one SQL statement. 256 statements cover all slots.
const SLOTS_PER_READ: u16 = 16;

/// A wrong count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongCount {
    pub name: &'static str,
    /// The value in the product's row.
    pub stored: i64,
    /// The value that its holds, orders and payments add up to.
    pub should_be: i64,
}

/// A product with wrong counts.
#[derive(Clone, Debug)]
pub struct Drift {
    pub product_id: ProductId,
    pub name: String,
    pub wrong_counts: Vec<WrongCount>,
}

/// The result of verifying some products.
#[derive(Clone, Debug)]
pub struct VerifiedProducts {
    /// The number of verified products.
    pub products: usize,
    pub drifts: Vec<Drift>,
    /// The number of slots that were read.
    pub slots: u16,
    /// The slot to continue with; `None` after the last one.
    pub next: Option<u16>,
}

/// The number of paid orders whose payment is missing. All stored counts are right then, so a repair of counts can't help.
const UNPAID: &str = "paid_orders_without_payment";

impl Drift {
    fn of(counted: Counted) -> Option<Self> {
        let Counted { held, sold, .. } = counted;
        // Every hold and order is kept. When they have more units than the product, the product needs more.
        let total = counted.total_stock.max(held + sold);
        // Ended holds are deleted after a while. So the last hold may have had a higher sequence than any that is left.
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
        let wrong_counts: Vec<_> = fields
            .into_iter()
            .filter(|(_, stored, should_be)| stored != should_be)
            .map(|(name, stored, should_be)| WrongCount {
                name,
                stored,
                should_be,
            })
            .collect();
        (!wrong_counts.is_empty()).then_some(Self {
            product_id: ProductId(counted.product_id),
            name: counted.name,
            wrong_counts,
        })
    }

    /// Whether the command `RepairStock` can correct a count.
    #[must_use]
    pub fn can_be_repaired(&self) -> bool {
        self.wrong_counts.iter().any(|count| count.name != UNPAID)
    }

    /// The wrong counts as a JSON object, by name.
    #[must_use]
    pub fn wrong_counts_by_name(&self) -> Map<String, Value> {
        let entry = |count: &WrongCount| {
            (
                count.name.to_owned(),
                json!({"stored": count.stored, "should_be": count.should_be}),
            )
        };
        self.wrong_counts.iter().map(entry).collect()
    }
}

/// Verifies the products of 16 slots, from `first` on.
///
/// # Errors
/// When Postgres fails.
pub async fn verify_slots(pool: &PgPool, first: u16) -> sqlx::Result<VerifiedProducts> {
    let last = first.saturating_add(SLOTS_PER_READ - 1).min(SLOTS - 1);
    let counted = stock::count(pool, first..=last, None).await?;
    let next = (last < SLOTS - 1).then_some(last + 1);
    Ok(VerifiedProducts {
        slots: last.saturating_sub(first) + 1,
        next,
        ..VerifiedProducts::of(counted)
    })
}

/// Verifies one product. The result has no products when it does not exist.
///
/// # Errors
/// When Postgres fails.
pub async fn verify_product(
    pool: &PgPool,
    product_id: ProductId,
) -> sqlx::Result<VerifiedProducts> {
    let slot = product_id.slot().get();
    Ok(VerifiedProducts::of(
        stock::count(pool, slot..=slot, Some(product_id.0)).await?,
    ))
}

impl VerifiedProducts {
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
