//! Why a batch was not applied, and whether its content is the reason.
//!
//! [`crate::apply::poison`] splits a batch that failed because of its content. Every other failure is retried after a
//! pause, with the same batch.

use crate::expiry::tickets::TicketError;

#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    #[error("Postgres: {0}")]
    Postgres(#[from] sqlx::Error),
    #[error("the expiry stream: {0}")]
    Ticket(#[from] TicketError),
    /// A bug in Holdfast, or a row that breaks an invariant.
    #[error("a panic: {0}")]
    Panicked(String),
    /// The tasks that apply groups have ended.
    #[error("the worker stops")]
    Stopped,
}

/// Classes of PostgreSQL error codes (appendix A of its manual) that statements and rows cause: unsupported feature,
/// cardinality, data, integrity, syntax, program limit, raised exception. All other classes are faults of the server or
/// of the connection.
const CONTENT_CLASSES: [&str; 7] = ["0A", "21", "22", "23", "42", "54", "P0"];

impl BatchError {
    /// Whether the batch's commands or the rows that they name caused the error. Then a retry of the same batch fails
    /// again. Otherwise a server is down, busy or restarting, and the batch can succeed later.
    #[must_use]
    pub fn is_from_content(&self) -> bool {
        match self {
            Self::Ticket(_) | Self::Stopped => false,
            Self::Panicked(_) => true,
            Self::Postgres(error) => is_from_content(error),
        }
    }

    /// The cause under which the metrics count the error. `None` for a stop, which is not a failure.
    pub(crate) fn cause(&self) -> Option<&'static str> {
        Some(match self {
            Self::Ticket(_) => "ticket",
            Self::Panicked(_) => "content",
            Self::Stopped => return None,
            Self::Postgres(error) => match error
                .as_database_error()
                .and_then(|error| error.code())
                .as_deref()
            {
                Some("40P01") => "deadlock",
                Some("40001") => "serialization",
                _ if is_from_content(error) => "content",
                _ => "postgres",
            },
        })
    }
}

fn is_from_content(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| CONTENT_CLASSES.contains(&code.get(..2).unwrap_or_default())),
        sqlx::Error::Decode(_)
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Encode(_)
        | sqlx::Error::RowNotFound
        | sqlx::Error::Protocol(_) => true,
        _ => false,
    }
}
