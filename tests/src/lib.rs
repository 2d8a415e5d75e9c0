//! What the black-box tests stand on: a sale of real processes, one for each test, on one local stack.
//!
//! Every test has its own database and its own prefix in NATS, and its own ingresses and workers on ports of the OS's
//! choice, so tests run in parallel and beside a developer's own servers. Nothing in here knows how Holdfast works
//! inside: it starts programs, sends requests and reads tables.

mod client;
mod invariants;
mod metrics;
mod process;
mod sale;
mod shared_stack;
mod wait;
mod webhook;

pub use client::{Answer, Client};
pub use invariants::assert_invariants;
pub use metrics::{metric_sum, metrics_text, until_metric};
pub use process::{Process, cargo, program};
pub use sale::{ADMIN_TOKEN, PARTITIONS, Sale, SaleBuilder};
pub use shared_stack::{SharedStack, start_stack};
pub use wait::{DEADLINE, until};
pub use webhook::{WEBHOOK_SECRET, Webhook};
