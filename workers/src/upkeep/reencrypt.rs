//! Sealing everything by the first key of the ring: the first time, and whenever the keys are rotated.
//!
//! The first time nothing may write plain text behind us, so no worker without keys may run; programs with keys start
//! only when all is sealed. Later it runs beside the workers. It goes through the tables in steps, each of which is
//! committed, and passes over what is sealed already: whoever is interrupted begins again and is soon there.

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
use crate::store::reencrypt::{self, COLUMNS, Column, Resealed, Stored, StoredKey};

/// How often everything is gone through, when rows were passed over.
const PASSES_MAX: usize = 5;
/// How many tables a pass goes through: [`COLUMNS`], outcomes, dead letters, idempotency keys.
const TABLES: u64 = COLUMNS.len() as u64 + 3;
/// How many steps a pass is shown as having: a table's rows lie in its slots.
pub const PROGRESS_MAX: u64 = TABLES * SLOTS as u64;

/// What was sealed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sealed {
    /// Customers and payments of holds, orders and payments.
    pub texts: u64,
    /// Outcomes that name any.
    pub outcomes: u64,
    /// Commands of dead letters.
    pub dead_letters: u64,
    /// Idempotency keys.
    pub keys: u64,
    /// Rows that somebody changed meanwhile, so that they are still to be sealed.
    pub passed_over: u64,
    /// Keys by which nothing is sealed any more.
    pub not_needed: Vec<String>,
    /// Keys by which something may be sealed, but for the first: workers that run have them first.
    pub still_needed: Vec<String>,
}

/// Why not everything is sealed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum SealingError {
    #[error("ENCRYPTION_KEYS is not set: there is nothing to seal by")]
    NoKeys,
    #[error(
        "{} runs without ENCRYPTION_KEYS and would write plain text: stop the workers and the ingresses, run this, and \
         start them with ENCRYPTION_KEYS. One that was killed is believed to run for 15 seconds more",
        .owners.join(" and ")
    )]
    PlainWorkers { owners: Vec<String> },
    #[error(transparent)]
    Check(#[from] CheckError),
    #[error("a value was not sealed anew: {0}")]
    Seal(#[from] SealError),
    #[error("dead letter {id} was not sealed: {error}. Drop it, or use the version that wrote it")]
    Letter { id: i64, error: DecodeError },
    #[error("the outcome of request {id} makes no sense: {error}")]
    Outcome { id: Uuid, error: serde_json::Error },
    #[error("Postgres: {0}")]
    Postgres(#[from] sqlx::Error),
}

/// Seals everything; tells how far it is, of [`PROGRESS_MAX`].
///
/// # Errors
/// When the keys are not the database's, workers run without keys, a value can't be opened, or Postgres fails. What was
/// sealed until then stays sealed.
pub async fn seal(
    pool: &PgPool,
    keys: &Keyring,
    progress: impl Fn(u64),
) -> Result<Sealed, SealingError> {
    if !keys.is_on() {
        return Err(SealingError::NoKeys);
    }
    let is_begun = is_whole(pool, keys).await?;
    if is_begun.is_none() {
        // Before anything says that the database is to be sealed: workers that run would heed it, and end.
        refuse_plain(encryption::workers(pool).await?)?;
        encryption::begin(pool, keys).await?;
    }
    let is_whole = is_whole(pool, keys).await?.unwrap_or_default();
    let known = check::known(pool, keys).await?;
    encryption::know(pool, keys).await?;
    let workers = encryption::workers(pool).await?;
    if !is_whole {
        refuse_plain(workers.clone())?;
        encryption::take_partitions_away(pool).await?;
    }
    let mut pass = Pass {
        pool,
        keys,
        sealed: Sealed::default(),
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
    // Whatever a worker that had another key first wrote meanwhile is sealed by that.
    let in_use: Vec<String> = sealed_by(workers)
        .chain(sealed_by(encryption::workers(pool).await?))
        .collect();
    let others = known
        .into_iter()
        .filter(|name| Some(name.as_str()) != keys.first());
    (sealed.still_needed, sealed.not_needed) = others.partition(|name| in_use.contains(name));
    encryption::forget(pool, &sealed.not_needed).await?;
    Ok(sealed)
}

/// Whether the database is sealed as a whole, by this index key; nothing when nobody has begun.
async fn is_whole(pool: &PgPool, keys: &Keyring) -> Result<Option<bool>, SealingError> {
    match check::sealed(pool).await? {
        None => Ok(None),
        Some(sealed) if Some(&sealed.index_check) == keys.index_check().as_ref() => {
            Ok(Some(sealed.is_whole))
        }
        Some(_) => Err(CheckError::WrongIndexKey.into()),
    }
}

/// Refuses to begin beside workers that would write plain text.
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

/// One time through everything.
struct Pass<'p, F> {
    pool: &'p PgPool,
    keys: &'p Keyring,
    sealed: Sealed,
    table: u64,
    progress: &'p F,
}

impl<F: Fn(u64)> Pass<'_, F> {
    async fn run(&mut self, is_whole: bool) -> Result<(), SealingError> {
        for column in &COLUMNS {
            self.texts(column).await?;
            self.table += 1;
        }
        self.outcomes().await?;
        self.table += 1;
        self.letters().await?;
        self.table += 1;
        // Their hashes come from the index key, which is never rotated.
        if !is_whole {
            self.keys().await?;
        }
        (self.progress)(PROGRESS_MAX);
        Ok(())
    }

    fn is_at(&self, slot: i16) {
        (self.progress)(self.table * u64::from(SLOTS) + u64::from(slot.unsigned_abs()));
    }

    /// Counts what was to be written as passed over, but for what was written.
    fn count(&mut self, asked: usize, written: u64) -> u64 {
        self.sealed.passed_over += (asked as u64).saturating_sub(written);
        written
    }

    async fn texts(&mut self, column: &Column) -> Result<(), SealingError> {
        let mut after = Stored::first();
        loop {
            let page = reencrypt::texts(self.pool, column, &after).await?;
            let Some(last) = page.last().cloned() else {
                return Ok(());
            };
            let anew = page
                .into_iter()
                .filter_map(|row| resealed(self.keys, column, row).transpose());
            let anew = anew.collect::<Result<Vec<_>, _>>()?;
            if !anew.is_empty() {
                let written = reencrypt::reseal_texts(self.pool, column, &anew).await?;
                self.sealed.texts += self.count(anew.len(), written);
            }
            self.is_at(last.slot);
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
            let mut anew = Vec::new();
            for (slot, id, text) in page.into_iter().filter(|(.., text)| may_name_anybody(text)) {
                let wrong = |error| SealingError::Outcome { id, error };
                let outcome: Outcome = serde_json::from_str(&text).map_err(wrong)?;
                if !self.keys.has_sealed_outcome(&outcome) {
                    let opened = self.keys.open_outcome(outcome)?;
                    let sealed =
                        serde_json::to_string(&self.keys.seal_outcome(&opened)).map_err(wrong)?;
                    anew.push((slot, id, text, sealed));
                }
            }
            if !anew.is_empty() {
                let written = reencrypt::reseal_outcomes(self.pool, &anew).await?;
                self.sealed.outcomes += self.count(anew.len(), written);
            }
            self.is_at(after.0);
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
            let mut anew = Vec::new();
            for (slot, id, command) in page {
                if !is_sealed_command(&command, self.keys) {
                    let read = decode_command(&command, self.keys);
                    let read = read.map_err(|error| SealingError::Letter { id, error })?;
                    anew.push((slot, id, seal_command(&read, self.keys)));
                }
            }
            if !anew.is_empty() {
                let written = reencrypt::reseal_letters(self.pool, &anew).await?;
                self.sealed.dead_letters += self.count(anew.len(), written);
            }
            self.is_at(after.0);
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
            let anew: Vec<_> = page
                .into_iter()
                .filter(|key| !key.is_blind)
                .map(blind)
                .collect();
            if !anew.is_empty() {
                let written = reencrypt::blind_keys(self.pool, &anew).await?;
                self.sealed.keys += self.count(anew.len(), written);
            }
            self.is_at(last.slot);
            after = last;
        }
    }
}

/// A row as it is to be; nothing when it has no text, or is sealed by the first key.
fn resealed(keys: &Keyring, column: &Column, row: Stored) -> Result<Option<Resealed>, SealError> {
    let Stored {
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
    Ok(Some(Resealed {
        slot,
        id,
        text,
        was,
        index,
        sealed,
    }))
}

/// Whether an outcome as it is written may have a text to seal. Most are refusals, and have none.
fn may_name_anybody(outcome: &str) -> bool {
    outcome.contains("\"customer_id\"") || outcome.contains("\"payment_id\"")
}
