//! The ingress's SQL: reads, as free functions. Nothing here writes business state.

pub mod audit;
pub mod dead_letters;
pub mod event_dead_letters;
pub mod overview;
pub mod payments;
pub mod stock;
pub mod waiting;

use chrono::{DateTime, Utc};
use holdfast_common::command::Endpoint;
use holdfast_common::domain::{Decision, Hold, Order, Product};
use holdfast_common::encryption::Keyring;
use holdfast_common::id::{HoldId, ProductId, RequestId, Slot};
use holdfast_common::outcome::{Outcome, ProductAsOf};
use holdfast_common::partition::Partition;
use holdfast_common::store::rows::{HoldRow, OrderRow, ProductRow};
use holdfast_common::time::Timestamp;
use holdfast_common::{hold_columns, order_columns, product_columns};
use sqlx::types::Json;
use sqlx::{FromRow, PgPool, Row};

/// A place in the log. Of two, the one in the younger stream is further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogPosition {
    /// When the stream was made.
    pub stream_created: Timestamp,
    /// The last log sequence whose effects are committed.
    pub applied_seq: u64,
}

impl Default for LogPosition {
    fn default() -> Self {
        Self {
            stream_created: Timestamp(i64::MIN),
            applied_seq: 0,
        }
    }
}

/// Every partition's position.
///
/// # Errors
/// When Postgres fails.
pub async fn positions(pool: &PgPool) -> sqlx::Result<Vec<(Partition, LogPosition)>> {
    let rows: Vec<(i16, DateTime<Utc>, i64)> =
        sqlx::query_as("SELECT partition, stream_created, applied_seq FROM partitions")
            .fetch_all(pool)
            .await?;
    let position = |(partition, created, applied): (i16, DateTime<Utc>, i64)| {
        let position = LogPosition {
            stream_created: created.into(),
            applied_seq: applied.cast_unsigned(),
        };
        (Partition(partition.cast_unsigned()), position)
    };
    Ok(rows.into_iter().map(position).collect())
}

/// A number for a new product.
///
/// # Errors
/// When Postgres fails.
pub async fn next_product_id(pool: &PgPool) -> sqlx::Result<ProductId> {
    sqlx::query_scalar("SELECT nextval('product_ids')")
        .fetch_one(pool)
        .await
        .map(ProductId)
}

fn product_as_of(row: &sqlx::postgres::PgRow) -> sqlx::Result<ProductAsOf> {
    let product = Product::try_from(ProductRow::from_row(row)?)?;
    let as_of: DateTime<Utc> = row.try_get("as_of")?;
    Ok(ProductAsOf {
        product,
        as_of: as_of.into(),
    })
}

/// A product as it is now.
///
/// # Errors
/// When Postgres fails, or the row makes no sense.
pub async fn product(pool: &PgPool, id: ProductId) -> sqlx::Result<Option<ProductAsOf>> {
    let row = sqlx::query(concat!(
        "SELECT ",
        product_columns!(),
        ", now() AS as_of FROM products WHERE slot = $1 AND product_id = $2"
    ))
    .bind(id.slot().as_i16())
    .bind(id.0)
    .fetch_optional(pool)
    .await?;
    row.as_ref().map(product_as_of).transpose()
}

/// The products after one, in order of their numbers.
///
/// # Errors
/// When Postgres fails, or a row makes no sense.
pub async fn products(
    pool: &PgPool,
    after: ProductId,
    limit: i64,
) -> sqlx::Result<Vec<ProductAsOf>> {
    let rows = sqlx::query(concat!(
        "SELECT ",
        product_columns!(),
        ", now() AS as_of
         FROM products WHERE product_id > $1 ORDER BY product_id LIMIT $2"
    ))
    .bind(after.0)
    .bind(limit)
    .fetch_all(pool)
    .await?;
    rows.iter().map(product_as_of).collect()
}

/// A hold, and the time by which to judge whether it is expired.
///
/// # Errors
/// When Postgres fails, or the row makes no sense.
pub async fn hold(
    pool: &PgPool,
    keys: &Keyring,
    id: HoldId,
) -> sqlx::Result<Option<(Hold, Timestamp)>> {
    let row = sqlx::query(concat!(
        "SELECT ",
        hold_columns!(),
        ", now() AS as_of FROM holds WHERE slot = $1 AND hold_id = $2"
    ))
    .bind(id.slot().as_i16())
    .bind(id.uuid())
    .fetch_optional(pool)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let as_of: DateTime<Utc> = row.try_get("as_of")?;
    Ok(Some((
        HoldRow::from_row(&row)?.opened(keys)?.try_into()?,
        as_of.into(),
    )))
}

/// Whether a hold has expired, by Postgres's clock.
///
/// # Errors
/// When Postgres fails.
pub async fn has_expired(pool: &PgPool, id: HoldId) -> sqlx::Result<bool> {
    let expired: Option<bool> = sqlx::query_scalar(
        "SELECT status = 'expired' OR status = 'active' AND expires_at <= now() FROM holds
         WHERE slot = $1 AND hold_id = $2",
    )
    .bind(id.slot().as_i16())
    .bind(id.uuid())
    .fetch_optional(pool)
    .await?;
    Ok(expired.unwrap_or(false))
}

/// An order.
///
/// # Errors
/// When Postgres fails, or the row makes no sense.
pub async fn order(pool: &PgPool, keys: &Keyring, id: HoldId) -> sqlx::Result<Option<Order>> {
    let row: Option<OrderRow> = sqlx::query_as(concat!(
        "SELECT ",
        order_columns!(),
        " FROM orders WHERE slot = $1 AND order_id = $2"
    ))
    .bind(id.slot().as_i16())
    .bind(id.uuid())
    .fetch_optional(pool)
    .await?;
    Ok(row
        .map(|row| row.opened(keys))
        .transpose()?
        .map(Order::try_from)
        .transpose()?)
}

/// The request that used a webhook's key first, and the hash of its body.
///
/// # Errors
/// When Postgres fails.
pub async fn webhook_key(
    pool: &PgPool,
    slot: Slot,
    hash: [u8; 16],
) -> sqlx::Result<Option<(RequestId, Vec<u8>)>> {
    let row: Option<(sqlx::types::Uuid, Vec<u8>)> = sqlx::query_as(
        "SELECT request_id, fingerprint FROM idempotency_keys
         WHERE slot = $1 AND endpoint = $2 AND key_hash = $3 AND product_id = 0",
    )
    .bind(slot.as_i16())
    .bind(Endpoint::SettlePayment as i16)
    .bind(hash.as_slice())
    .fetch_optional(pool)
    .await?;
    let Some((id, fingerprint)) = row else {
        return Ok(None);
    };
    let id = RequestId::from_uuid(id).map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(Some((id, fingerprint)))
}

/// What is known of a request: its outcome, if it has one, and how far its partition is applied. Both are of one
/// moment, so an outcome that is missing though its place has passed will never come.
///
/// # Errors
/// When Postgres fails, or a row makes no sense.
pub async fn request(
    pool: &PgPool,
    keys: &Keyring,
    id: RequestId,
    partition: Partition,
) -> sqlx::Result<(Option<Decision>, LogPosition)> {
    let row = sqlx::query(
        concat!("SELECT outcomes.outcome, outcomes.replayed, partitions.applied_seq, partitions.stream_created, ", hold_columns!(), "
         FROM (VALUES ($1::smallint, $2::uuid)) AS named (slot, id)
         LEFT JOIN outcomes ON outcomes.slot = named.slot AND outcomes.request_id = named.id
         LEFT JOIN holds ON holds.slot = named.slot AND holds.hold_id = named.id
         LEFT JOIN partitions ON partitions.partition = $3"),
    )
    .bind(id.slot().as_i16())
    .bind(id.uuid())
    .bind(partition.0.cast_signed())
    .fetch_one(pool)
    .await?;
    let applied_seq: Option<i64> = row.try_get("applied_seq")?;
    let stream_created: Option<DateTime<Utc>> = row.try_get("stream_created")?;
    let position = applied_seq
        .zip(stream_created)
        .map(|(applied_seq, created)| LogPosition {
            stream_created: created.into(),
            applied_seq: applied_seq.cast_unsigned(),
        });
    Ok((decision(&row, keys)?, position.unwrap_or_default()))
}

/// Those of some requests that have an outcome, with it.
///
/// # Errors
/// When Postgres fails, or a row makes no sense.
pub async fn decisions(
    pool: &PgPool,
    keys: &Keyring,
    ids: &[RequestId],
) -> sqlx::Result<Vec<(RequestId, Decision)>> {
    let rows = sqlx::query(concat!(
        "SELECT named.id, outcomes.outcome, outcomes.replayed, ",
        hold_columns!(),
        "
         FROM UNNEST($1::smallint[], $2::uuid[]) AS named (slot, id)
         LEFT JOIN outcomes ON outcomes.slot = named.slot AND outcomes.request_id = named.id
         LEFT JOIN holds ON holds.slot = named.slot AND holds.hold_id = named.id
         WHERE outcomes.request_id IS NOT NULL OR holds.hold_id IS NOT NULL"
    ))
    .bind(ids.iter().map(|id| id.slot().as_i16()).collect::<Vec<_>>())
    .bind(ids.iter().map(|id| id.uuid()).collect::<Vec<_>>())
    .fetch_all(pool)
    .await?;
    let mut decisions = Vec::with_capacity(rows.len());
    for row in rows {
        let id = RequestId::from_uuid(row.try_get("id")?)
            .map_err(|error| sqlx::Error::Decode(error.into()))?;
        decisions.extend(decision(&row, keys)?.map(|decision| (id, decision)));
    }
    Ok(decisions)
}

fn decision(row: &sqlx::postgres::PgRow, keys: &Keyring) -> sqlx::Result<Option<Decision>> {
    let told = match row.try_get::<Option<Json<Outcome>>, _>("outcome")? {
        Some(Json(outcome)) => Some(Decision {
            replayed: row.try_get("replayed")?,
            outcome: keys.open_outcome(outcome)?,
        }),
        None => None,
    };
    // A hold that failed at first may have been made by a retry.
    let is_final = told
        .as_ref()
        .is_some_and(|decision| decision.outcome != Outcome::Failed);
    if is_final {
        Ok(told)
    } else {
        Ok(made_hold(row, keys)?.or(told))
    }
}

/// A hold that was made is its own outcome.
fn made_hold(row: &sqlx::postgres::PgRow, keys: &Keyring) -> sqlx::Result<Option<Decision>> {
    if row
        .try_get::<Option<sqlx::types::Uuid>, _>("hold_id")?
        .is_none()
    {
        return Ok(None);
    }
    let hold = Hold::try_from(HoldRow::from_row(row)?.opened(keys)?)?;
    Ok(Some(Decision {
        replayed: false,
        outcome: Outcome::HoldCreated(hold.as_created()),
    }))
}
