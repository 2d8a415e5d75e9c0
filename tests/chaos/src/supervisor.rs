//! The operator's part: processes that end by themselves are started again, and what should not have ended is told.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;

/// How often the supervisor looks whether a process has ended.
const LOOK_EVERY: Duration = Duration::from_millis(200);

impl Cluster {
    /// Starts processes again that ended by themselves, until it is told to stop.
    pub async fn supervise(&self, stop: CancellationToken) {
        while stop
            .run_until_cancelled(tokio::time::sleep(LOOK_EVERY))
            .await
            .is_some()
        {
            for member in &self.members {
                let Some(mut life) = member.try_life() else {
                    continue;
                };
                let Some((was_at_work, last)) = member.fell(&mut life) else {
                    continue;
                };
                self.note(format!("{} ended by itself: {last}", member.name));
                if was_at_work {
                    let what = format!(
                        "{} ended by itself while it was at work: {last}",
                        member.name
                    );
                    self.events().findings.push(what);
                } else {
                    self.events().false_starts += 1;
                }
                if let Err(error) = member.start(&mut life).await {
                    self.events().findings.push(format!("{error:#}"));
                }
            }
        }
    }

    /// Every line of a program's log that tells of a panic.
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
