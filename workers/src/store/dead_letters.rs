//! Dead letters: commands that can't be applied, set aside so that their partition continues.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use holdfast_common::command::{Action, Command};
use holdfast_common::domain::{Decision, State};
use holdfast_common::encryption::Keyring;
use holdfast_common::messages::envelope::{decode_command, seal_command};
use holdfast_common::outcome::Outcome;
use holdfast_common::time::Timestamp;
use sqlx::PgConnection;
use sqlx::types::Json;

#[derive(Clone, Copy, Debug)]
pub struct DeadLetter<'a> {
    pub command: &'a Command,
    pub log_seq: u64,
    /// The error of the last try.
    pub error: &'a str,
    /// Tries of the command alone.
    pub tries: i32,
}

/// Writes a dead letter, and the outcome `Failed` for clients that poll for its command. When the command is the retry of
/// a dead letter, that letter gets the new error.
///
/// # Errors
/// When Postgres fails.
pub async fn write(
    connection: &mut PgConnection,
    keys: &Keyring,
    letter: &DeadLetter<'_>,
    now: Timestamp,
) -> sqlx::Result<()> {
    let (slot, now) = (letter.command.slot().as_i16(), DateTime::<Utc>::from(now));
    if let Action::SettleDeadLetter { id, .. } = letter.command.action {
        let again = "UPDATE dead_letters SET error = $3, tries = tries + $4, failed_at = $5
                     WHERE slot = $1 AND dead_letter_id = $2";
        let updated = sqlx::query(again)
            .bind(slot)
            .bind(id)
            .bind(letter.error)
            .bind(letter.tries)
            .bind(now)
            .execute(&mut *connection)
            .await?;
        if updated.rows_affected() != 1 {
            // No error: it would set this command aside again and again.
            tracing::warn!(
                dead_letter_id = id,
                error = letter.error,
                "the retry of a dead letter failed, and the dead letter was pruned before; the new error is not recorded"
            );
        }
    } else {
        insert(connection, keys, letter, now).await?;
    }
    if letter.command.action.is_internal() {
        return Ok(());
    }
    let failed = Decision {
        replayed: false,
        outcome: Outcome::Failed,
    };
    sqlx::query(
        "INSERT INTO outcomes (slot, request_id, replayed, outcome, created_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (slot, request_id) DO NOTHING",
    )
    .bind(slot)
    .bind(letter.command.request_id.uuid())
    .bind(failed.replayed)
    .bind(Json(&failed.outcome))
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

async fn insert(
    connection: &mut PgConnection,
    keys: &Keyring,
    letter: &DeadLetter<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    // The command may be read from the log again after a crash.
    sqlx::query(
        "INSERT INTO dead_letters (slot, request_id, log_seq, action, command, error, tries, failed_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (slot, request_id, log_seq) DO UPDATE
         SET error = excluded.error, tries = dead_letters.tries + excluded.tries, failed_at = excluded.failed_at",
    )
    .bind(letter.command.slot().as_i16())
    .bind(letter.command.request_id.uuid())
    .bind(letter.log_seq.cast_signed())
    .bind(letter.command.action.name())
    .bind(seal_command(letter.command, keys))
    .bind(letter.error)
    .bind(letter.tries)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

/// Loads the dead letters that commands settle, and returns the letters' own commands: the rows that those name have to be
/// loaded, too.
///
/// # Errors
/// When Postgres fails, or a letter's command can't be read.
pub async fn load<'c>(
    connection: &mut PgConnection,
    keys: &Keyring,
    commands: impl Iterator<Item = &'c Command>,
    state: &mut State,
) -> sqlx::Result<Vec<Command>> {
    let named = commands.filter_map(|command| match command.action {
        Action::SettleDeadLetter { id, .. } => Some((command.slot(), id)),
        _ => None,
    });
    let named: BTreeSet<_> = named.collect();
    if named.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as(
        "SELECT dead_letter_id, command
         FROM UNNEST($1::smallint[], $2::bigint[]) AS named (slot, dead_letter_id)
         JOIN dead_letters USING (slot, dead_letter_id) WHERE settled_at IS NULL",
    )
    .bind(
        named
            .iter()
            .map(|(slot, _)| slot.as_i16())
            .collect::<Vec<_>>(),
    )
    .bind(named.iter().map(|(_, id)| *id).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let mut commands = Vec::with_capacity(rows.len());
    for (id, command) in rows {
        let command =
            decode_command(&command, keys).map_err(|error| sqlx::Error::Decode(error.into()))?;
        state.load_dead_letter(id, command.clone());
        commands.push(command);
    }
    Ok(commands)
}
