//! Measures: numbers of what happens, for Prometheus to fetch.
//!
//! Each metric is described where it is registered, once; who counts holds the handle, so that counting is an addition
//! and no look-up. Labels have few values and none is an id, a customer or a payment. A program that never calls
//! [`start`] counts nothing. Next: `measures.rs` of the ingress and of the workers say what there is.

use std::sync::OnceLock;
use std::time::Duration;

pub use metrics::{Counter, Gauge, Histogram};
use metrics::{
    Label, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use sqlx::PgPool;

/// The content type of what [`render`] writes: Prometheus's text format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// How often gauges are read, and what histograms have gathered is summed up.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Upper bounds of what is measured in seconds: from what a statement takes to what an outage takes.
pub const SECONDS: [f64; 16] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    120.0,
];
/// Upper bounds of how many commands are together.
const COMMANDS: [f64; 12] = [
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0,
];
/// Upper bounds of sizes in bytes.
const BYTES: [f64; 8] = [
    128.0, 512.0, 2048.0, 8192.0, 32_768.0, 131_072.0, 262_144.0, 524_288.0,
];

static EXPORTER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Begins to count. It has to come before the first metric is registered; the first call in a process counts.
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
            .map_err(|error| tracing::error!(%error, "nothing is counted: /metrics stays empty"));
        let version = label("version", env!("CARGO_PKG_VERSION"));
        gauge_of(
            "holdfast_build_info",
            "Always 1; the label says the version.",
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

/// Sums up what histograms have gathered, so that it does not grow while nobody fetches it. Every [`LOOK_EVERY`].
pub fn keep_up() {
    if let Some(exporter) = exporter() {
        exporter.run_upkeep();
    }
}

/// A label.
pub fn label(name: &'static str, value: impl Into<std::borrow::Cow<'static, str>>) -> Label {
    Label::new(name, value.into())
}

/// A number that only rises.
pub fn counter_of(name: &'static str, help: &'static str, labels: &[Label]) -> Counter {
    describe_counter!(name, help);
    counter!(name, labels.to_vec())
}

/// A number that rises and falls.
pub fn gauge_of(name: &'static str, help: &'static str, labels: &[Label]) -> Gauge {
    describe_gauge!(name, help);
    gauge!(name, labels.to_vec())
}

/// How often a value was within which bounds. The name's end, `_seconds`, `_commands` or `_bytes`, chooses the bounds.
pub fn histogram_of(name: &'static str, help: &'static str, labels: &[Label]) -> Histogram {
    describe_histogram!(name, help);
    histogram!(name, labels.to_vec())
}

/// How much of a pool of connections to Postgres is in use.
pub struct PoolUse {
    used: Gauge,
    idle: Gauge,
}

impl PoolUse {
    /// The pool of the ingress or of the workers.
    #[must_use]
    pub fn register(pool: &'static str) -> Self {
        let of = |state| {
            let help = "Connections to Postgres, by what they do.";
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

    /// Looks at the pool.
    pub fn look(&self, pool: &PgPool) {
        let idle = pool.num_idle();
        self.idle.set(idle as f64);
        self.used
            .set((pool.size() as usize).saturating_sub(idle) as f64);
    }
}
