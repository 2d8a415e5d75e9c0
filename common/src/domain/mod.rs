//! What Holdfast decides, and nothing else: no input or output, no clock, no randomness, no `async`.
//!
//! A worker loads the [`State`] that a batch of commands names, calls [`decide`] for each of them in the log's order,
//! and writes the [`Changes`]. Whatever is true of stock, holds and idempotency is true because of the code in here;
//! the tables' constraints say it once more.

mod audit;
mod changes;
mod decide;
mod forget;
mod hold;
mod order;
mod payment;
mod product;
mod repair;
mod settle;
mod state;
mod stock;

pub use audit::{Actor, AuditEntry, AuditGroup, AuditKind};
pub use changes::Changes;
pub use decide::{Decision, Policy, decide, expire_due};
pub use hold::{Hold, HoldState};
pub use order::{CancelReason, Order, OrderState, OrderStatus};
pub use payment::{Payment, PaymentState, RefundReason, RefundStatus};
pub use product::Product;
pub use repair::{Counts, Recount, StockRepair};
pub use state::{KeyScope, KeyUse, State};
pub use stock::Stock;
