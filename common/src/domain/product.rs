//! A product on sale.

use serde::{Deserialize, Serialize};

use crate::command::{NewProduct, ProductChange};
use crate::domain::stock::Stock;
use crate::id::ProductId;
use crate::money::Currency;
use crate::time::Timestamp;

/// A product and its stock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    /// The product's number.
    pub id: ProductId,
    /// Its name.
    pub name: String,
    /// The price of one unit, in minor units of the currency.
    pub price_minor: i64,
    /// The price's currency.
    pub currency: Currency,
    /// Its units.
    pub stock: Stock,
    /// How many holds are active.
    pub holds_count: i64,
    /// The most units that one customer may have held or ordered.
    pub max_per_customer: Option<u32>,
    /// Holds are refused before this.
    pub sale_starts_at: Option<Timestamp>,
    /// Holds are refused from this on.
    pub sale_ends_at: Option<Timestamp>,
    /// The `sequence` of the last hold that took effect, 0 when there was none.
    pub hold_sequence: i64,
    /// Rises with every change of this product.
    pub version: i64,
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

    /// Whether its sale is open at a time.
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.sale_starts_at.is_none_or(|start| start <= now)
            && self.sale_ends_at.is_none_or(|end| now < end)
    }

    /// This product with a change; `None` when its sale would end before it begins.
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
