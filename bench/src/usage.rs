//! CPU time and memory of processes, read from `/proc`.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

/// CPU time by program, in seconds, or per round in microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Cpu {
    pub(crate) ingress: f64,
    pub(crate) workers: f64,
    pub(crate) nats: f64,
    pub(crate) postgres: f64,
    pub(crate) generator: f64,
}

impl Cpu {
    /// CPU time used since `before`, in microseconds per round.
    pub(crate) fn micros_per_round(self, before: Self, generator: Duration, rounds: u64) -> Self {
        let each = |now: f64, before: f64| {
            if rounds == 0 {
                0.0
            } else {
                (now - before) * 1e6 / rounds as f64
            }
        };
        Self {
            ingress: each(self.ingress, before.ingress),
            workers: each(self.workers, before.workers),
            nats: each(self.nats, before.nats),
            postgres: each(self.postgres, before.postgres),
            generator: each(generator.as_secs_f64(), 0.0),
        }
    }

    /// The CPU time without the generator.
    pub(crate) fn served(self) -> f64 {
        self.ingress + self.workers + self.nats + self.postgres
    }
}

/// The process ids of a sale, by program.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pids {
    pub(crate) ingress: Vec<u32>,
    pub(crate) workers: Vec<u32>,
    pub(crate) nats: Vec<u32>,
    pub(crate) postgres: Vec<u32>,
}

impl Pids {
    /// CPU time that these processes and the children of Postgres have used so far.
    ///
    /// # Errors
    /// When `/proc` can't be read.
    pub(crate) fn cpu(&self) -> anyhow::Result<Cpu> {
        let all = processes()?;
        let own = |pids: &[u32]| {
            pids.iter()
                .filter_map(|pid| all.get(pid))
                .map(|process| process.own)
                .sum()
        };
        // The CPU time of an ended backend is part of its parent's `ended_children`.
        let of_postgres = |pid: &u32, process: &Process| {
            let is_child = self.postgres.contains(&process.parent);
            match self.postgres.contains(pid) {
                true => process.own + process.ended_children,
                false if is_child => process.own,
                false => 0.0,
            }
        };
        Ok(Cpu {
            ingress: own(&self.ingress),
            workers: own(&self.workers),
            nats: own(&self.nats),
            postgres: all
                .iter()
                .map(|(pid, process)| of_postgres(pid, process))
                .sum(),
            generator: 0.0,
        })
    }
}

struct Process {
    parent: u32,
    own: f64,
    ended_children: f64,
}

fn processes() -> anyhow::Result<HashMap<u32, Process>> {
    let ticks =
        nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)?.context("no CLK_TCK")? as f64;
    let mut processes = HashMap::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        // The process may have ended since `read_dir`.
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        if let Some(process) = parse(&stat, ticks) {
            processes.insert(pid, process);
        }
    }
    Ok(processes)
}

/// proc_pid_stat(5): after the name in parentheses come state, ppid, …, utime (14), stime, cutime, cstime.
fn parse(stat: &str, ticks: f64) -> Option<Process> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let seconds = |number: usize| {
        fields
            .get(number - 3)?
            .parse::<f64>()
            .ok()
            .map(|count| count / ticks)
    };
    Some(Process {
        parent: fields.get(1)?.parse().ok()?,
        own: seconds(14)? + seconds(15)?,
        ended_children: seconds(16)? + seconds(17)?,
    })
}

/// Resident memory of the largest of these processes, in MiB.
///
/// # Errors
/// When a process has ended.
pub(crate) fn resident_mib(pids: &[u32]) -> anyhow::Result<f64> {
    let mut largest = 0.0_f64;
    for pid in pids {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))
            .context("a process has ended")?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .context("no VmRSS")?;
        let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
        largest = largest.max(kib / 1024.0);
    }
    Ok(largest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_accepts_names_with_spaces_and_parentheses() {
        let stat = "7 (post (gres) x) S 3 7 7 0 -1 4194560 1 2 3 4 150 50 30 20 20 0 1 0 100 1 1";
        let process = parse(stat, 100.0).unwrap();
        assert_eq!(
            (process.parent, process.own, process.ended_children),
            (3, 2.0, 0.5)
        );
    }
}
