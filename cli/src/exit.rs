//! How a command ends, for scripts: 0 when all is as it should be, 1 when something was found that somebody has to see to,
//! 2 when the command could not do what it was asked.

use std::process::ExitCode;

/// What a command that did its work has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// All is as it should be.
    Nothing,
    /// Somebody has to see to something.
    Something,
}

impl Found {
    /// Something, if so.
    pub(crate) fn something_if(found: bool) -> Self {
        if found {
            Self::Something
        } else {
            Self::Nothing
        }
    }
}

/// What `--help` says of it.
pub(crate) const HELP: &str = "Exit codes: 0 all is as it should be; 1 something was found that somebody has to see to; \
                               2 the command could not do what it was asked (usage, Postgres or NATS away, no worker).";

/// The code of how a command ended. An error is told on standard error.
pub(crate) fn code(ended: anyhow::Result<Found>) -> ExitCode {
    match ended {
        Ok(Found::Nothing) => ExitCode::SUCCESS,
        Ok(Found::Something) => ExitCode::from(1),
        Err(error) => {
            eprintln!("Error: {error:?}");
            ExitCode::from(2)
        }
    }
}
