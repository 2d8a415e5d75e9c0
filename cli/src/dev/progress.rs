//! What somebody sees while `dev` starts: a spinner on a terminal, lines elsewhere.

use std::time::Duration;

use indicatif::ProgressBar;

const TURN: Duration = Duration::from_millis(100);

/// Shows what is going on.
pub(super) struct Progress {
    spinner: ProgressBar,
}

impl Progress {
    /// Begins to show.
    pub(super) fn start() -> Self {
        let spinner = ProgressBar::new_spinner();
        spinner.enable_steady_tick(TURN);
        Self { spinner }
    }

    /// Says what is being done.
    pub(super) fn say(&self, line: &str) {
        if self.spinner.is_hidden() {
            eprintln!("{line}");
        } else {
            self.spinner.set_message(line.to_owned());
        }
    }

    /// Says that all is up. Scripts wait for this line on standard output.
    pub(super) fn ready(&self, url: &str) {
        self.spinner.finish_and_clear();
        println!("ready: {url}");
    }
}
