//! A hold: units set aside for a buyer for a limited time.

use serde::{Deserialize, Serialize};

use crate::id::{HoldId, ProductId};
use crate::money::Currency;
use crate::time::Timestamp;

/// Units set aside for a buyer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The hold.
    pub id: HoldId,
    /// Of which product.
    pub product_id: ProductId,
    /// How many units.
    pub quantity: u32,
    /// For whom, when the shop said so.
    pub customer_id: Option<String>,
    /// The price of one unit when the hold was made, in minor units.
    pub price_minor: i64,
    /// The price's currency.
    pub currency: Currency,
    /// What became of it.
    pub state: HoldState,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is expired, whether or not anything has processed it.
    pub expires_at: Timestamp,
    /// Rises strictly, for each product, in the order in which holds took effect.
    pub sequence: i64,
}

/// What became of a hold. I2: it leaves `Active` once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HoldState {
    /// Its units are promised.
    Active,
    /// It became an order.
    Consumed {
        /// When.
        at: Timestamp,
    },
    /// The buyer gave it back.
    Released {
        /// When.
        at: Timestamp,
    },
    /// Its time ran out, and its units are back on sale.
    Expired {
        /// When its units came back.
        at: Timestamp,
    },
}

impl Hold {
    /// Whether its time has run out, processed or not.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        match self.state {
            HoldState::Active => self.expires_at <= now,
            HoldState::Expired { .. } => true,
            HoldState::Consumed { .. } | HoldState::Released { .. } => false,
        }
    }

    /// Whether it has ended without an order.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(
            self.state,
            HoldState::Released { .. } | HoldState::Expired { .. }
        )
    }

    /// The hold as it was when it was made: what its command's outcome says for ever.
    #[must_use]
    pub fn as_created(&self) -> Self {
        Self {
            state: HoldState::Active,
            ..self.clone()
        }
    }
}
