//! Whether a database and a ring of keys belong together, looked at by every program before it begins.
//!
//! A database says by which index key its rows are found, by which keys its values may be sealed, and whether all of them
//! are. Only `holdfast keys rotate` writes that. A program that began with other keys would not find a customer's limit
//! or a payment that it knows, so it must not begin.

use sqlx::PgPool;

use crate::encryption::Keyring;

/// Says why they don't belong together, and what to do.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum CheckError {
    #[error(
        "ENCRYPTION_KEYS is set, and nothing in this database is sealed yet: run `holdfast keys rotate` with it first"
    )]
    NotSealed,
    #[error(
        "the customers and payments in this database are sealed: set ENCRYPTION_KEYS and ENCRYPTION_INDEX_KEY as the \
         other programs have them"
    )]
    NoKeys,
    #[error(
        "ENCRYPTION_INDEX_KEY is not the key by which this database finds customers and payments: it never changes"
    )]
    WrongIndexKey,
    #[error(
        "sealing this database was begun and has not ended: run `holdfast keys rotate` until it says that all is sealed"
    )]
    HalfSealed,
    #[error(
        "ENCRYPTION_KEYS lacks the key `{key}`, by which values in this database may be sealed: add it, or run `holdfast \
         keys rotate` until it says that the key is not needed"
    )]
    Lacks { key: String },
    #[error(
        "ENCRYPTION_KEYS has another key by the name `{key}` than the one that sealed values in this database"
    )]
    Differs { key: String },
    #[error(
        "this database does not know the key `{key}` yet, which ENCRYPTION_KEYS has first: run `holdfast keys rotate` with it"
    )]
    Unknown { key: String },
    #[error("Postgres failed while the keys were checked: {0}")]
    Postgres(#[from] sqlx::Error),
}

/// What a database says about its keys.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Sealed {
    /// By what its index key is known.
    pub index_check: Vec<u8>,
    /// Whether everything is sealed.
    pub is_whole: bool,
}

/// Checks that a database may be used with these keys.
///
/// # Errors
/// When it may not, or Postgres fails.
pub async fn check(pool: &PgPool, keys: &Keyring) -> Result<(), CheckError> {
    let (sealed, first) = match (sealed(pool).await?, keys.first()) {
        (None, None) => return Ok(()),
        (None, Some(_)) => return Err(CheckError::NotSealed),
        (Some(_), None) => return Err(CheckError::NoKeys),
        (Some(sealed), Some(first)) => (sealed, first),
    };
    if Some(sealed.index_check) != keys.index_check() {
        return Err(CheckError::WrongIndexKey);
    }
    let known = known(pool, keys).await?;
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

/// What the database says; nothing when it was never sealed.
///
/// # Errors
/// When Postgres fails.
pub async fn sealed(pool: &PgPool) -> sqlx::Result<Option<Sealed>> {
    sqlx::query_as("SELECT index_check, is_whole FROM encryption")
        .fetch_optional(pool)
        .await
}

/// The names of the keys by which values may be sealed, each of which the ring has.
///
/// # Errors
/// When the ring lacks one or has another by its name, or Postgres fails.
pub async fn known(pool: &PgPool, keys: &Keyring) -> Result<Vec<String>, CheckError> {
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
