//! The load step: all rows that the commands of a batch name, in one statement for a batch of any size.
//!
//! The statement returns one row: Postgres's time, and for each table the named rows as a JSON array. So the load is one
//! round trip and one snapshot. Data that few batches need has statements of its own: dead letters, the units of customers
//! (`customers`), rows that are due ([`due`]), and the counts of holds and orders (`recount`).

mod customers;
pub mod due;
mod recount;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use holdfast_common::command::{Command, Endpoint};
use holdfast_common::domain::{Decision, KeyScope, KeyUse, State};
use holdfast_common::encryption::Keyring;
use holdfast_common::id::{HoldId, ProductId, RequestId, Slot};
use holdfast_common::outcome::Outcome;
use holdfast_common::store::rows::{HoldRow, OrderRow, PaymentRow, ProductRow};
use holdfast_common::time::Timestamp;
use holdfast_common::{hold_columns, order_columns, payment_columns, product_columns};
use serde::Deserialize;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use self::due::DueRows;
use crate::store::dead_letters;

/// The first use of an idempotency key.
#[derive(Deserialize)]
struct KeyRow {
    endpoint: i16,
    #[serde(with = "hex::serde")]
    key_hash: [u8; 16],
    product_id: i64,
    #[serde(with = "hex::serde")]
    fingerprint: [u8; 16],
    request_id: Uuid,
    used_at: DateTime<Utc>,
}

#[derive(Deserialize)]
struct OutcomeRow {
    request_id: Uuid,
    replayed: bool,
    outcome: Outcome,
}

/// Rows of one table; null for no rows.
type Rows<R> = Option<Json<Vec<R>>>;
type Loaded = (
    DateTime<Utc>,
    Rows<KeyRow>,
    Rows<OutcomeRow>,
    Rows<HoldRow>,
    Rows<OrderRow>,
    Rows<PaymentRow>,
    Rows<ProductRow>,
);

/// The rows to load.
#[derive(Default)]
struct RowNames {
    keys: BTreeSet<(Slot, Endpoint, [u8; 16])>,
    /// Commands that may have been applied before.
    requests: BTreeSet<RequestId>,
    /// Holds, with their orders and payments.
    holds: BTreeSet<HoldId>,
    products: BTreeSet<ProductId>,
}

impl RowNames {
    fn of<'a>(commands: impl Iterator<Item = &'a Command>) -> Self {
        let mut names = Self::default();
        for command in commands {
            let action = &command.action;
            if !action.is_internal() {
                names.requests.insert(command.request_id);
            }
            names.products.extend(action.named_product());
            names.holds.extend(action.named_hold());
            names.keys.extend(
                action
                    .endpoint()
                    .zip(command.key)
                    .map(|(to, key)| (command.slot(), to, key.hash)),
            );
        }
        names
    }
}

/// Loads the rows that commands name. Returns them with the time of the load, which is the batch's time.
///
/// # Errors
/// When Postgres fails, or a row can't be read.
pub async fn state<'c>(
    connection: &mut PgConnection,
    keys: &Keyring,
    commands: impl Iterator<Item = &'c Command> + Clone,
) -> sqlx::Result<(Timestamp, State)> {
    let mut state = State::default();
    let letters = dead_letters::load(connection, keys, commands.clone(), &mut state).await?;
    // The letters live only here, so the commands' lifetime is shortened to theirs.
    let commands = commands.map(|command| -> &Command { command });
    let commands = commands.chain(&letters);
    let now = named(connection, keys, RowNames::of(commands.clone()), &mut state).await?;
    customers::load(connection, keys, commands.clone(), &mut state).await?;
    recount::load(connection, commands, &mut state).await?;
    Ok((now, state))
}

/// Loads holds that are due, with their orders, payments and products.
///
/// # Errors
/// When Postgres fails, or a row can't be read.
pub async fn add_due(
    connection: &mut PgConnection,
    keys: &Keyring,
    due: &DueRows,
    state: &mut State,
) -> sqlx::Result<()> {
    if !due.ids.is_empty() {
        named(
            connection,
            keys,
            RowNames {
                holds: due.ids.clone(),
                ..RowNames::default()
            },
            state,
        )
        .await?;
    }
    Ok(())
}

async fn named(
    connection: &mut PgConnection,
    keyring: &Keyring,
    names: RowNames,
    state: &mut State,
) -> sqlx::Result<Timestamp> {
    // Any of the holds may end in this batch, so their orders and payments are loaded with them.
    // A key counts for one product, which may be known only from a hold. So the key's rows of all products of the slot are
    // loaded, each with the outcome of the request that used it first.
    let (now, keys, outcomes, holds, orders, payments, products): Loaded = sqlx::query_as(
        concat!("WITH keys AS MATERIALIZED (
             SELECT slot, endpoint, encode(key_hash, 'hex') AS key_hash, product_id,
                 encode(fingerprint, 'hex') AS fingerprint, request_id, used_at
             FROM UNNEST($1::smallint[], $2::smallint[], $3::bytea[]) AS named (slot, endpoint, key_hash)
             JOIN idempotency_keys USING (slot, endpoint, key_hash)
         ), requests AS MATERIALIZED (
             SELECT * FROM UNNEST($4::smallint[], $5::uuid[]) AS named (slot, request_id)
             UNION ALL SELECT slot, request_id FROM keys
         ), named AS MATERIALIZED (
             SELECT * FROM UNNEST($6::smallint[], $7::uuid[]) AS named (slot, hold_id)
         ), held AS MATERIALIZED (
             SELECT slot, ", hold_columns!(), "
             FROM (TABLE requests UNION ALL TABLE named) AS ids (slot, hold_id) JOIN holds USING (slot, hold_id)
         ), theirs AS MATERIALIZED (
             TABLE named UNION SELECT slot, hold_id FROM held
         ), ordered AS MATERIALIZED (
             SELECT ", order_columns!(), "
             FROM theirs JOIN orders ON orders.slot = theirs.slot AND order_id = hold_id
         )
         SELECT now(),
             (SELECT json_agg(keys) FROM keys),
             (SELECT json_agg(decided) FROM (
                 SELECT request_id, replayed, outcome FROM requests JOIN outcomes USING (slot, request_id)) AS decided),
             (SELECT json_agg(held) FROM held),
             (SELECT json_agg(ordered) FROM ordered),
             (SELECT json_agg(paid ORDER BY arrival) FROM (
                 SELECT ", payment_columns!(), "
                 FROM theirs JOIN payments ON payments.slot = theirs.slot AND order_id = hold_id) AS paid),
             (SELECT json_agg(sold) FROM (
                 SELECT ", product_columns!(), "
                 FROM (SELECT * FROM UNNEST($8::smallint[], $9::bigint[])
                       UNION SELECT slot, product_id FROM held) AS named (slot, product_id)
                 JOIN products USING (slot, product_id)) AS sold)"),
    )
    .bind(names.keys.iter().map(|(slot, ..)| slot.as_i16()).collect::<Vec<_>>())
    .bind(names.keys.iter().map(|(_, endpoint, _)| *endpoint as i16).collect::<Vec<_>>())
    .bind(names.keys.iter().map(|(.., hash)| hash.as_slice()).collect::<Vec<_>>())
    .bind(names.requests.iter().map(|id| id.slot().as_i16()).collect::<Vec<_>>())
    .bind(names.requests.iter().map(|id| id.uuid()).collect::<Vec<_>>())
    .bind(names.holds.iter().map(|id| id.slot().as_i16()).collect::<Vec<_>>())
    .bind(names.holds.iter().map(|id| id.uuid()).collect::<Vec<_>>())
    .bind(names.products.iter().map(|id| id.slot().as_i16()).collect::<Vec<_>>())
    .bind(names.products.iter().map(|id| id.0).collect::<Vec<_>>())
    .fetch_one(connection)
    .await?;
    for row in rows(keys) {
        let (scope, first) = row.read()?;
        state.load_key(scope, first);
    }
    for row in rows(outcomes) {
        let outcome = keyring.open_outcome(row.outcome)?;
        state.load_decision(
            request_id(row.request_id)?,
            Decision {
                replayed: row.replayed,
                outcome,
            },
        );
    }
    for row in rows(holds) {
        state.load_hold(row.opened(keyring)?.try_into()?);
    }
    for row in rows(orders) {
        state.load_order(row.opened(keyring)?.try_into()?);
    }
    for row in rows(payments) {
        state.load_payment(row.opened(keyring)?.try_into()?);
    }
    for row in rows(products) {
        state.load_product(row.try_into()?);
    }
    Ok(now.into())
}

fn request_id(uuid: Uuid) -> sqlx::Result<RequestId> {
    RequestId::from_uuid(uuid).map_err(|error| sqlx::Error::Decode(error.into()))
}

fn rows<R>(rows: Rows<R>) -> Vec<R> {
    rows.map_or_else(Vec::new, |Json(rows)| rows)
}

impl KeyRow {
    fn read(self) -> sqlx::Result<(KeyScope, KeyUse)> {
        let endpoint = Endpoint::from_number(self.endpoint)
            .ok_or_else(|| sqlx::Error::Decode("endpoint".into()))?;
        let request_id = request_id(self.request_id)?;
        let product_id = ProductId(self.product_id);
        let scope = KeyScope {
            slot: request_id.slot(),
            endpoint,
            hash: self.key_hash,
            product_id,
        };
        Ok((
            scope,
            KeyUse {
                request_id,
                fingerprint: self.fingerprint,
                used_at: self.used_at.into(),
            },
        ))
    }
}
