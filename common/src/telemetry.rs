//! Logs: one line an event on standard error, as JSON or for people; `RUST_LOG` chooses what. And [`crate::traces`],
//! where they are built in and on.

use tracing::Subscriber;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt, registry};

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
pub const SERVICE: Default = Default {
    format: LogFormat::Json,
    filter: "info,async_nats=warn,sqlx=warn",
};
/// For programs that somebody watches.
pub const TERMINAL: Default = Default {
    format: LogFormat::Pretty,
    filter: "warn",
};

/// Telemetry that runs. Dropped at a program's end, so that the last traces are sent.
#[derive(Debug)]
#[must_use]
pub struct Telemetry(());

impl Drop for Telemetry {
    fn drop(&mut self) {
        #[cfg(feature = "otel")]
        crate::traces::stop();
    }
}

/// Starts logging, for a program of this name; the first call in a process counts.
pub fn start(settings: &TelemetrySettings, default: Default, program: &'static str) -> Telemetry {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default.filter));
    let format = settings.log_format.unwrap_or(default.format);
    // A second start, as in tests, changes nothing.
    let _ = match traces(program) {
        // Each has its own filter then: what is traced is not logged by that.
        Some(traces) => registry()
            .with(traces)
            .with(logs(format).with_filter(filter))
            .try_init(),
        None => registry().with(filter).with(logs(format)).try_init(),
    };
    Telemetry(())
}

fn logs<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let logs = fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Json => logs.json().flatten_event(true).boxed(),
        LogFormat::Pretty => logs.with_target(false).boxed(),
    }
}

#[cfg(feature = "otel")]
fn traces<S>(program: &'static str) -> Option<Box<dyn Layer<S> + Send + Sync>>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    crate::traces::layer(program)
}

#[cfg(not(feature = "otel"))]
fn traces(_program: &'static str) -> Option<tracing_subscriber::layer::Identity> {
    None
}
