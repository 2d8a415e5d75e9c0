//! The fixture of the black-box tests: each test gets its own sale of real processes, on one local stack.
//!
//! Every test has its own database, its own prefix in NATS, and its own ingresses and workers on free ports. So tests run in
//! parallel, and beside a developer's servers. The fixture starts programs, sends requests and reads tables. It must not
//! depend on the internals of Holdfast.

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
