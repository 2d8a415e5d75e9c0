//! Metrics for Prometheus: the recorder, and functions that register counters, gauges and histograms.
//!
//! A metric is registered once, with its help text. The registering code keeps the handle, so that counting needs no look-up
//! by name. A label must have few values: never an id, a customer or a payment. A program that does not call [`start`]
//! records nothing. Next: the metrics themselves are in `ingress/src/metrics.rs` and `workers/src/observe/metrics.rs`.

use std::sync::OnceLock;
use std::time::Duration;

pub use metrics::{Counter, Gauge, Histogram};
use metrics::{
    Label, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use sqlx::PgPool;

/// The content type of [`render`]'s text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// How often gauges are updated, and [`run_upkeep`] is called.
pub const UPDATE_EVERY: Duration = Duration::from_secs(5);

/// Bucket bounds of histograms of seconds: from the time of one SQL statement to the time of an outage.
pub const SECONDS: [f64; 16] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    120.0,
];
/// Bucket bounds of histograms of numbers of commands.
const COMMANDS: [f64; 12] = [
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0,
];
/// Bucket bounds of histograms of bytes.
const BYTES: [f64; 8] = [
    128.0, 512.0, 2048.0, 8192.0, 32_768.0, 131_072.0, 262_144.0, 524_288.0,
];

static EXPORTER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Installs the recorder. Call it before the first metric is registered: metrics registered earlier record nothing. Further
/// calls in a process do nothing.
pub fn start() {
    EXPORTER.get_or_init(|| {
        let installed = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
            .and_then(|builder| {
                builder.set_buckets_for_metric(Matcher::Suffix("_commands".to_owned()), &COMMANDS)
            })
            .and_then(|builder| {
                builder.set_buckets_for_metric(Matcher::Suffix("_bytes".to_owned()), &BYTES)
            })
            .and_then(PrometheusBuilder::install_recorder);
        let exporter = installed
            .map_err(|error| tracing::error!(%error, "metrics could not be started; /metrics stays empty until the program restarts"));
        let version = label("version", env!("CARGO_PKG_VERSION"));
        gauge_of(
            "holdfast_build_info",
            "Always 1; the label is the version.",
            &[version],
        )
        .set(1.0);
        exporter.ok()
    });
}

fn exporter() -> Option<&'static PrometheusHandle> {
    EXPORTER.get().and_then(Option::as_ref)
}

/// All metrics in Prometheus's text format.
#[must_use]
pub fn render() -> String {
    exporter().map(PrometheusHandle::render).unwrap_or_default()
}

/// Moves the recorded values of histograms into buckets. Without it they use more and more memory while nothing fetches the
/// metrics. Call it every [`UPDATE_EVERY`].
pub fn run_upkeep() {
    if let Some(exporter) = exporter() {
        exporter.run_upkeep();
    }
}

pub fn label(name: &'static str, value: impl Into<std::borrow::Cow<'static, str>>) -> Label {
    Label::new(name, value.into())
}

/// Registers a counter.
pub fn counter_of(name: &'static str, help: &'static str, labels: &[Label]) -> Counter {
    describe_counter!(name, help);
    counter!(name, labels.to_vec())
}

/// Registers a gauge.
pub fn gauge_of(name: &'static str, help: &'static str, labels: &[Label]) -> Gauge {
    describe_gauge!(name, help);
    gauge!(name, labels.to_vec())
}

/// Registers a histogram. The suffix of its name, `_seconds`, `_commands` or `_bytes`, selects the bucket bounds.
pub fn histogram_of(name: &'static str, help: &'static str, labels: &[Label]) -> Histogram {
    describe_histogram!(name, help);
    histogram!(name, labels.to_vec())
}

/// Gauges of the connections of a Postgres pool.
pub struct PoolUse {
    used: Gauge,
    idle: Gauge,
}

impl PoolUse {
    /// `pool` is the label: `ingress` or `workers`.
    #[must_use]
    pub fn register(pool: &'static str) -> Self {
        let of = |state| {
            let help = "Connections to Postgres by state.";
            gauge_of(
                "holdfast_pool_connections",
                help,
                &[label("pool", pool), label("state", state)],
            )
        };
        Self {
            used: of("used"),
            idle: of("idle"),
        }
    }

    /// Reads the state of the pool.
    pub fn update(&self, pool: &PgPool) {
        let idle = pool.num_idle();
        self.idle.set(idle as f64);
        self.used
            .set((pool.size() as usize).saturating_sub(idle) as f64);
    }
}
