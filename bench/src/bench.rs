//! A run of the bench: its environment, its options and its report.

use std::net::SocketAddr;
use std::time::Duration;

use crate::environment::Environment;
use crate::generator::{Load, LoadResult, Pace, Script, drive};
use crate::report::{Report, Row};
use crate::sale::Sale;
use crate::scripts::{FixedRequest, Holds};
use crate::usage::{Cpu, Pids};

/// Duration of the measurement of bare HTTP that precedes each measurement compared with it.
const BARE_DURATION: Duration = Duration::from_secs(3);
/// Stock that no measurement can sell out.
pub(crate) const PLENTY: u64 = 900_000_000;

/// The options of the command line.
#[derive(Clone, Debug)]
pub(crate) struct RunOptions {
    /// Numbers of connections, one measurement each.
    pub(crate) connections: Vec<usize>,
    /// Duration of a measurement.
    pub(crate) duration: Duration,
    /// Duration of the memory scenario.
    pub(crate) memory: Duration,
}

pub(crate) struct Bench {
    pub(crate) environment: Environment,
    pub(crate) options: RunOptions,
    pub(crate) report: Report,
}

/// A measurement that is not yet audited or reported.
pub(crate) struct Measurement<S> {
    pub(crate) result: LoadResult,
    pub(crate) script: S,
    pub(crate) row: Row,
}

impl Bench {
    /// Sends a load to a server, and measures the CPU time that these processes use meanwhile.
    ///
    /// # Errors
    /// When the server can't be reached, or its response is not HTTP.
    pub(crate) async fn drive<S: Script>(
        &self,
        name: &str,
        pids: &Pids,
        load: Load,
        script: S,
    ) -> anyhow::Result<Measurement<S>> {
        let before = pids.cpu()?;
        let (result, script) = drive(load, script).await?;
        let rounds = result.done + result.failed;
        let cpu = pids.cpu()?.micros_per_round(before, result.cpu, rounds);
        let mut row = Row::new(name, load.connections, &result, cpu);
        row.offered = match load.pace {
            Pace::Open(a_second) => Some(a_second),
            Pace::Closed => None,
        };
        Ok(Measurement {
            result,
            script,
            row,
        })
    }

    /// Measures bare HTTP, then holds; audits the holds and reports them. Returns the reported row.
    ///
    /// # Errors
    /// When the auditor finds something wrong.
    pub(crate) async fn measure_holds(
        &mut self,
        name: &str,
        sale: &Sale,
        load: Load,
        product_ids: &[i64],
        script: Holds,
    ) -> anyhow::Result<Row> {
        let bare = self.measure_bare(sale.address, load.connections).await?;
        let before = sale.count_holds(product_ids).await?;
        let measurement = self.drive(name, sale.pids(), load, script).await?;
        let (accepted, unknown) = (measurement.script.accepted, measurement.result.failed);
        sale.audit(product_ids, before, accepted, unknown).await?;
        Ok(self.push(measurement.row, Some(bare)))
    }

    /// Requests per second to the server's empty handler, on this number of connections.
    ///
    /// # Errors
    /// When the server does not respond.
    pub(crate) async fn measure_bare(
        &self,
        address: SocketAddr,
        connections: usize,
    ) -> anyhow::Result<f64> {
        let load = Load {
            warm_up: BARE_DURATION / 6,
            ..Load::closed(address, connections, BARE_DURATION)
        };
        Ok(drive(load, FixedRequest::bare()).await?.0.per_second())
    }

    /// Adds an audited measurement to the report.
    pub(crate) fn push(&mut self, mut row: Row, bare: Option<f64>) -> Row {
        row.bare_a_second = bare;
        row.of_bare = bare.map(|bare| row.a_second / bare);
        print_progress(&row);
        self.report.rows.push(row.clone());
        row
    }
}

fn print_progress(row: &Row) {
    let Row {
        scenario,
        connections,
        a_second,
        latency_ms,
        failed,
        of_bare,
        statuses,
        ..
    } = row;
    let Cpu {
        ingress,
        workers,
        nats,
        postgres,
        generator,
    } = row.cpu_us;
    let of_bare = of_bare.map_or_else(String::new, |of_bare| format!(", {of_bare:.3} of bare"));
    let failed = if *failed > 0 {
        format!("{failed} failed, of {statuses:?}")
    } else {
        "none failed".to_owned()
    };
    eprintln!(
        "    {scenario}, {connections} connections: {a_second:.0}/s{of_bare}, p50 {:.2} ms, p99 {:.2} ms, {failed}; \
         µs each: ingress {ingress:.1}, workers {workers:.1}, NATS {nats:.1}, Postgres {postgres:.1}, generator \
         {generator:.1}",
        latency_ms.p50, latency_ms.p99
    );
}
