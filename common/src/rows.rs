//! Rows as they are stored, and what they stand for.
//!
//! Both sides read the same tables, so both read them through here. A row that breaks an invariant is an error, never a
//! guess.

use chrono::{DateTime, Utc};
use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::{Hold, HoldState, Product, Stock};
use crate::id::{HoldId, ProductId};

/// Says what is wrong with a stored row.
#[derive(Debug, thiserror::Error)]
#[error("stored {what} {id} makes no sense: run `holdfast stock verify`")]
pub struct InvalidRow {
    what: &'static str,
    id: String,
}

impl From<InvalidRow> for sqlx::Error {
    fn from(error: InvalidRow) -> Self {
        Self::Decode(Box::new(error))
    }
}

/// A row of `products`.
#[derive(Debug, FromRow)]
#[allow(missing_docs)]
pub struct ProductRow {
    pub product_id: i64,
    pub name: String,
    pub price_minor: i64,
    pub currency: String,
    pub total_stock: i64,
    pub available_stock: i64,
    pub held_stock: i64,
    pub sold_stock: i64,
    pub holds_count: i64,
    pub max_per_customer: Option<i32>,
    pub sale_starts_at: Option<DateTime<Utc>>,
    pub sale_ends_at: Option<DateTime<Utc>>,
    pub hold_sequence: i64,
    pub version: i64,
}

impl TryFrom<ProductRow> for Product {
    type Error = InvalidRow;

    fn try_from(row: ProductRow) -> Result<Self, InvalidRow> {
        let invalid = || InvalidRow { what: "product", id: row.product_id.to_string() };
        let stock = Stock::from_stored(row.total_stock, row.available_stock, row.held_stock, row.sold_stock);
        Ok(Self {
            id: ProductId(row.product_id),
            price_minor: row.price_minor,
            currency: row.currency.parse().map_err(|_| invalid())?,
            stock: stock.ok_or_else(invalid)?,
            holds_count: row.holds_count,
            max_per_customer: row.max_per_customer.map(u32::try_from).transpose().map_err(|_| invalid())?,
            sale_starts_at: row.sale_starts_at.map(Into::into),
            sale_ends_at: row.sale_ends_at.map(Into::into),
            hold_sequence: row.hold_sequence,
            version: row.version,
            name: row.name,
        })
    }
}

/// A row of `holds`; `status` as text.
#[derive(Debug, FromRow)]
#[allow(missing_docs)]
pub struct HoldRow {
    pub hold_id: Uuid,
    pub product_id: i64,
    pub quantity: i32,
    pub customer_id: Option<String>,
    pub price_minor: i64,
    pub currency: String,
    pub status: String,
    pub sequence: i64,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
}

impl TryFrom<HoldRow> for Hold {
    type Error = InvalidRow;

    fn try_from(row: HoldRow) -> Result<Self, InvalidRow> {
        let invalid = || InvalidRow { what: "hold", id: row.hold_id.to_string() };
        let state = match (row.status.as_str(), row.ended_at.map(Into::into)) {
            ("active", None) => HoldState::Active,
            ("consumed", Some(at)) => HoldState::Consumed { at },
            ("released", Some(at)) => HoldState::Released { at },
            ("expired", Some(at)) => HoldState::Expired { at },
            _ => return Err(invalid()),
        };
        Ok(Self {
            id: HoldId::from_uuid(row.hold_id).map_err(|_| invalid())?,
            product_id: ProductId(row.product_id),
            quantity: u32::try_from(row.quantity).map_err(|_| invalid())?,
            price_minor: row.price_minor,
            currency: row.currency.parse().map_err(|_| invalid())?,
            state,
            sequence: row.sequence,
            created_at: row.created_at.into(),
            expires_at: row.expires_at.into(),
            customer_id: row.customer_id,
        })
    }
}

/// The word that `status` stores for a state.
#[must_use]
pub fn hold_status(state: &HoldState) -> &'static str {
    match state {
        HoldState::Active => "active",
        HoldState::Consumed { .. } => "consumed",
        HoldState::Released { .. } => "released",
        HoldState::Expired { .. } => "expired",
    }
}
