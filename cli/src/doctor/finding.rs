//! A finding: the result of one check, and what to do about it.

use std::fmt;

use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Level {
    Ok,
    /// The sale works, but something could be better or could not be checked.
    Warning,
    /// The sale stops, or a guarantee does not hold.
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

/// The result of one check.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) level: Level,
    pub(super) found: String,
    /// What to do. Empty when `level` is `Ok`.
    pub(super) advice: String,
}

impl Finding {
    pub(super) fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self {
            check,
            level: Level::Ok,
            found: found.into(),
            advice: String::new(),
        }
    }

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

    /// Turns an error into a problem. The error's text is the advice, because such errors say what to do.
    pub(super) fn from_result<E: fmt::Display>(
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
