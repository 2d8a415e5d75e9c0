//! Finds the holds, outcomes and dead letters that name a customer.

use anyhow::bail;
use holdfast_common::command::{Action, CUSTOMER_CHARS_MAX};
use holdfast_common::encryption::{Keyring, SealedKind};
use holdfast_common::id::SLOTS;
use holdfast_common::outcome::Outcome;
use holdfast_ingress::store::dead_letters::{self, ListedLetter};
use indicatif::ProgressBar;
use sqlx::PgPool;
use sqlx::types::Uuid;

use crate::store::customers::{self, CustomerHold, StoredOutcome};

/// Slots that one statement scans.
const SLOTS_PER_STATEMENT: u16 = 64;
const HOLDS_MAX: usize = 100_000;
const LETTERS_PAGE_ROWS: i64 = 500;

/// The rows of one customer.
pub(super) struct CustomerRows<'c> {
    pool: &'c PgPool,
    keys: &'c Keyring,
    id: &'c str,
}

impl<'c> CustomerRows<'c> {
    /// Checks the id by the same rule as requests.
    pub(super) fn new(pool: &'c PgPool, keys: &'c Keyring, id: &'c str) -> anyhow::Result<Self> {
        let chars = id.chars().count();
        if !(1..=CUSTOMER_CHARS_MAX).contains(&chars) || id.chars().any(char::is_control) {
            bail!("a customer id has 1 to {CUSTOMER_CHARS_MAX} printable characters");
        }
        Ok(Self { pool, keys, id })
    }

    pub(super) async fn holds(&self) -> anyhow::Result<Vec<CustomerHold>> {
        let index = self.keys.index(SealedKind::CustomerId, self.id);
        let progress = ProgressBar::new(SLOTS.into());
        let mut holds = Vec::new();
        for first in (0..SLOTS).step_by(usize::from(SLOTS_PER_STATEMENT)) {
            let slots = first..=first + SLOTS_PER_STATEMENT - 1;
            holds.extend(customers::holds(self.pool, slots, &index).await?);
            if holds.len() > HOLDS_MAX {
                bail!("this customer has more than {HOLDS_MAX} holds, the maximum of this command");
            }
            progress.set_position((first + SLOTS_PER_STATEMENT).into());
        }
        progress.finish_and_clear();
        Ok(holds)
    }

    /// The outcomes that name the customer, each with the id of its hold and decrypted.
    pub(super) async fn outcomes(&self) -> anyhow::Result<Vec<(StoredOutcome, Uuid, Outcome)>> {
        let (mut found, mut after) = (Vec::new(), (-1, Uuid::nil()));
        loop {
            let page = customers::outcomes(self.pool, after).await?;
            let Some(last) = page.last() else {
                return Ok(found);
            };
            after = (last.slot, last.request_id);
            for stored in page {
                let outcome = self.keys.open_outcome(stored.outcome.0.clone())?;
                let (hold, customer) = match &outcome {
                    Outcome::HoldCreated(hold) | Outcome::HoldReleased(hold) => {
                        (hold.id, &hold.customer_id)
                    }
                    Outcome::OrderCreated(order) => (order.id, &order.customer_id),
                    _ => continue,
                };
                if customer.as_deref() == Some(self.id) {
                    found.push((stored, hold.uuid(), outcome));
                }
            }
        }
    }

    /// The dead letters whose command names the customer.
    pub(super) async fn letters(&self) -> anyhow::Result<Vec<ListedLetter>> {
        let (mut found, mut after) = (Vec::new(), 0);
        loop {
            let page = dead_letters::list(self.pool, true, after, LETTERS_PAGE_ROWS).await?;
            let Some(last) = page.last() else {
                return Ok(found);
            };
            after = last.dead_letter_id;
            found.extend(page.into_iter().filter(|letter| self.is_named_by(letter)));
        }
    }

    fn is_named_by(&self, letter: &ListedLetter) -> bool {
        let action = letter.command(self.keys).map(|command| command.action);
        matches!(action, Some(Action::CreateHold { customer_id: Some(id), .. }) if id == self.id)
    }
}
