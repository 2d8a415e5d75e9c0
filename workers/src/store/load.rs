//! The load step: all rows that a batch of commands names, in a fixed few statements whatever the batch's size.

mod customers;
pub mod due;
mod payments;

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use holdfast_common::command::{Command, Endpoint};
use holdfast_common::domain::{Decision, Hold, KeyScope, KeyUse, Product, State};
use holdfast_common::id::{HoldId, ProductId, RequestId, Slot};
use holdfast_common::outcome::Outcome;
use holdfast_common::rows::{HoldRow, ProductRow};
use holdfast_common::time::Timestamp;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use self::due::Due;
use super::dead_letters;
use crate::reader::Entry;

/// Which rows a batch needs besides those that its commands name.
pub struct Scope {
    /// The batch's time.
    pub now: Timestamp,
    /// The slots of its partition.
    pub slots: RangeInclusive<Slot>,
}

/// Loads what a batch of commands names, with what was found due.
///
/// # Errors
/// When Postgres fails, or a row makes no sense.
pub async fn state(connection: &mut PgConnection, entries: &[Entry], due: Due) -> sqlx::Result<State> {
    let mut state = State::default();
    let letters = dead_letters::load(connection, entries, &mut state).await?;
    let commands = entries.iter().map(|entry| &entry.command).chain(&letters);
    // A command may have been applied before, and a key's outcome may be replayed: those are looked up by id.
    let told = commands.clone().filter(|command| !command.action.is_internal());
    let mut requests: BTreeSet<RequestId> = told.map(|command| command.request_id).collect();
    requests.extend(load_keys(connection, commands.clone(), &mut state).await?);
    let mut products: BTreeSet<ProductId> = commands.clone().filter_map(|c| c.action.named_product()).collect();
    let mut settled: BTreeSet<HoldId> = commands.clone().filter_map(|c| c.action.named_hold()).collect();
    let holds: BTreeSet<HoldId> =
        requests.iter().copied().map(HoldId::of_request).chain(settled.iter().copied()).collect();
    products.extend(load_holds(connection, &holds, &mut state).await?);
    products
        .extend(due.holds.iter().map(|hold| hold.product_id).chain(due.orders.iter().map(|order| order.product_id)));
    settled
        .extend(due.holds.iter().map(|hold| hold.id).chain(due.orders.iter().map(|order| order.id)).chain(due.parked));
    due.holds.into_iter().for_each(|hold| state.load_hold(hold));
    payments::load(connection, &settled, &mut state).await?;
    load_outcomes(connection, &requests, &mut state).await?;
    load_products(connection, &products, &mut state).await?;
    customers::load(connection, commands, &mut state).await?;
    Ok(state)
}

/// The first use of a key, and the key's place among those asked for, from 1.
type KeyRow = (i64, Vec<u8>, Uuid, DateTime<Utc>, i32);

/// Loads the first uses of the keys, and tells which requests those were.
async fn load_keys<'a>(
    connection: &mut PgConnection,
    commands: impl Iterator<Item = &'a Command>,
    state: &mut State,
) -> sqlx::Result<Vec<RequestId>> {
    let keyed = commands.filter_map(|command| Some((command.slot(), command.action.endpoint()?, command.key?.hash)));
    let keyed: BTreeSet<_> = keyed.collect();
    if keyed.is_empty() {
        return Ok(Vec::new());
    }
    // Which product a key counts for may only be known from a hold, so the keys of all products of the slot come along.
    let rows: Vec<KeyRow> = sqlx::query_as(
        "SELECT product_id, fingerprint, request_id, used_at, named.place::int
         FROM UNNEST($1::smallint[], $2::smallint[], $3::bytea[]) WITH ORDINALITY AS named (slot, endpoint, key_hash, place)
         JOIN idempotency_keys USING (slot, endpoint, key_hash)",
    )
    .bind(keyed.iter().map(|(slot, ..)| slot.as_i16()).collect::<Vec<_>>())
    .bind(keyed.iter().map(|(_, endpoint, _)| *endpoint as i16).collect::<Vec<_>>())
    .bind(keyed.iter().map(|(.., hash)| hash.to_vec()).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let asked: Vec<(_, Endpoint, _)> = keyed.into_iter().collect();
    let mut requests = Vec::with_capacity(rows.len());
    for (product_id, fingerprint, request_id, used_at, place) in rows {
        let (slot, endpoint, hash) = asked[place as usize - 1];
        let scope = KeyScope { slot, endpoint, hash, product_id: ProductId(product_id) };
        let request_id = RequestId::from_uuid(request_id).map_err(|error| sqlx::Error::Decode(error.into()))?;
        let fingerprint = fingerprint.try_into().map_err(|_| sqlx::Error::Decode("fingerprint".into()))?;
        state.load_key(scope, KeyUse { request_id, fingerprint, used_at: used_at.into() });
        requests.push(request_id);
    }
    Ok(requests)
}

/// Loads holds, and tells of which products they are.
async fn load_holds(
    connection: &mut PgConnection,
    holds: &BTreeSet<HoldId>,
    state: &mut State,
) -> sqlx::Result<Vec<ProductId>> {
    if holds.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<HoldRow> = sqlx::query_as(
        "SELECT hold_id, product_id, quantity, customer_id, price_minor, currency, status::text, sequence,
             created_at, expires_at, ended_at
         FROM UNNEST($1::smallint[], $2::uuid[]) AS named (slot, hold_id) JOIN holds USING (slot, hold_id)",
    )
    .bind(holds.iter().map(|id| id.slot().as_i16()).collect::<Vec<_>>())
    .bind(holds.iter().map(|id| id.uuid()).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let mut products = Vec::with_capacity(rows.len());
    for row in rows {
        let hold = Hold::try_from(row)?;
        products.push(hold.product_id);
        state.load_hold(hold);
    }
    Ok(products)
}

async fn load_outcomes(
    connection: &mut PgConnection,
    requests: &BTreeSet<RequestId>,
    state: &mut State,
) -> sqlx::Result<()> {
    if requests.is_empty() {
        return Ok(());
    }
    let rows: Vec<(Uuid, bool, Json<Outcome>)> = sqlx::query_as(
        "SELECT request_id, replayed, outcome
         FROM UNNEST($1::smallint[], $2::uuid[]) AS named (slot, request_id) JOIN outcomes USING (slot, request_id)",
    )
    .bind(requests.iter().map(|id| id.slot().as_i16()).collect::<Vec<_>>())
    .bind(requests.iter().map(|id| id.uuid()).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    for (id, replayed, Json(outcome)) in rows {
        let request_id = RequestId::from_uuid(id).map_err(|error| sqlx::Error::Decode(error.into()))?;
        state.load_decision(request_id, Decision { replayed, outcome });
    }
    Ok(())
}

async fn load_products(
    connection: &mut PgConnection,
    products: &BTreeSet<ProductId>,
    state: &mut State,
) -> sqlx::Result<()> {
    if products.is_empty() {
        return Ok(());
    }
    let rows: Vec<ProductRow> = sqlx::query_as(
        "SELECT product_id, name, price_minor, currency, total_stock, available_stock, held_stock, sold_stock,
             holds_count, max_per_customer, sale_starts_at, sale_ends_at, hold_sequence, version
         FROM UNNEST($1::smallint[], $2::bigint[]) AS named (slot, product_id) JOIN products USING (slot, product_id)",
    )
    .bind(products.iter().map(|id| id.slot().as_i16()).collect::<Vec<_>>())
    .bind(products.iter().map(|id| id.0).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    for row in rows {
        state.load_product(Product::try_from(row)?);
    }
    Ok(())
}
