//! Seals all stored values by the first key of the ring: when encryption is turned on, and after a rotation of keys.
//!
//! When encryption is turned on, no worker without keys may run, since it would write plain text. Programs with keys start
//! only when everything is sealed. After a rotation, sealing runs while workers run. Each step is a transaction of its own,
//! and skips values that are sealed already. So an interrupted run can simply be started again.

use holdfast_common::command::IdempotencyKey;
use holdfast_common::encryption::check::{self, CheckError};
use holdfast_common::encryption::{Keyring, SealError};
use holdfast_common::id::SLOTS;
use holdfast_common::messages::envelope::{decode_command, is_sealed_command, seal_command};
use holdfast_common::messages::wire::DecodeError;
use holdfast_common::outcome::Outcome;
use serde::Serialize;
use sqlx::PgPool;
use uuid::Uuid;

use crate::store::encryption;
use crate::store::reencrypt::{self, COLUMNS, ResealedText, SealedColumn, StoredKey, StoredText};

/// Passes over all tables while rows are skipped.
const PASSES_MAX: usize = 5;
/// The tables of a pass: [`COLUMNS`], outcomes, dead letters, idempotency keys.
const TABLES: u64 = COLUMNS.len() as u64 + 3;
/// The steps of a pass, for a progress bar: one for each slot of each table.
pub const PROGRESS_MAX: u64 = TABLES * SLOTS as u64;

/// The result, as numbers of values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SealingResult {
    /// Customer and payment ids of holds, orders and payments.
    pub texts: u64,
    /// Outcomes that contain such ids.
    pub outcomes: u64,
    /// Dead letters, whose commands may contain such ids.
    pub dead_letters: u64,
    /// Idempotency keys.
    pub keys: u64,
    /// Rows that changed or were locked meanwhile, so that they are not sealed yet.
    pub passed_over: u64,
    /// Keys that can be removed: nothing is sealed by them any more.
    pub not_needed: Vec<String>,
    /// Keys other than the first that are still needed: running workers seal by them.
    pub still_needed: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum SealingError {
    #[error("ENCRYPTION_KEYS is not set. Set it to the keys to seal by")]
    NoKeys,
    #[error(
        "{} runs without ENCRYPTION_KEYS and would write plain text. Stop the workers and the ingresses, run this command \
         again, and start them with ENCRYPTION_KEYS. A worker that was killed counts as running for 15 seconds",
        .owners.join(" and ")
    )]
    PlainWorkers { owners: Vec<String> },
    #[error(transparent)]
    Check(#[from] CheckError),
    #[error("a stored value can't be opened or sealed: {0}")]
    Seal(#[from] SealError),
    #[error("dead letter {id} can't be sealed: {error}. Drop it, or use the version that wrote it")]
    Letter { id: i64, error: DecodeError },
    #[error("the outcome of request {id} can't be read: {error}")]
    Outcome { id: Uuid, error: serde_json::Error },
    #[error("Postgres: {0}")]
    Postgres(#[from] sqlx::Error),
}

/// Seals everything. Calls `progress` with the number of steps done, of [`PROGRESS_MAX`].
///
/// # Errors
/// When the keys are not the database's, workers run without keys, a value can't be opened, or Postgres fails. Values that
/// were sealed before stay sealed.
pub async fn seal(
    pool: &PgPool,
    keys: &Keyring,
    progress: impl Fn(u64),
) -> Result<SealingResult, SealingError> {
    if !keys.is_on() {
        return Err(SealingError::NoKeys);
    }
    let is_begun = is_whole(pool, keys).await?;
    if is_begun.is_none() {
        // Before `begin`: workers that run without keys would read its record, and end.
        refuse_plain(encryption::workers(pool).await?)?;
        encryption::begin(pool, keys).await?;
    }
    let is_whole = is_whole(pool, keys).await?.unwrap_or_default();
    let recorded = check::stored_keys(pool, keys).await?;
    encryption::add_key(pool, keys).await?;
    let workers = encryption::workers(pool).await?;
    if !is_whole {
        refuse_plain(workers.clone())?;
        encryption::take_all_partitions(pool).await?;
    }
    let mut pass = SealingPass {
        pool,
        keys,
        sealed: SealingResult::default(),
        table: 0,
        progress: &progress,
    };
    for _ in 0..PASSES_MAX {
        (pass.table, pass.sealed.passed_over) = (0, 0);
        pass.run(is_whole).await?;
        if pass.sealed.passed_over == 0 {
            break;
        }
    }
    let mut sealed = pass.sealed;
    if sealed.passed_over > 0 {
        return Ok(sealed);
    }
    encryption::end(pool).await?;
    let sealed_by =
        |workers: Vec<(String, Option<String>)>| workers.into_iter().filter_map(|(_, key)| key);
    // A worker with another first key may have written values during this run, before or after a pass read them.
    let in_use: Vec<String> = sealed_by(workers)
        .chain(sealed_by(encryption::workers(pool).await?))
        .collect();
    let others = recorded
        .into_iter()
        .filter(|name| Some(name.as_str()) != keys.first());
    (sealed.still_needed, sealed.not_needed) = others.partition(|name| in_use.contains(name));
    encryption::remove_keys(pool, &sealed.not_needed).await?;
    Ok(sealed)
}

/// Whether everything in the database is sealed, by this index key. `None` when sealing has not begun.
async fn is_whole(pool: &PgPool, keys: &Keyring) -> Result<Option<bool>, SealingError> {
    match check::encryption_state(pool).await? {
        None => Ok(None),
        Some(sealed) if Some(&sealed.index_check) == keys.index_check().as_ref() => {
            Ok(Some(sealed.is_whole))
        }
        Some(_) => Err(CheckError::WrongIndexKey.into()),
    }
}

/// Refuses to run while workers without keys run.
fn refuse_plain(workers: Vec<(String, Option<String>)>) -> Result<(), SealingError> {
    let owners: Vec<String> = workers
        .into_iter()
        .filter(|(_, key)| key.is_none())
        .map(|(owner, _)| owner)
        .collect();
    if owners.is_empty() {
        Ok(())
    } else {
        Err(SealingError::PlainWorkers { owners })
    }
}

/// One pass over all tables.
struct SealingPass<'p, F> {
    pool: &'p PgPool,
    keys: &'p Keyring,
    sealed: SealingResult,
    table: u64,
    progress: &'p F,
}

impl<F: Fn(u64)> SealingPass<'_, F> {
    async fn run(&mut self, is_whole: bool) -> Result<(), SealingError> {
        for column in &COLUMNS {
            self.texts(column).await?;
            self.table += 1;
        }
        self.outcomes().await?;
        self.table += 1;
        self.letters().await?;
        self.table += 1;
        // The hashes of keys come from the index key, which never changes.
        if !is_whole {
            self.keys().await?;
        }
        (self.progress)(PROGRESS_MAX);
        Ok(())
    }

    fn report(&self, slot: i16) {
        (self.progress)(self.table * u64::from(SLOTS) + u64::from(slot.unsigned_abs()));
    }

    /// Counts the rows of a step that were not written as skipped, and returns the others.
    fn count(&mut self, rows: usize, written: u64) -> u64 {
        self.sealed.passed_over += (rows as u64).saturating_sub(written);
        written
    }

    async fn texts(&mut self, column: &SealedColumn) -> Result<(), SealingError> {
        let mut after = StoredText::first();
        loop {
            let page = reencrypt::texts(self.pool, column, &after).await?;
            let Some(last) = page.last().cloned() else {
                return Ok(());
            };
            let changes = page
                .into_iter()
                .filter_map(|row| reseal(self.keys, column, row).transpose());
            let changes = changes.collect::<Result<Vec<_>, _>>()?;
            if !changes.is_empty() {
                let written = reencrypt::reseal_texts(self.pool, column, &changes).await?;
                self.sealed.texts += self.count(changes.len(), written);
            }
            self.report(last.slot);
            after = last;
        }
    }

    async fn outcomes(&mut self) -> Result<(), SealingError> {
        let mut after = (-1, Uuid::nil());
        loop {
            let page = reencrypt::outcomes(self.pool, after).await?;
            let Some((slot, id, _)) = page.last() else {
                return Ok(());
            };
            after = (*slot, *id);
            let mut changes = Vec::new();
            for (slot, id, text) in page.into_iter().filter(|(.., text)| may_have_ids(text)) {
                let unreadable = |error| SealingError::Outcome { id, error };
                let outcome: Outcome = serde_json::from_str(&text).map_err(unreadable)?;
                if !self.keys.has_sealed_outcome(&outcome) {
                    let opened = self.keys.open_outcome(outcome)?;
                    let sealed = serde_json::to_string(&self.keys.seal_outcome(&opened))
                        .map_err(unreadable)?;
                    changes.push((slot, id, text, sealed));
                }
            }
            if !changes.is_empty() {
                let written = reencrypt::reseal_outcomes(self.pool, &changes).await?;
                self.sealed.outcomes += self.count(changes.len(), written);
            }
            self.report(after.0);
        }
    }

    async fn letters(&mut self) -> Result<(), SealingError> {
        let mut after = (-1, 0);
        loop {
            let page = reencrypt::letters(self.pool, after).await?;
            let Some((slot, id, _)) = page.last() else {
                return Ok(());
            };
            after = (*slot, *id);
            let mut changes = Vec::new();
            for (slot, id, command) in page {
                if !is_sealed_command(&command, self.keys) {
                    let read = decode_command(&command, self.keys);
                    let read = read.map_err(|error| SealingError::Letter { id, error })?;
                    changes.push((slot, id, seal_command(&read, self.keys)));
                }
            }
            if !changes.is_empty() {
                let written = reencrypt::reseal_letters(self.pool, &changes).await?;
                self.sealed.dead_letters += self.count(changes.len(), written);
            }
            self.report(after.0);
        }
    }

    async fn keys(&mut self) -> Result<(), SealingError> {
        let mut after = StoredKey::first();
        loop {
            let page = reencrypt::keys(self.pool, &after).await?;
            let Some(last) = page.last().cloned() else {
                return Ok(());
            };
            let blind = |key: StoredKey| {
                let blind = IdempotencyKey {
                    hash: key.key_hash,
                    fingerprint: key.fingerprint,
                };
                let blind = self.keys.blind(blind);
                (key, blind.hash, blind.fingerprint)
            };
            let changes: Vec<_> = page
                .into_iter()
                .filter(|key| !key.is_blind)
                .map(blind)
                .collect();
            if !changes.is_empty() {
                let written = reencrypt::blind_keys(self.pool, &changes).await?;
                self.sealed.keys += self.count(changes.len(), written);
            }
            self.report(last.slot);
            after = last;
        }
    }
}

/// The change of a row; `None` when it has no text, or is sealed by the first key.
fn reseal(
    keys: &Keyring,
    column: &SealedColumn,
    row: StoredText,
) -> Result<Option<ResealedText>, SealError> {
    let StoredText {
        slot,
        id,
        text: Some(text),
        sealed: was,
    } = row
    else {
        return Ok(None);
    };
    let plain = match &was {
        Some(sealed) if keys.has_sealed(sealed) => return Ok(None),
        Some(sealed) => keys.open_text(column.kind, id, sealed.clone())?,
        None => text.clone(),
    };
    let index = keys.index(column.kind, &plain).into_owned();
    let sealed = keys.seal_text(column.kind, id, &plain).unwrap_or_default();
    Ok(Some(ResealedText {
        slot,
        id,
        text,
        was,
        index,
        sealed,
    }))
}

/// Whether an outcome's JSON may have an id to seal. Most outcomes are refusals, and have none.
fn may_have_ids(outcome: &str) -> bool {
    outcome.contains("\"customer_id\"") || outcome.contains("\"payment_id\"")
}
