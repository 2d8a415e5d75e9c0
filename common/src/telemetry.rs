//! Logs: one line an event on standard error, as JSON or for people; `RUST_LOG` chooses what.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::settings::{LogFormat, TelemetrySettings};

/// How a program logs unless it is told otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Default {
    /// How logs are written.
    pub format: LogFormat,
    /// What is logged, in the syntax of `RUST_LOG`.
    pub filter: &'static str,
}

/// For programs that run unattended.
pub const SERVICE: Default = Default { format: LogFormat::Json, filter: "info,async_nats=warn,sqlx=warn" };
/// For programs that somebody watches.
pub const TERMINAL: Default = Default { format: LogFormat::Pretty, filter: "warn" };

/// Starts logging; the first call in a process counts.
pub fn start(settings: &TelemetrySettings, default: Default) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default.filter));
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start, as in tests, changes nothing.
    let _ = match settings.log_format.unwrap_or(default.format) {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Pretty => builder.with_target(false).try_init(),
    };
}
