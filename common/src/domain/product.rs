//! A product, its stock, and the repair of its counts.
//!
//! The rows of holds and orders are the truth about held and sold units; a product's counts are their sum. When the two
//! differ (drift), the counts are corrected, never the holds and orders.

use serde::{Deserialize, Serialize};

use crate::command::{NewProduct, ProductChange};
use crate::domain::stock::Stock;
use crate::id::ProductId;
use crate::money::Currency;
use crate::time::Timestamp;

/// A product and its stock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    pub id: ProductId,
    pub name: String,
    /// The price of one unit, in minor units of the currency.
    pub price_minor: i64,
    pub currency: Currency,
    pub stock: Stock,
    /// Active holds.
    pub holds_count: i64,
    /// The most units that one customer may have in active holds and in orders that are not cancelled.
    pub max_per_customer: Option<u32>,
    /// Holds are refused before this time.
    pub sale_starts_at: Option<Timestamp>,
    /// Holds are refused from this time on.
    pub sale_ends_at: Option<Timestamp>,
    /// The `sequence` of the last hold; 0 before the first.
    pub hold_sequence: i64,
    /// Rises by 1 with every change of this product.
    pub version: i64,
}

/// All counts of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// The sums over a product's holds and orders; or the drift, which is the difference from the product's counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recount {
    /// Units of active holds and unpaid orders.
    pub held: i64,
    /// Units of paid orders.
    pub sold: i64,
    /// Active holds.
    pub holds_count: i64,
    /// The highest `sequence` among the stored holds. Ended holds may have been removed, so the product's last sequence
    /// may be higher.
    pub hold_sequence: i64,
}

/// The result of a repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockRepair {
    pub product_id: ProductId,
    pub before: Counts,
    pub after: Counts,
}

impl Product {
    pub(super) fn new(new: &NewProduct) -> Self {
        Self {
            id: new.product_id,
            name: new.name.clone(),
            price_minor: new.price_minor,
            currency: new.currency,
            stock: Stock::new(new.total_stock),
            holds_count: 0,
            max_per_customer: new.max_per_customer,
            sale_starts_at: new.sale_starts_at,
            sale_ends_at: new.sale_ends_at,
            hold_sequence: 0,
            version: 1,
        }
    }

    /// Whether the sale is open at this time.
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.sale_starts_at.is_none_or(|start| start <= now)
            && self.sale_ends_at.is_none_or(|end| now < end)
    }

    /// This product with a change; `None` when the sale would end before it starts.
    pub(super) fn changed(&self, change: &ProductChange) -> Option<Self> {
        let mut product = self.clone();
        let ProductChange {
            name,
            price_minor,
            currency,
            max_per_customer,
            sale_starts_at,
            sale_ends_at,
        } = change;
        if let Some(name) = name {
            product.name.clone_from(name);
        }
        product.price_minor = price_minor.unwrap_or(product.price_minor);
        product.currency = currency.unwrap_or(product.currency);
        product.max_per_customer = max_per_customer.unwrap_or(product.max_per_customer);
        product.sale_starts_at = sale_starts_at.unwrap_or(product.sale_starts_at);
        product.sale_ends_at = sale_ends_at.unwrap_or(product.sale_ends_at);
        let window = product.sale_starts_at.zip(product.sale_ends_at);
        window
            .is_none_or(|(start, end)| start < end)
            .then_some(product)
    }
}

impl Counts {
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
    /// The drift: these sums minus a product's counts.
    pub(super) fn minus(self, counts: &Counts) -> Self {
        Self {
            held: self.held - counts.held_stock,
            sold: self.sold - counts.sold_stock,
            holds_count: self.holds_count - counts.holds_count,
            // Never negative: no sequence may be used twice.
            hold_sequence: (self.hold_sequence - counts.hold_sequence).max(0),
        }
    }
}
