//! What every part of Holdfast shares.
//!
//! The folders follow the data: a request becomes a [`command`], which carries an [`id`] that knows its slot and
//! so its [`partition`]; commands travel in an [`envelope`] through the [`log`]; [`domain::decide`] turns them into
//! [`outcome`]s, which come back in a [`reply`]. [`settings`], [`telemetry`], [`traces`], [`measures`] and [`schema`] serve all programs.
//!
//! [`seal`] keeps personal data from who only sees the tables and the log.
//!
//! Nothing in here reads a clock or draws a random number, but for the nonces of [`seal`]: whoever calls passes them in.

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
