//! Checks that a keyring belongs to a database. Every program runs the check before it starts.
//!
//! The database stores a checksum of the index key, the names and checksums of the keys that its values may be encrypted with,
//! and whether all values are encrypted. Only `holdfast keys rotate` writes them. A program with other keys would not find
//! the holds of a customer, or a payment that was stored before, so it must not start.

use sqlx::PgPool;

use crate::encryption::Keyring;

/// The keyring does not belong to the database. The message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    #[error(
        "ENCRYPTION_KEYS is set, but this database is not encrypted yet: run `holdfast keys rotate` with it first"
    )]
    NotSealed,
    #[error(
        "the customers and payments in this database are encrypted: set ENCRYPTION_KEYS and ENCRYPTION_INDEX_KEY to the \
         values of the other programs"
    )]
    NoKeys,
    #[error(
        "ENCRYPTION_INDEX_KEY is not the index key of this database: set it to the value of the other programs"
    )]
    WrongIndexKey,
    #[error(
        "the encryption of this database is not complete: run `holdfast keys rotate` until it reports that all values are encrypted"
    )]
    HalfSealed,
    #[error(
        "ENCRYPTION_KEYS lacks the key `{key}`, which values in this database may be encrypted with: add it, or run \
         `holdfast keys rotate` with it until that reports that the key is not needed"
    )]
    Lacks { key: String },
    #[error(
        "ENCRYPTION_KEYS has a different key with the name `{key}` than this database: add the key under that name"
    )]
    Differs { key: String },
    #[error(
        "this database does not have the first key of ENCRYPTION_KEYS, `{key}`, yet: run `holdfast keys rotate` with it"
    )]
    Unknown { key: String },
    #[error("Postgres failed while the keys were checked: {0}")]
    Postgres(#[from] sqlx::Error),
}

/// The row of table `encryption`.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct EncryptionState {
    /// Checksum of the index key.
    pub index_check: Vec<u8>,
    /// Whether all values are encrypted.
    pub is_whole: bool,
}

/// Checks that a program may use a database with these keys.
///
/// # Errors
/// When the keys do not belong to the database, or Postgres fails.
pub async fn check(pool: &PgPool, keys: &Keyring) -> Result<(), CheckError> {
    let (sealed, first) = match (encryption_state(pool).await?, keys.first()) {
        (None, None) => return Ok(()),
        (None, Some(_)) => return Err(CheckError::NotSealed),
        (Some(_), None) => return Err(CheckError::NoKeys),
        (Some(sealed), Some(first)) => (sealed, first),
    };
    if Some(sealed.index_check) != keys.index_check() {
        return Err(CheckError::WrongIndexKey);
    }
    let known = stored_keys(pool, keys).await?;
    if !sealed.is_whole {
        return Err(CheckError::HalfSealed);
    }
    match known.iter().any(|key| key == first) {
        true => Ok(()),
        false => Err(CheckError::Unknown {
            key: first.to_owned(),
        }),
    }
}

/// The row of table `encryption`; `None` when the database was never encrypted.
///
/// # Errors
/// When Postgres fails.
pub async fn encryption_state(pool: &PgPool) -> sqlx::Result<Option<EncryptionState>> {
    sqlx::query_as("SELECT index_check, is_whole FROM encryption")
        .fetch_optional(pool)
        .await
}

/// The names of the keys that values may be encrypted with.
///
/// # Errors
/// When the keyring lacks one of them, or has a different key with its name, or Postgres fails.
pub async fn stored_keys(pool: &PgPool, keys: &Keyring) -> Result<Vec<String>, CheckError> {
    let known: Vec<(String, Vec<u8>)> =
        sqlx::query_as("SELECT name, key_check FROM encryption_keys ORDER BY known_since, name")
            .fetch_all(pool)
            .await?;
    for (key, check) in &known {
        match keys.checks().find(|(name, _)| name == key) {
            None => return Err(CheckError::Lacks { key: key.clone() }),
            Some((_, ours)) if ours != check => {
                return Err(CheckError::Differs { key: key.clone() });
            }
            Some(_) => {}
        }
    }
    Ok(known.into_iter().map(|(name, _)| name).collect())
}
