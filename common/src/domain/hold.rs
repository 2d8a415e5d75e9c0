//! A hold: units reserved for a customer for a limited time. Next: [`super::order`].

use serde::{Deserialize, Serialize};

use crate::id::{HoldId, ProductId};
use crate::money::Currency;
use crate::time::Timestamp;

/// Units reserved for a customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub id: HoldId,
    pub product_id: ProductId,
    /// Units.
    pub quantity: u32,
    /// The customer, when the shop sent one.
    pub customer_id: Option<String>,
    /// The price of one unit when the hold was created, in minor units.
    pub price_minor: i64,
    pub currency: Currency,
    pub state: HoldState,
    pub created_at: Timestamp,
    /// From this time on the hold is expired, even when no worker has processed the expiry yet.
    pub expires_at: Timestamp,
    /// Rises strictly, for each product, in the order in which holds took effect.
    pub sequence: i64,
}

/// The state of a hold. I2: a hold leaves `Active` once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HoldState {
    /// The hold's units are held.
    Active,
    /// The hold became an order.
    Consumed { at: Timestamp },
    /// The customer gave the units back.
    Released { at: Timestamp },
    /// The hold's time is over.
    Expired {
        /// When the units went back on sale, which is after `expires_at`.
        at: Timestamp,
    },
}

/// The reason why a hold can't leave `Active`. The hold is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HoldTransitionError {
    #[error("the hold is consumed by an order")]
    Consumed,
    #[error("the hold is released")]
    Released,
    #[error("the hold is expired")]
    Expired,
}

impl Hold {
    /// Whether the hold's time is over, with or without processing.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        match self.state {
            HoldState::Active => self.expires_at <= now,
            HoldState::Expired { .. } => true,
            HoldState::Consumed { .. } | HoldState::Released { .. } => false,
        }
    }

    /// Whether the hold has ended without an order.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(
            self.state,
            HoldState::Released { .. } | HoldState::Expired { .. }
        )
    }

    /// The hold as it was created. The outcome of its command always shows this.
    #[must_use]
    pub fn as_created(&self) -> Self {
        Self {
            state: HoldState::Active,
            ..self.clone()
        }
    }

    /// Active to consumed: an order takes the units.
    pub(super) fn consume(&mut self, now: Timestamp) -> Result<(), HoldTransitionError> {
        self.check_usable(now)?;
        self.state = HoldState::Consumed { at: now };
        Ok(())
    }

    /// Active to released: the customer gives the units back.
    pub(super) fn release(&mut self, now: Timestamp) -> Result<(), HoldTransitionError> {
        self.check_usable(now)?;
        self.state = HoldState::Released { at: now };
        Ok(())
    }

    /// Active to expired. The caller has checked the time.
    pub(super) fn expire(&mut self, now: Timestamp) -> Result<(), HoldTransitionError> {
        assert!(self.expires_at <= now, "hold {} is not due", self.id);
        self.check_active()?;
        self.state = HoldState::Expired { at: now };
        Ok(())
    }

    /// A hold whose time is over counts as expired, even when it is still `Active`.
    fn check_usable(&self, now: Timestamp) -> Result<(), HoldTransitionError> {
        self.check_active()?;
        (now < self.expires_at)
            .then_some(())
            .ok_or(HoldTransitionError::Expired)
    }

    fn check_active(&self) -> Result<(), HoldTransitionError> {
        match self.state {
            HoldState::Active => Ok(()),
            HoldState::Consumed { .. } => Err(HoldTransitionError::Consumed),
            HoldState::Released { .. } => Err(HoldTransitionError::Released),
            HoldState::Expired { .. } => Err(HoldTransitionError::Expired),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);
    const DUE: Timestamp = Timestamp(9_000_000);

    fn hold(state: HoldState) -> Hold {
        let product_id = ProductId(1);
        Hold {
            id: HoldId::new(product_id.slot(), 0, 1),
            product_id,
            quantity: 2,
            customer_id: None,
            price_minor: 1999,
            currency: "EUR".parse().unwrap(),
            state,
            created_at: Timestamp(0),
            expires_at: DUE,
            sequence: 1,
        }
    }

    #[test]
    fn active_hold_can_be_consumed_released_or_expired() {
        let ended = |transition: fn(&mut Hold, Timestamp) -> Result<(), _>, now| {
            let mut hold = hold(HoldState::Active);
            transition(&mut hold, now).map(|()| hold.state)
        };
        let consumed = HoldState::Consumed { at: NOW };
        let released = HoldState::Released { at: NOW };
        let expired = HoldState::Expired { at: DUE };
        assert_eq!(ended(Hold::consume, NOW), Ok(consumed));
        assert_eq!(ended(Hold::release, NOW), Ok(released));
        assert_eq!(ended(Hold::expire, DUE), Ok(expired));
    }

    #[test]
    fn hold_past_its_time_can_only_expire() {
        let mut hold = hold(HoldState::Active);
        assert_eq!(hold.consume(DUE), Err(HoldTransitionError::Expired));
        assert_eq!(hold.release(DUE), Err(HoldTransitionError::Expired));
        assert_eq!(hold.state, HoldState::Active);
        assert_eq!(hold.expire(DUE), Ok(()));
    }

    #[test]
    #[should_panic(expected = "is not due")]
    fn hold_does_not_expire_before_its_time() {
        let _ = hold(HoldState::Active).expire(NOW);
    }

    #[test]
    fn ended_hold_refuses_every_transition() {
        let at = Timestamp(5);
        for (state, error) in [
            (HoldState::Consumed { at }, HoldTransitionError::Consumed),
            (HoldState::Released { at }, HoldTransitionError::Released),
            (HoldState::Expired { at }, HoldTransitionError::Expired),
        ] {
            for transition in [Hold::consume, Hold::release, Hold::expire] {
                let mut hold = hold(state);
                assert_eq!(transition(&mut hold, DUE), Err(error));
                assert_eq!(hold.state, state);
            }
        }
    }
}
