//! The types and rules that every part of Holdfast shares.
//!
//! The modules follow the data. A request becomes a [`command`]. The command carries an [`id`], which contains the slot
//! of its product and so names the [`partition`]. Commands travel in an envelope ([`messages`]) through the [`log`].
//! [`domain::decide`] turns each command into an [`outcome`], and the outcome returns in a reply ([`messages`]).
//!
//! [`encryption`] protects personal data from readers of the tables and of the log. [`store`] holds the schema and the
//! connection to Postgres. [`settings`], [`telemetry`], [`traces`] and [`metrics`] serve all programs.
//!
//! Nothing here reads a clock or draws a random number, except for the nonces of [`encryption`]: callers pass both in.

pub mod command;
pub mod domain;
pub mod encryption;
pub mod id;
pub mod log;
pub mod messages;
pub mod metrics;
pub mod money;
pub mod outcome;
pub mod partition;
pub mod settings;
pub mod shutdown;
pub mod store;
pub mod telemetry;
pub mod time;
pub mod tls;
pub mod traces;
