//! Mending a product's counts.
//!
//! Holds and orders say what was promised and paid for; the product's counts only sum it up. Should they differ (a hand in
//! the table, a restored backup, a bug), the counts are set right, never the holds and orders. It is a command like any
//! other: it takes its turn in the log, and its outcome tells what was before and after.

use serde::{Deserialize, Serialize};

use crate::domain::audit::AuditKind;
use crate::domain::product::Product;
use crate::domain::state::State;
use crate::id::ProductId;
use crate::outcome::{Outcome, Refusal};

/// All counts of a product, in units but for the last two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Counts {
    pub total_stock: i64,
    pub available_stock: i64,
    pub held_stock: i64,
    pub sold_stock: i64,
    /// Active holds.
    pub holds_count: i64,
    /// The `sequence` of the last hold.
    pub hold_sequence: i64,
}

/// What a product's holds and orders come to; or how far the product's counts are from that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recount {
    /// Units of active holds and unpaid orders.
    pub held: i64,
    /// Units of paid orders.
    pub sold: i64,
    /// How many holds are active.
    pub holds_count: i64,
    /// The highest `sequence` of the holds that are still there. Ended ones may be gone, so the last one may have had a
    /// higher one.
    pub hold_sequence: i64,
}

/// What was set right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockRepair {
    /// The product.
    pub product_id: ProductId,
    /// Its counts before.
    pub before: Counts,
    /// Its counts now.
    pub after: Counts,
}

impl Counts {
    /// A product's counts.
    #[must_use]
    pub fn of(product: &Product) -> Self {
        Self {
            total_stock: product.stock.total(),
            available_stock: product.stock.available(),
            held_stock: product.stock.held(),
            sold_stock: product.stock.sold(),
            holds_count: product.holds_count,
            hold_sequence: product.hold_sequence,
        }
    }
}

impl Recount {
    /// How far counts are from what was counted.
    pub(super) fn minus(self, counts: &Counts) -> Self {
        Self {
            held: self.held - counts.held_stock,
            sold: self.sold - counts.sold_stock,
            holds_count: self.holds_count - counts.holds_count,
            // Never back: a sequence that was given must not be given again.
            hold_sequence: (self.hold_sequence - counts.hold_sequence).max(0),
        }
    }
}

/// Sets a product's counts to what its holds and orders come to.
pub(super) fn repair_stock(state: &mut State, id: ProductId) -> Result<Outcome, Refusal> {
    let before = Counts::of(state.product(id).ok_or(Refusal::ProductNotFound)?);
    if let Some(off_by) = state
        .take_recount(id)
        .filter(|off_by| *off_by != Recount::NOTHING)
    {
        state.change_product(id, |product| {
            let Recount {
                held,
                sold,
                holds_count,
                hold_sequence,
            } = off_by;
            product.stock = product
                .stock
                .recounted(product.stock.held() + held, product.stock.sold() + sold);
            product.holds_count += holds_count;
            product.hold_sequence += hold_sequence;
        });
        state.audit_product(AuditKind::ProductRepaired, id, 0, None);
    }
    let after = state.product(id).map_or(before, Counts::of);
    Ok(Outcome::StockRepaired(Box::new(StockRepair {
        product_id: id,
        before,
        after,
    })))
}

impl Recount {
    const NOTHING: Self = Self {
        held: 0,
        sold: 0,
        holds_count: 0,
        hold_sequence: 0,
    };
}
