//! The report of a run: tables on standard output, and `report.json` for programs.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::generator::LoadResult;
use crate::usage::Cpu;

/// The scenario that the others are compared with.
pub(crate) const HOT_PRODUCT: &str = "one hot product";

/// Latencies in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

/// One audited measurement.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) scenario: String,
    pub(crate) connections: usize,
    /// Rounds per second that an open loop offers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) offered: Option<f64>,
    /// Completed rounds per second.
    pub(crate) a_second: f64,
    pub(crate) latency_ms: Latency,
    pub(crate) failed: u64,
    /// Rounds of an open loop that did not start in time.
    pub(crate) unsent: u64,
    pub(crate) statuses: BTreeMap<u16, u64>,
    /// Rate of bare HTTP, measured just before on the same number of connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bare_a_second: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) of_bare: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) of_row_lock: Option<f64>,
    /// CPU time per round, in microseconds.
    pub(crate) cpu_us: Cpu,
    /// Points of the latency's distribution: quantile and milliseconds.
    pub(crate) quantiles: Vec<(f64, f64)>,
}

impl Row {
    pub(crate) fn new(
        scenario: &str,
        connections: usize,
        result: &LoadResult,
        cpu_us: Cpu,
    ) -> Self {
        let at = |quantile| result.millis_at(quantile);
        let points = [
            0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9999, 1.0,
        ];
        Self {
            scenario: scenario.to_owned(),
            connections,
            offered: None,
            a_second: result.per_second(),
            latency_ms: Latency {
                p50: at(0.5),
                p90: at(0.9),
                p99: at(0.99),
                p999: at(0.999),
                max: at(1.0),
            },
            failed: result.failed,
            unsent: result.unsent,
            statuses: result.statuses().into_iter().collect(),
            bare_a_second: None,
            of_bare: None,
            of_row_lock: None,
            cpu_us,
            quantiles: points.map(|quantile| (quantile, at(quantile))).to_vec(),
        }
    }
}

/// The aim of a figure.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
    Between(f64, f64),
}

impl Bound {
    fn is_met(self, found: f64) -> bool {
        match self {
            Self::AtLeast(least) => found >= least,
            Self::AtMost(most) => found <= most,
            Self::Between(least, most) => (least..=most).contains(&found),
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtLeast(least) => format!("≥ {least}"),
            Self::AtMost(most) => format!("≤ {most}"),
            Self::Between(least, most) => format!("{least} to {most}"),
        }
    }
}

/// A figure and its aim. A missed aim does not make the run fail.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) wanted: Bound,
    pub(crate) found: f64,
    pub(crate) met: bool,
}

/// A figure without an aim.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Fact {
    pub(crate) scenario: String,
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
}

/// The memory of a program over time.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Series {
    pub(crate) name: String,
    /// Seconds since the start, and MiB.
    pub(crate) points: Vec<(f64, f64)>,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: String,
    pub(crate) rows: Vec<Row>,
    pub(crate) targets: Vec<Target>,
    pub(crate) facts: Vec<Fact>,
    pub(crate) memory: Vec<Series>,
    /// Scenarios that failed: in the audit, or because a program failed.
    pub(crate) failures: Vec<String>,
    pub(crate) skipped: Vec<String>,
}

impl Report {
    /// Records a figure with its aim.
    pub(crate) fn target(&mut self, name: impl Into<String>, wanted: Bound, found: f64) {
        let target = Target {
            name: name.into(),
            wanted,
            found,
            met: wanted.is_met(found),
        };
        eprintln!("    {}: {found:.3}, wanted {}", target.name, wanted.text());
        self.targets.push(target);
    }

    /// Records a figure without an aim.
    pub(crate) fn fact(
        &mut self,
        scenario: &str,
        name: impl Into<String>,
        value: f64,
        unit: &'static str,
    ) {
        let fact = Fact {
            scenario: scenario.to_owned(),
            name: name.into(),
            value,
            unit,
        };
        eprintln!("    {}: {value:.3} {unit}", fact.name);
        self.facts.push(fact);
    }

    /// The rate of the faster row lock of this run, in holds per second.
    pub(crate) fn row_lock(&self) -> Option<f64> {
        let rows = self
            .rows
            .iter()
            .filter(|row| row.scenario.starts_with("row lock"));
        rows.map(|row| row.a_second).reduce(f64::max)
    }

    /// Compares all rows with the row lock. Called at the end, because scenarios may run before the row lock.
    pub(crate) fn compare(&mut self) {
        let Some(row_lock) = self.row_lock() else {
            return;
        };
        for row in &mut self.rows {
            row.of_row_lock = Some(row.a_second / row_lock);
        }
        let hot = |row: &&Row| row.scenario == HOT_PRODUCT && row.connections == 256;
        if let Some(ratio) = self.rows.iter().find(hot).and_then(|row| row.of_row_lock) {
            self.target(
                "holds, 256 connections: times the faster row lock",
                Bound::AtLeast(30.0),
                ratio,
            );
        }
    }

    /// Writes `report.json`.
    pub(crate) fn write(&self, directory: &Path) -> anyhow::Result<()> {
        let path = directory.join("report.json");
        let text = serde_json::to_string_pretty(self)?;
        std::fs::write(&path, text).with_context(|| format!("can't write {}", path.display()))
    }

    /// Prints the tables.
    pub(crate) fn print(&self) {
        println!("{}", self.rows_table());
        if !self.facts.is_empty() {
            let facts = self.facts.iter().map(|fact| {
                [
                    fact.scenario.clone(),
                    fact.name.clone(),
                    format!("{:.2} {}", fact.value, fact.unit),
                ]
            });
            println!("{}", table(&["scenario", "seen", "value"], facts));
        }
        if !self.targets.is_empty() {
            let targets = self.targets.iter().map(|target| {
                let met = if target.met { "met" } else { "not met" };
                [
                    target.name.clone(),
                    target.wanted.text(),
                    format!("{:.2}", target.found),
                    met.to_owned(),
                ]
            });
            println!("{}", table(&["target", "wanted", "found", ""], targets));
        }
        self.skipped
            .iter()
            .for_each(|skipped| println!("skipped: {skipped}"));
        self.failures
            .iter()
            .for_each(|failure| println!("FAILED: {failure}"));
    }

    fn rows_table(&self) -> Table {
        let ratio =
            |ratio: Option<f64>| ratio.map_or_else(String::new, |ratio| format!("{ratio:.3}"));
        let rows = self.rows.iter().map(|row| {
            let Latency { p50, p99, p999, .. } = row.latency_ms;
            let offered = row
                .offered
                .map_or_else(String::new, |offered| format!("{offered:.0}"));
            let times = row
                .of_row_lock
                .map_or_else(String::new, |times| format!("{times:.1}"));
            let cpu = format!("{:.1}", row.cpu_us.served());
            let (rate, failed) = (
                format!("{:.0}", row.a_second),
                (row.failed + row.unsent).to_string(),
            );
            let millis = [p50, p99, p999].map(|millis| format!("{millis:.2}"));
            let [p50, p99, p999] = millis;
            let connections = row.connections.to_string();
            [
                row.scenario.clone(),
                connections,
                offered,
                rate,
                ratio(row.of_bare),
                times,
                p50,
                p99,
                p999,
                cpu,
                failed,
            ]
        });
        let head = [
            "scenario",
            "connections",
            "offered/s",
            "a second",
            "of bare",
            "× row lock",
            "p50 ms",
            "p99 ms",
            "p99.9 ms",
            "CPU µs",
            "failed or unsent",
        ];
        table(&head, rows)
    }
}

fn table<const N: usize>(head: &[&str; N], rows: impl Iterator<Item = [String; N]>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(head);
    rows.for_each(|row| _ = table.add_row(row));
    table
        .column_iter_mut()
        .skip(1)
        .for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}
