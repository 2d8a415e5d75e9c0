//! The counts of a product's units, and I1.
//!
//! Every unit is available, held or sold: `total = available + held + sold`, and no count is negative. The fields are
//! private, so that no code can change one of them alone.

use serde::{Deserialize, Serialize};

/// A product's units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stock {
    total: i64,
    available: i64,
    held: i64,
    sold: i64,
}

impl Stock {
    /// A stock with all units available.
    #[must_use]
    pub fn new(total: i64) -> Self {
        Self {
            total,
            available: total,
            held: 0,
            sold: 0,
        }
        .conserved()
    }

    /// Stored counts; `None` when they violate I1.
    #[must_use]
    pub fn from_stored(total: i64, available: i64, held: i64, sold: i64) -> Option<Self> {
        let stock = Self {
            total,
            available,
            held,
            sold,
        };
        stock.is_conserved().then_some(stock)
    }

    #[must_use]
    pub fn total(&self) -> i64 {
        self.total
    }

    #[must_use]
    pub fn available(&self) -> i64 {
        self.available
    }

    /// Units of active holds and unpaid orders.
    #[must_use]
    pub fn held(&self) -> i64 {
        self.held
    }

    /// Units of paid orders.
    #[must_use]
    pub fn sold(&self) -> i64 {
        self.sold
    }

    /// Available to held; `None` when fewer units are available.
    pub(super) fn hold(self, quantity: u32) -> Option<Self> {
        let quantity = i64::from(quantity);
        let is_enough = self.available >= quantity;
        is_enough.then(|| {
            Self {
                available: self.available - quantity,
                held: self.held + quantity,
                ..self
            }
            .conserved()
        })
    }

    /// Held to available.
    pub(super) fn release(self, quantity: u32) -> Self {
        let quantity = i64::from(quantity);
        Self {
            available: self.available + quantity,
            held: self.held - quantity,
            ..self
        }
        .conserved()
    }

    /// Held to sold.
    pub(super) fn sell(self, quantity: u32) -> Self {
        let quantity = i64::from(quantity);
        Self {
            held: self.held - quantity,
            sold: self.sold + quantity,
            ..self
        }
        .conserved()
    }

    /// Adds units, or removes available ones when negative; `None` when fewer units are available.
    pub(super) fn restock(self, quantity: i64) -> Option<Self> {
        let (total, available) = (self.total + quantity, self.available + quantity);
        (available >= 0).then(|| {
            Self {
                total,
                available,
                ..self
            }
            .conserved()
        })
    }

    /// The same total with other counts of held and sold units; the rest is available. When they exceed the total, the total
    /// grows: promises to customers are kept.
    pub(super) fn recounted(self, held: i64, sold: i64) -> Self {
        let total = self.total.max(held + sold);
        Self {
            total,
            available: total - held - sold,
            held,
            sold,
        }
        .conserved()
    }

    fn is_conserved(&self) -> bool {
        self.total == self.available + self.held + self.sold
            && self.available >= 0
            && self.held >= 0
            && self.sold >= 0
    }

    /// Asserts I1. A violation is a bug in Holdfast. The panic stops the command, so that no unit is sold twice.
    fn conserved(self) -> Self {
        assert!(self.is_conserved(), "I1 conservation: {self:?}");
        self
    }
}
