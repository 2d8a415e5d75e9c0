//! Seals and opens the customer and the payment in stored outcomes.

use std::borrow::Cow;

use uuid::Uuid;

use crate::domain::OrderState;
use crate::encryption::{Keyring, SealError, SealedKind};
use crate::outcome::Outcome;

impl Keyring {
    /// Seals the personal data of an outcome. Returns it unchanged without keys.
    #[must_use]
    pub fn seal_outcome<'o>(&self, outcome: &'o Outcome) -> Cow<'o, Outcome> {
        if !self.is_on() {
            return Cow::Borrowed(outcome);
        }
        let mut sealed = outcome.clone();
        for (kind, row, text) in personal(&mut sealed).into_iter().flatten() {
            *text = self.seal_text(kind, row, text).unwrap_or_default();
        }
        Cow::Owned(sealed)
    }

    /// Whether all personal data of an outcome is sealed with the first key.
    #[must_use]
    pub fn has_sealed_outcome(&self, outcome: &Outcome) -> bool {
        personal(&mut outcome.clone())
            .into_iter()
            .flatten()
            .all(|(.., text)| self.has_sealed(text))
    }

    /// Opens the personal data of a stored outcome.
    ///
    /// # Errors
    /// When no key opens it.
    pub fn open_outcome(&self, mut outcome: Outcome) -> Result<Outcome, SealError> {
        for (kind, row, text) in personal(&mut outcome).into_iter().flatten() {
            *text = self.open_text(kind, row, std::mem::take(text))?;
        }
        Ok(outcome)
    }
}

/// The customer and the payment of an outcome, each with the id of its hold or order.
fn personal(outcome: &mut Outcome) -> [Option<(SealedKind, Uuid, &mut String)>; 2] {
    match outcome {
        Outcome::HoldCreated(hold) | Outcome::HoldReleased(hold) => {
            let row = hold.id.uuid();
            [
                hold.customer_id
                    .as_mut()
                    .map(|text| (SealedKind::CustomerId, row, text)),
                None,
            ]
        }
        Outcome::OrderCreated(order) => {
            let order = order.as_mut();
            let row = order.id.uuid();
            let paid_by = match &mut order.state {
                OrderState::Paid { payment_id, .. } => {
                    Some((SealedKind::PaymentId, row, payment_id))
                }
                OrderState::PendingPayment | OrderState::Cancelled { .. } => None,
            };
            [
                order
                    .customer_id
                    .as_mut()
                    .map(|text| (SealedKind::CustomerId, row, text)),
                paid_by,
            ]
        }
        Outcome::ProductCreated(_)
        | Outcome::ProductChanged(_)
        | Outcome::Refused(_)
        | Outcome::PaymentSettled(_)
        | Outcome::Failed
        | Outcome::DeadLetterSettled(_)
        | Outcome::StockRepaired(_)
        | Outcome::Internal => [None, None],
    }
}
