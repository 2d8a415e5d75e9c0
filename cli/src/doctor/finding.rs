//! What the doctor says: what was looked at, how it is, and what to do about it.

use std::fmt;

use serde::Serialize;

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// It will do; better is possible, or it could not be seen.
    Warning,
    /// It breaks a promise, or stops the sale.
    Problem,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem => "PROBLEM",
        })
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) level: Level,
    pub(super) found: String,
    /// What to do about it; empty when it is as it should be.
    pub(super) advice: String,
}

impl Finding {
    /// All is well.
    pub(super) fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self {
            check,
            level: Level::Ok,
            found: found.into(),
            advice: String::new(),
        }
    }

    /// It could be better.
    pub(super) fn warning(
        check: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            check,
            level: Level::Warning,
            found: found.into(),
            advice: advice.into(),
        }
    }

    /// It has to be seen to.
    pub(super) fn problem(
        check: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            check,
            level: Level::Problem,
            found: found.into(),
            advice: advice.into(),
        }
    }

    /// A problem unless all is well. An error's text says what to do itself.
    pub(super) fn of<E: fmt::Display>(
        check: &'static str,
        result: Result<String, E>,
        failed: &str,
    ) -> Self {
        match result {
            Ok(found) => Self::ok(check, found),
            Err(error) => Self::problem(check, failed, error.to_string()),
        }
    }
}
