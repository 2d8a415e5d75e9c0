//! The exit code of a command, for scripts.

use std::process::ExitCode;

use holdfast_common::shutdown;

/// The result of a command that did its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Ok,
    /// The command found something that an operator must act on.
    NeedsAction,
}

impl Verdict {
    pub(crate) fn needs_action_if(found: bool) -> Self {
        if found { Self::NeedsAction } else { Self::Ok }
    }
}

/// The end of each command's `--help`.
pub(crate) const HELP: &str = "Exit codes: 0 all is in order; 1 the output shows something that needs action; \
                               2 the command failed (wrong usage, Postgres or NATS unreachable, no worker running).";

/// Prints an error on standard error, and returns the exit code.
pub(crate) fn code(result: anyhow::Result<Verdict>) -> ExitCode {
    match result {
        Ok(Verdict::Ok) => ExitCode::SUCCESS,
        Ok(Verdict::NeedsAction) => ExitCode::from(1),
        Err(error) => {
            shutdown::print_error(&error);
            ExitCode::from(2)
        }
    }
}
