//! The supervisor: restarts processes that crash, and records a finding when a working process crashed.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;

/// Time between two checks of the processes.
const CHECK_EVERY: Duration = Duration::from_millis(200);

impl Cluster {
    /// Restarts crashed processes until `stop` is cancelled.
    pub async fn supervise(&self, stop: CancellationToken) {
        while stop
            .run_until_cancelled(tokio::time::sleep(CHECK_EVERY))
            .await
            .is_some()
        {
            for member in &self.members {
                let Some(mut process) = member.try_lock() else {
                    continue;
                };
                let Some((was_working, last_line)) = member.take_crash(&mut process) else {
                    continue;
                };
                self.record_event(format!("{} crashed: {last_line}", member.name));
                if was_working {
                    let finding = format!("{} crashed while it worked: {last_line}", member.name);
                    self.events().findings.push(finding);
                } else {
                    self.events().false_starts += 1;
                }
                if let Err(error) = member.start(&mut process).await {
                    self.events().findings.push(format!("{error:#}"));
                }
            }
        }
    }

    /// The lines about panics in the programs' logs.
    #[must_use]
    pub fn panics(&self) -> Vec<String> {
        let logs = std::fs::read_dir(&self.directory)
            .into_iter()
            .flatten()
            .flatten();
        let logs = logs.filter(|entry| {
            entry
                .path()
                .extension()
                .is_some_and(|extension| extension == "log")
        });
        let panics = logs.flat_map(|entry| {
            let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
            let name = entry.file_name().to_string_lossy().into_owned();
            let lines: Vec<_> = text
                .lines()
                .filter(|line| line.contains("panicked"))
                .map(str::to_owned)
                .collect();
            lines.into_iter().map(move |line| format!("{name}: {line}"))
        });
        panics.collect()
    }
}
