//! Reads and writes stored values to seal them by another key: a limited number of rows at a time, while workers run.
//!
//! A row is written only if it is still as it was read. A row that is locked is skipped: a statement that waited for a batch
//! would keep its other rows locked meanwhile. Skipped rows are for the next pass.

use holdfast_common::encryption::SealedKind;
use sqlx::{AssertSqlSafe, FromRow, PgPool};
use uuid::Uuid;

/// Rows that one statement reads, and the most that one writes.
const STEP_ROWS_MAX: i64 = 1000;

/// A column of texts that may be sealed.
#[derive(Debug)]
pub struct SealedColumn {
    table: &'static str,
    id: &'static str,
    /// The column by which rows are found. It has the text itself, or its blind index.
    text: &'static str,
    sealed: &'static str,
    /// Whether the text belongs to the primary key.
    is_key: bool,
    pub kind: SealedKind,
}

impl SealedColumn {
    const fn customers(table: &'static str, id: &'static str) -> Self {
        let (text, sealed) = ("customer_id", "customer_sealed");
        Self {
            table,
            id,
            text,
            sealed,
            is_key: false,
            kind: SealedKind::CustomerId,
        }
    }

    const fn payments(table: &'static str, is_key: bool) -> Self {
        let (text, sealed) = ("payment_id", "payment_sealed");
        Self {
            table,
            id: "order_id",
            text,
            sealed,
            is_key,
            kind: SealedKind::PaymentId,
        }
    }
}

/// All columns of texts that may be sealed.
pub const COLUMNS: [SealedColumn; 4] = [
    SealedColumn::customers("holds", "hold_id"),
    SealedColumn::customers("orders", "order_id"),
    SealedColumn::payments("orders", false),
    SealedColumn::payments("payments", true),
];

/// A text as it is stored.
#[derive(Clone, Debug, FromRow)]
pub struct StoredText {
    pub slot: i16,
    pub id: Uuid,
    pub text: Option<String>,
    pub sealed: Option<String>,
}

impl StoredText {
    /// A position before all rows.
    #[must_use]
    pub fn first() -> Self {
        Self {
            slot: -1,
            id: Uuid::nil(),
            text: None,
            sealed: None,
        }
    }
}

/// The change of one row.
#[derive(Clone, Debug)]
pub struct ResealedText {
    pub slot: i16,
    pub id: Uuid,
    /// The stored text or index, and the stored sealed text.
    pub text: String,
    pub was: Option<String>,
    /// Their new values.
    pub index: String,
    pub sealed: String,
}

/// The rows after a position, in the order of their keys.
///
/// # Errors
/// When Postgres fails.
pub async fn texts(
    pool: &PgPool,
    column: &SealedColumn,
    after: &StoredText,
) -> sqlx::Result<Vec<StoredText>> {
    let SealedColumn {
        table,
        id,
        text,
        sealed,
        is_key,
        ..
    } = column;
    let (key, position) = if *is_key {
        (format!("slot, {id}, {text}"), "$1, $2, $3")
    } else {
        (format!("slot, {id}"), "$1, $2")
    };
    let page = format!(
        "SELECT slot, {id} AS id, {text} AS text, {sealed} AS sealed FROM {table}
         WHERE ({key}) > ({position}) AND $3::text IS NOT NULL ORDER BY {key} LIMIT $4"
    );
    sqlx::query_as(AssertSqlSafe(page))
        .bind(after.slot)
        .bind(after.id)
        .bind(after.text.as_deref().unwrap_or_default())
        .bind(STEP_ROWS_MAX)
        .fetch_all(pool)
        .await
}

/// Writes texts. Returns their number.
///
/// # Errors
/// When Postgres fails.
pub async fn reseal_texts(
    pool: &PgPool,
    column: &SealedColumn,
    rows: &[ResealedText],
) -> sqlx::Result<u64> {
    let SealedColumn {
        table,
        id,
        text,
        sealed,
        ..
    } = column;
    let same =
        format!("{table}.slot = new.slot AND {table}.{id} = new.id AND {table}.{text} = new.text");
    let update = format!(
        "WITH new AS MATERIALIZED (
             SELECT * FROM UNNEST($1::smallint[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[])
                 AS new (slot, id, text, was, index, sealed)
         ), free AS MATERIALIZED (
             SELECT new.* FROM {table} JOIN new ON {same} AND {table}.{sealed} IS NOT DISTINCT FROM new.was
             FOR UPDATE OF {table} SKIP LOCKED
         )
         UPDATE {table} SET {text} = new.index, {sealed} = new.sealed FROM free AS new WHERE {same}"
    );
    let written = sqlx::query(AssertSqlSafe(update))
        .bind(rows.iter().map(|row| row.slot).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.id).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.text.as_str()).collect::<Vec<_>>())
        .bind(
            rows.iter()
                .map(|row| row.was.as_deref())
                .collect::<Vec<_>>(),
        )
        .bind(
            rows.iter()
                .map(|row| row.index.as_str())
                .collect::<Vec<_>>(),
        )
        .bind(
            rows.iter()
                .map(|row| row.sealed.as_str())
                .collect::<Vec<_>>(),
        )
        .execute(pool)
        .await?;
    Ok(written.rows_affected())
}

/// Outcomes after a position, as their stored JSON.
///
/// # Errors
/// When Postgres fails.
pub async fn outcomes(pool: &PgPool, after: (i16, Uuid)) -> sqlx::Result<Vec<(i16, Uuid, String)>> {
    sqlx::query_as(
        "SELECT slot, request_id, outcome::text FROM outcomes WHERE (slot, request_id) > ($1, $2)
         ORDER BY slot, request_id LIMIT $3",
    )
    .bind(after.0)
    .bind(after.1)
    .bind(STEP_ROWS_MAX)
    .fetch_all(pool)
    .await
}

/// Writes outcomes, each with its slot, its request, the stored JSON and the new JSON. Returns their number.
///
/// # Errors
/// When Postgres fails.
pub async fn reseal_outcomes(
    pool: &PgPool,
    rows: &[(i16, Uuid, String, String)],
) -> sqlx::Result<u64> {
    let written = sqlx::query(
        "WITH new AS MATERIALIZED (
             SELECT * FROM UNNEST($1::smallint[], $2::uuid[], $3::text[], $4::text[]) AS new (slot, id, was, sealed)
         ), free AS MATERIALIZED (
             SELECT new.* FROM outcomes JOIN new ON outcomes.slot = new.slot AND request_id = id AND outcome::text = was
             FOR UPDATE OF outcomes SKIP LOCKED
         )
         UPDATE outcomes SET outcome = sealed::json FROM free WHERE outcomes.slot = free.slot AND request_id = id",
    )
    .bind(rows.iter().map(|row| row.0).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.1).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.2.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.3.as_str()).collect::<Vec<_>>())
    .execute(pool)
    .await?;
    Ok(written.rows_affected())
}

/// Dead letters after a position: slot, id, command.
///
/// # Errors
/// When Postgres fails.
pub async fn letters(pool: &PgPool, after: (i16, i64)) -> sqlx::Result<Vec<(i16, i64, Vec<u8>)>> {
    sqlx::query_as(
        "SELECT slot, dead_letter_id, command FROM dead_letters WHERE (slot, dead_letter_id) > ($1, $2)
         ORDER BY slot, dead_letter_id LIMIT $3",
    )
    .bind(after.0)
    .bind(after.1)
    .bind(STEP_ROWS_MAX)
    .fetch_all(pool)
    .await
}

/// Writes dead letters' commands, which nothing else changes. Returns their number.
///
/// # Errors
/// When Postgres fails.
pub async fn reseal_letters(pool: &PgPool, rows: &[(i16, i64, Vec<u8>)]) -> sqlx::Result<u64> {
    let written = sqlx::query(
        "WITH new AS MATERIALIZED (
             SELECT * FROM UNNEST($1::smallint[], $2::bigint[], $3::bytea[]) AS new (slot, id, sealed)
         ), free AS MATERIALIZED (
             SELECT new.* FROM dead_letters JOIN new ON dead_letters.slot = new.slot AND dead_letter_id = id
             FOR UPDATE OF dead_letters SKIP LOCKED
         )
         UPDATE dead_letters SET command = sealed FROM free WHERE dead_letters.slot = free.slot AND dead_letter_id = id",
    )
    .bind(rows.iter().map(|row| row.0).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.1).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.2.as_slice()).collect::<Vec<_>>())
    .execute(pool)
    .await?;
    Ok(written.rows_affected())
}

/// An idempotency key as it is stored.
#[derive(Clone, Debug, FromRow)]
pub struct StoredKey {
    pub slot: i16,
    pub endpoint: i16,
    pub key_hash: [u8; 16],
    pub product_id: i64,
    pub fingerprint: [u8; 16],
    pub is_blind: bool,
}

impl StoredKey {
    /// A position before all keys.
    #[must_use]
    pub fn first() -> Self {
        Self {
            slot: -1,
            endpoint: 0,
            key_hash: [0; 16],
            product_id: 0,
            fingerprint: [0; 16],
            is_blind: true,
        }
    }
}

/// Idempotency keys after a position.
///
/// # Errors
/// When Postgres fails.
pub async fn keys(pool: &PgPool, after: &StoredKey) -> sqlx::Result<Vec<StoredKey>> {
    sqlx::query_as(
        "SELECT slot, endpoint, key_hash, product_id, fingerprint, is_blind FROM idempotency_keys
         WHERE (slot, endpoint, key_hash, product_id) > ($1, $2, $3, $4)
         ORDER BY slot, endpoint, key_hash, product_id LIMIT $5",
    )
    .bind(after.slot)
    .bind(after.endpoint)
    .bind(after.key_hash)
    .bind(after.product_id)
    .bind(STEP_ROWS_MAX)
    .fetch_all(pool)
    .await
}

/// Writes keys with their blind hashes and fingerprints. Returns their number.
///
/// # Errors
/// When Postgres fails.
pub async fn blind_keys(
    pool: &PgPool,
    rows: &[(StoredKey, [u8; 16], [u8; 16])],
) -> sqlx::Result<u64> {
    let written = sqlx::query(
        "WITH new AS MATERIALIZED (
             SELECT * FROM UNNEST($1::smallint[], $2::smallint[], $3::bytea[], $4::bigint[], $5::bytea[], $6::bytea[])
                 AS new (slot, endpoint, key_hash, product_id, hash, print)
         ), free AS MATERIALIZED (
             SELECT new.* FROM idempotency_keys JOIN new USING (slot, endpoint, key_hash, product_id) WHERE NOT is_blind
             FOR UPDATE OF idempotency_keys SKIP LOCKED
         )
         UPDATE idempotency_keys AS old SET key_hash = hash, fingerprint = print, is_blind = true FROM free
         WHERE old.slot = free.slot AND old.endpoint = free.endpoint AND old.key_hash = free.key_hash
             AND old.product_id = free.product_id",
    )
    .bind(rows.iter().map(|(key, ..)| key.slot).collect::<Vec<_>>())
    .bind(rows.iter().map(|(key, ..)| key.endpoint).collect::<Vec<_>>())
    .bind(rows.iter().map(|(key, ..)| key.key_hash.as_slice()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(key, ..)| key.product_id).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, hash, _)| hash.as_slice()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(.., print)| print.as_slice()).collect::<Vec<_>>())
    .execute(pool)
    .await?;
    Ok(written.rows_affected())
}
