//! A run: where it takes place, what it was asked for, and what it has found so far.

use std::net::SocketAddr;
use std::time::Duration;

use crate::generator::{Load, Measured, Pace, Script, drive};
use crate::place::Place;
use crate::report::{Report, Row};
use crate::sale::Sale;
use crate::scripts::{Fixed, Holds};
use crate::usage::{Cpu, Pids};

/// How long bare HTTP is measured before each measurement that is compared with it.
const BARE: Duration = Duration::from_secs(3);
/// More than any measurement can sell.
pub(crate) const PLENTY: u64 = 900_000_000;

/// What was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// How many connections at once, one measurement each.
    pub(crate) connections: Vec<usize>,
    /// How long a measurement lasts.
    pub(crate) duration: Duration,
    /// How long memory is watched.
    pub(crate) memory: Duration,
}

/// A run.
pub(crate) struct Bench {
    pub(crate) place: Place,
    pub(crate) asked: Asked,
    pub(crate) report: Report,
}

/// A measurement that nothing has been said about yet.
pub(crate) struct Found<S> {
    pub(crate) measured: Measured,
    pub(crate) script: S,
    pub(crate) row: Row,
}

impl Bench {
    /// Drives a load at some processes, and says what it cost them.
    ///
    /// # Errors
    /// When they can't be reached, or answer no HTTP.
    pub(crate) async fn drive<S: Script>(
        &self,
        name: &str,
        pids: &Pids,
        load: Load,
        script: S,
    ) -> anyhow::Result<Found<S>> {
        let before = pids.cpu()?;
        let (measured, script) = drive(load, script).await?;
        let rounds = measured.done + measured.failed;
        let cpu = pids.cpu()?.micros_a_round(before, measured.cpu, rounds);
        let mut row = Row::new(name, load.connections, &measured, cpu);
        row.offered = match load.pace {
            Pace::Open(a_second) => Some(a_second),
            Pace::Closed => None,
        };
        Ok(Found {
            measured,
            script,
            row,
        })
    }

    /// Drives holds at a sale, has them audited, and compares them with bare HTTP; gives the figures that it reported.
    ///
    /// # Errors
    /// When the auditor finds something wrong.
    pub(crate) async fn holds(
        &mut self,
        name: &str,
        sale: &Sale,
        load: Load,
        product_ids: &[i64],
        script: Holds,
    ) -> anyhow::Result<Row> {
        let bare = self.bare(sale.address, load.connections).await?;
        let before = sale.holds(product_ids).await?;
        let found = self.drive(name, sale.pids(), load, script).await?;
        let (accepted, unknown) = (found.script.accepted, found.measured.failed);
        sale.audit(product_ids, before, accepted, unknown).await?;
        Ok(self.push(found.row, Some(bare)))
    }

    /// Bare HTTP a second: the same server's empty handler, on as many connections.
    ///
    /// # Errors
    /// When it does not answer.
    pub(crate) async fn bare(
        &self,
        address: SocketAddr,
        connections: usize,
    ) -> anyhow::Result<f64> {
        let load = Load {
            warm_up: BARE / 6,
            ..Load::closed(address, connections, BARE)
        };
        Ok(drive(load, Fixed::bare()).await?.0.a_second())
    }

    /// Takes a measurement that was audited into the report.
    pub(crate) fn push(&mut self, mut row: Row, bare: Option<f64>) -> Row {
        row.bare_a_second = bare;
        row.of_bare = bare.map(|bare| row.a_second / bare);
        say(&row);
        self.report.rows.push(row.clone());
        row
    }
}

/// Progress, for whoever waits.
fn say(row: &Row) {
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
