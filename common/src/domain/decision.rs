//! The result of a command.

use crate::outcome::Outcome;

/// The result of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether the outcome is that of an earlier command with the same idempotency key.
    pub replayed: bool,
    pub outcome: Outcome,
}
