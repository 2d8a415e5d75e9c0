//! The decisions of Holdfast. No IO, no clock, no randomness and no `async`: callers pass rows, commands and the time in.
//!
//! A worker loads a [`State`] with the rows that a batch of commands names. It calls [`decide`] for each command, in the
//! log's order, and writes the [`Changes`]. The rules of stock, holds, orders, payments and idempotency are in here; the
//! constraints of the tables repeat them.
//!
//! Modules depend on each other in one direction: `decide`, then `state`, then one module for each thing.

pub(crate) mod audit;
mod decide;
pub(crate) mod decision;
pub(crate) mod hold;
pub(crate) mod key;
pub(crate) mod order;
pub(crate) mod payment;
pub(crate) mod policy;
pub(crate) mod product;
mod state;
pub(crate) mod stock;

pub use audit::{Actor, AuditEntry, AuditGroup, AuditKind};
pub use decide::decide;
pub use decide::due::expire_due;
pub use decision::Decision;
pub use hold::{Hold, HoldState, HoldTransitionError};
pub use key::{KeyScope, KeyUse};
pub use order::{CancelReason, Order, OrderState, OrderStatus, OrderTransitionError};
pub use payment::{Payment, PaymentState, RefundReason, RefundStatus, UNMATCHED_AFTER};
pub use policy::Policy;
pub use product::{Counts, Product, Recount, StockRepair};
pub use state::State;
pub use state::changes::Changes;
pub use stock::Stock;
