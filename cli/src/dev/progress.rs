//! The steps of a start: a spinner on a terminal, lines elsewhere.

use std::time::Duration;

use indicatif::ProgressBar;

const TICK: Duration = Duration::from_millis(100);

pub(super) struct Progress {
    spinner: ProgressBar,
}

impl Progress {
    pub(super) fn start() -> Self {
        let spinner = ProgressBar::new_spinner();
        spinner.enable_steady_tick(TICK);
        Self { spinner }
    }

    /// Shows the present step.
    pub(super) fn show(&self, step: &str) {
        if self.spinner.is_hidden() {
            eprintln!("{step}");
        } else {
            self.spinner.set_message(step.to_owned());
        }
    }

    /// Prints the line on standard output for which scripts wait.
    pub(super) fn ready(&self, url: &str) {
        self.spinner.finish_and_clear();
        println!("ready: {url}");
    }
}
