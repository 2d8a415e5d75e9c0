//! Commands that could not be applied, for operators.

use chrono::{DateTime, Utc};
use holdfast_common::command::Command;
use holdfast_common::encryption::Keyring;
use holdfast_common::id::{RequestId, Slot};
use holdfast_common::messages::envelope::decode_command;
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

/// A dead letter as an operator looks at it.
#[derive(Clone, Debug, FromRow)]
pub struct ListedLetter {
    /// Its number.
    pub dead_letter_id: i64,
    /// The request that could not be applied.
    pub request_id: Uuid,
    /// Where it stood in the log.
    pub log_seq: i64,
    /// What it asked for.
    pub action: String,
    /// Why it could not be applied.
    pub error: String,
    /// How often it was tried alone.
    pub tries: i32,
    /// When it was tried last.
    pub failed_at: DateTime<Utc>,
    /// When it was settled.
    pub settled_at: Option<DateTime<Utc>>,
    /// Whether it was applied after all; otherwise it was dropped.
    pub is_applied: Option<bool>,
    command: Vec<u8>,
}

impl ListedLetter {
    /// Where its command belongs.
    #[must_use]
    pub fn slot(&self) -> Option<Slot> {
        RequestId::from_uuid(self.request_id)
            .ok()
            .map(RequestId::slot)
    }

    /// The command, when this build can read it with these keys.
    #[must_use]
    pub fn command(&self, keys: &Keyring) -> Option<Command> {
        decode_command(&self.command, keys).ok()
    }

    /// What became of it.
    #[must_use]
    pub fn status(&self) -> &'static str {
        match self.is_applied {
            None => "waiting",
            Some(true) => "retried",
            Some(false) => "dropped",
        }
    }
}

/// Dead letters after one, in order of their numbers; only those that wait, or all.
///
/// # Errors
/// When Postgres fails.
pub async fn list(
    pool: &PgPool,
    with_settled: bool,
    after: i64,
    limit: i64,
) -> sqlx::Result<Vec<ListedLetter>> {
    sqlx::query_as(
        "SELECT * FROM dead_letters WHERE ($1 OR settled_at IS NULL) AND dead_letter_id > $2
         ORDER BY dead_letter_id LIMIT $3",
    )
    .bind(with_settled)
    .bind(after)
    .bind(limit)
    .fetch_all(pool)
    .await
}

/// One dead letter.
///
/// # Errors
/// When Postgres fails.
pub async fn find(pool: &PgPool, id: i64) -> sqlx::Result<Option<ListedLetter>> {
    sqlx::query_as("SELECT * FROM dead_letters WHERE dead_letter_id = $1")
        .bind(id)
        .fetch_optional(pool)
        .await
}
