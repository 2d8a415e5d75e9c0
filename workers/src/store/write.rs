//! The write step: a batch's changes, one statement a kind of row.
//!
//! Every statement says how many rows it touched, and a number other than expected fails the batch: it would mean that
//! somebody else changed a row of this partition.

mod orders;
mod payments;

use chrono::{DateTime, Utc};
use holdfast_common::domain::{Changes, Decision, Hold, HoldState, KeyScope, KeyUse, Product};
use holdfast_common::id::RequestId;
use holdfast_common::rows::hold_status;
use holdfast_common::time::Timestamp;
use sqlx::PgConnection;
use sqlx::postgres::PgQueryResult;

use super::dead_letters;

/// Writes a batch's changes, made at `now`.
///
/// # Errors
/// When Postgres fails, a constraint is broken, or a row that should be there is not.
pub async fn changes(connection: &mut PgConnection, changes: &Changes, now: Timestamp) -> sqlx::Result<()> {
    let now = DateTime::from(now);
    insert_products(connection, &changes.new_products, now).await?;
    insert_holds(connection, &changes.new_holds).await?;
    update_holds(connection, &changes.changed_holds).await?;
    orders::insert(connection, &changes.new_orders).await?;
    orders::update(connection, &changes.changed_orders).await?;
    payments::insert(connection, &changes.new_payments).await?;
    payments::update(connection, &changes.changed_payments).await?;
    insert_outcomes(connection, &changes.decisions, now).await?;
    insert_keys(connection, &changes.keys).await?;
    dead_letters::settle(connection, &changes.settled_letters, now).await?;
    update_products(connection, &changes.changed_products, now).await
}

/// One column of many rows, as Postgres's UNNEST wants it.
fn column<'r, R, C>(rows: &'r [R], value: impl Fn(&'r R) -> C) -> Vec<C> {
    rows.iter().map(value).collect()
}

pub(super) fn expect_rows(result: &PgQueryResult, rows: usize, table: &'static str) -> sqlx::Result<()> {
    if result.rows_affected() == rows as u64 {
        return Ok(());
    }
    let message = format!("{table}: {} of {rows} rows written", result.rows_affected());
    Err(sqlx::Error::Protocol(message))
}

async fn insert_products(connection: &mut PgConnection, rows: &[Product], now: DateTime<Utc>) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let result = sqlx::query(
        "INSERT INTO products (slot, product_id, name, price_minor, currency, total_stock, available_stock, held_stock,
             sold_stock, holds_count, max_per_customer, sale_starts_at, sale_ends_at, hold_sequence, version, updated_at)
         SELECT *, $16 FROM UNNEST($1::smallint[], $2::bigint[], $3::text[], $4::bigint[], $5::text[], $6::bigint[],
             $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::integer[], $12::timestamptz[],
             $13::timestamptz[], $14::bigint[], $15::bigint[])",
    )
    .bind(column(rows, |product| product.id.slot().as_i16()))
    .bind(column(rows, |product| product.id.0))
    .bind(column(rows, |product| product.name.as_str()))
    .bind(column(rows, |product| product.price_minor))
    .bind(column(rows, |product| product.currency.code()))
    .bind(column(rows, |product| product.stock.total()))
    .bind(column(rows, |product| product.stock.available()))
    .bind(column(rows, |product| product.stock.held()))
    .bind(column(rows, |product| product.stock.sold()))
    .bind(column(rows, |product| product.holds_count))
    .bind(column(rows, |product| product.max_per_customer.map(u32::cast_signed)))
    .bind(column(rows, |product| product.sale_starts_at.map(DateTime::from)))
    .bind(column(rows, |product| product.sale_ends_at.map(DateTime::from)))
    .bind(column(rows, |product| product.hold_sequence))
    .bind(column(rows, |product| product.version))
    .bind(now)
    .execute(connection)
    .await?;
    expect_rows(&result, rows.len(), "products")
}

async fn update_products(connection: &mut PgConnection, rows: &[Product], now: DateTime<Utc>) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let result = sqlx::query(
        "UPDATE products SET name = new.name, price_minor = new.price_minor, currency = new.currency,
             total_stock = new.total_stock, available_stock = new.available_stock, held_stock = new.held_stock,
             sold_stock = new.sold_stock, holds_count = new.holds_count, max_per_customer = new.max_per_customer,
             sale_starts_at = new.sale_starts_at, sale_ends_at = new.sale_ends_at, hold_sequence = new.hold_sequence,
             version = new.version, updated_at = $16
         FROM UNNEST($1::smallint[], $2::bigint[], $3::text[], $4::bigint[], $5::text[], $6::bigint[],
             $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::integer[], $12::timestamptz[],
             $13::timestamptz[], $14::bigint[], $15::bigint[])
             AS new (slot, product_id, name, price_minor, currency, total_stock, available_stock, held_stock, sold_stock,
                 holds_count, max_per_customer, sale_starts_at, sale_ends_at, hold_sequence, version)
         WHERE products.slot = new.slot AND products.product_id = new.product_id",
    )
    .bind(column(rows, |product| product.id.slot().as_i16()))
    .bind(column(rows, |product| product.id.0))
    .bind(column(rows, |product| product.name.as_str()))
    .bind(column(rows, |product| product.price_minor))
    .bind(column(rows, |product| product.currency.code()))
    .bind(column(rows, |product| product.stock.total()))
    .bind(column(rows, |product| product.stock.available()))
    .bind(column(rows, |product| product.stock.held()))
    .bind(column(rows, |product| product.stock.sold()))
    .bind(column(rows, |product| product.holds_count))
    .bind(column(rows, |product| product.max_per_customer.map(u32::cast_signed)))
    .bind(column(rows, |product| product.sale_starts_at.map(DateTime::from)))
    .bind(column(rows, |product| product.sale_ends_at.map(DateTime::from)))
    .bind(column(rows, |product| product.hold_sequence))
    .bind(column(rows, |product| product.version))
    .bind(now)
    .execute(connection)
    .await?;
    expect_rows(&result, rows.len(), "products")
}

async fn insert_holds(connection: &mut PgConnection, rows: &[Hold]) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let result = sqlx::query(
        "INSERT INTO holds (slot, hold_id, product_id, quantity, customer_id, price_minor, currency, status, sequence,
             created_at, expires_at, ended_at)
         SELECT slot, hold_id, product_id, quantity, customer_id, price_minor, currency, status::hold_status, sequence,
             created_at, expires_at, ended_at
         FROM UNNEST($1::smallint[], $2::uuid[], $3::bigint[], $4::integer[], $5::text[], $6::bigint[], $7::text[],
             $8::text[], $9::bigint[], $10::timestamptz[], $11::timestamptz[], $12::timestamptz[])
             AS new (slot, hold_id, product_id, quantity, customer_id, price_minor, currency, status, sequence,
                 created_at, expires_at, ended_at)",
    )
    .bind(column(rows, |hold| hold.id.slot().as_i16()))
    .bind(column(rows, |hold| hold.id.uuid()))
    .bind(column(rows, |hold| hold.product_id.0))
    .bind(column(rows, |hold| hold.quantity.cast_signed()))
    .bind(column(rows, |hold| hold.customer_id.as_deref()))
    .bind(column(rows, |hold| hold.price_minor))
    .bind(column(rows, |hold| hold.currency.code()))
    .bind(column(rows, |hold| hold_status(&hold.state)))
    .bind(column(rows, |hold| hold.sequence))
    .bind(column(rows, |hold| DateTime::from(hold.created_at)))
    .bind(column(rows, |hold| DateTime::from(hold.expires_at)))
    .bind(column(rows, |hold| ended_at(&hold.state)))
    .execute(connection)
    .await?;
    expect_rows(&result, rows.len(), "holds")
}

async fn update_holds(connection: &mut PgConnection, rows: &[Hold]) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let result = sqlx::query(
        "UPDATE holds SET status = new.status::hold_status, ended_at = new.ended_at
         FROM UNNEST($1::smallint[], $2::uuid[], $3::text[], $4::timestamptz[]) AS new (slot, hold_id, status, ended_at)
         WHERE holds.slot = new.slot AND holds.hold_id = new.hold_id AND holds.status = 'active'",
    )
    .bind(column(rows, |hold| hold.id.slot().as_i16()))
    .bind(column(rows, |hold| hold.id.uuid()))
    .bind(column(rows, |hold| hold_status(&hold.state)))
    .bind(column(rows, |hold| ended_at(&hold.state)))
    .execute(connection)
    .await?;
    expect_rows(&result, rows.len(), "holds")
}

fn ended_at(state: &HoldState) -> Option<DateTime<Utc>> {
    match *state {
        HoldState::Active => None,
        HoldState::Consumed { at } | HoldState::Released { at } | HoldState::Expired { at } => Some(at.into()),
    }
}

async fn insert_outcomes(
    connection: &mut PgConnection,
    rows: &[(RequestId, Decision)],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let outcomes = rows.iter().map(|(_, decision)| serde_json::to_string(&decision.outcome));
    let outcomes: Vec<String> =
        outcomes.collect::<Result<_, _>>().map_err(|error| sqlx::Error::Encode(error.into()))?;
    // A command that failed may have been tried again.
    let result = sqlx::query(
        "INSERT INTO outcomes (slot, request_id, replayed, outcome, created_at)
         SELECT slot, request_id, replayed, outcome::json, $5
         FROM UNNEST($1::smallint[], $2::uuid[], $3::boolean[], $4::text[])
             AS new (slot, request_id, replayed, outcome)
         ON CONFLICT (slot, request_id) DO UPDATE
         SET replayed = excluded.replayed, outcome = excluded.outcome, created_at = excluded.created_at",
    )
    .bind(column(rows, |(id, _)| id.slot().as_i16()))
    .bind(column(rows, |(id, _)| id.uuid()))
    .bind(column(rows, |(_, decision)| decision.replayed))
    .bind(outcomes)
    .bind(now)
    .execute(connection)
    .await?;
    expect_rows(&result, rows.len(), "outcomes")
}

async fn insert_keys(connection: &mut PgConnection, rows: &[(KeyScope, KeyUse)]) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    // A key that was forgotten after its time may still have its row: it is used anew.
    let result = sqlx::query(
        "INSERT INTO idempotency_keys (slot, endpoint, key_hash, product_id, fingerprint, request_id, used_at)
         SELECT * FROM UNNEST($1::smallint[], $2::smallint[], $3::bytea[], $4::bigint[], $5::bytea[], $6::uuid[],
             $7::timestamptz[])
         ON CONFLICT (slot, endpoint, key_hash, product_id) DO UPDATE
         SET fingerprint = excluded.fingerprint, request_id = excluded.request_id, used_at = excluded.used_at",
    )
    .bind(column(rows, |(scope, _)| scope.slot.as_i16()))
    .bind(column(rows, |(scope, _)| scope.endpoint as i16))
    .bind(column(rows, |(scope, _)| scope.hash.to_vec()))
    .bind(column(rows, |(scope, _)| scope.product_id.0))
    .bind(column(rows, |(_, first)| first.fingerprint.to_vec()))
    .bind(column(rows, |(_, first)| first.request_id.uuid()))
    .bind(column(rows, |(_, first)| DateTime::from(first.used_at)))
    .execute(connection)
    .await?;
    expect_rows(&result, rows.len(), "idempotency_keys")
}
