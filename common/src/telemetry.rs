//! Logs: one line per event on standard error, as JSON or as text. `RUST_LOG` selects the events. Also starts
//! [`crate::traces`], if they are built in and configured.

use tracing::Subscriber;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt, registry};

use crate::settings::{LogFormat, TelemetrySettings};

/// The format and the filter of a program whose settings name none.
#[derive(Clone, Copy, Debug)]
pub struct LogDefaults {
    pub format: LogFormat,
    /// In the syntax of `RUST_LOG`.
    pub filter: &'static str,
}

/// For programs that run unattended.
pub const SERVICE: LogDefaults = LogDefaults {
    format: LogFormat::Json,
    filter: "info,async_nats=warn,sqlx=warn",
};
/// For programs that run in a terminal.
pub const TERMINAL: LogDefaults = LogDefaults {
    format: LogFormat::Pretty,
    filter: "warn",
};

/// Running telemetry. Keep it until the program ends: dropping it sends the last traces.
#[derive(Debug)]
#[must_use]
pub struct Telemetry(());

impl Drop for Telemetry {
    fn drop(&mut self) {
        #[cfg(feature = "otel")]
        crate::traces::stop();
    }
}

/// Starts logs and traces. `program` is the service name of traces. Further calls in a process do nothing.
pub fn start(
    settings: &TelemetrySettings,
    default: LogDefaults,
    program: &'static str,
) -> Telemetry {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default.filter));
    let format = settings.log_format.unwrap_or(default.format);
    // `try_init` fails at a second start in one process, as in tests; the first start stays in effect.
    let _ = match traces(program) {
        // The filter applies to logs only, because traces have their own.
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
