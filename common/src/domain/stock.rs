//! The count of a product's units, and I1.
//!
//! Every unit is on sale, promised or paid: `total = available + held + sold`, none below 0. The fields are private so
//! that nothing can change one of them alone.

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
    /// So many units, all on sale.
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

    /// Counts as they were stored; `None` when they break I1.
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

    /// All units.
    #[must_use]
    pub fn total(&self) -> i64 {
        self.total
    }

    /// Units on sale.
    #[must_use]
    pub fn available(&self) -> i64 {
        self.available
    }

    /// Units promised and not paid for: active holds and unpaid orders.
    #[must_use]
    pub fn held(&self) -> i64 {
        self.held
    }

    /// Units paid for.
    #[must_use]
    pub fn sold(&self) -> i64 {
        self.sold
    }

    /// Promises units; `None` when fewer are on sale.
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

    /// Puts promised units back on sale.
    pub(super) fn release(self, quantity: u32) -> Self {
        let quantity = i64::from(quantity);
        Self {
            available: self.available + quantity,
            held: self.held - quantity,
            ..self
        }
        .conserved()
    }

    /// Sells promised units.
    pub(super) fn sell(self, quantity: u32) -> Self {
        let quantity = i64::from(quantity);
        Self {
            held: self.held - quantity,
            sold: self.sold + quantity,
            ..self
        }
        .conserved()
    }

    /// Adds units, or takes back unsold ones; `None` when fewer are on sale.
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

    /// The same units with so many of them promised and paid for; the others are on sale. Where more are promised and paid
    /// for than there are, there have to be more: what was promised is kept.
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

    /// I1. A violation is a bug of ours: better to stop than to sell a unit twice.
    fn conserved(self) -> Self {
        assert!(self.is_conserved(), "I1 conservation: {self:?}");
        self
    }
}
