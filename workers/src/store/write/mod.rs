//! The write step: one statement that writes the changes of batches and moves their partitions. Each kind of row is one part
//! of it.

mod audit;
mod dead_letters;
mod orders;
mod payments;
mod statement;

use chrono::{DateTime, Utc};
use holdfast_common::domain::{Changes, Decision, Hold, HoldState, KeyScope, KeyUse, Product};
use holdfast_common::encryption::{Keyring, SealedKind};
use holdfast_common::id::RequestId;
use holdfast_common::partition::Partitions;
use holdfast_common::store::rows::hold_status;
use holdfast_common::time::Timestamp;
use sqlx::PgConnection;
use sqlx::types::Json;

use self::statement::{Statement, StatementPart, index};
use crate::store::fence::Fence;

/// Commits changes that were decided at `now`, and moves their partitions. Returns whether the fence held; otherwise nothing
/// happened.
///
/// # Errors
/// When Postgres fails, a constraint is broken, or a row to change does not exist.
pub async fn commit(
    connection: &mut PgConnection,
    keys: &Keyring,
    fence: &Fence<'_>,
    partitions: Partitions,
    changes: &Changes,
    now: Timestamp,
) -> sqlx::Result<bool> {
    let now = DateTime::from(now);
    let mut statement = Statement::new(fence);
    let write = &mut statement;
    products(write, &changes.new_products, now).insert();
    products(write, &changes.changed_products, now).update_where("true");
    insert_holds(write, keys, &changes.new_holds);
    update_holds(write, &changes.changed_holds);
    forget_holds(write, &changes.forgotten_holds);
    orders::insert(write, keys, &changes.new_orders);
    orders::update(write, keys, &changes.changed_orders);
    orders::forget(write, keys, &changes.forgotten_orders);
    payments::insert(write, keys, &changes.new_payments);
    payments::update(write, keys, &changes.changed_payments);
    upsert_outcomes(write, keys, &changes.decisions, now);
    upsert_keys(write, keys, &changes.keys);
    audit::insert(write, &changes.audit, fence.moves, partitions);
    dead_letters::settle(write, &changes.settled_dead_letters, now);
    statement.execute(connection).await
}

fn products<'s, 'r>(
    write: &'s mut Statement,
    rows: &'r [Product],
    now: DateTime<Utc>,
) -> StatementPart<'s, 'r, Product> {
    write
        .rows("products", rows)
        .key("slot", "smallint", |product| product.id.slot().as_i16())
        .key("product_id", "bigint", |product| product.id.0)
        .column("name", "text", |product| product.name.as_str())
        .column("price_minor", "bigint", |product| product.price_minor)
        .column("currency", "text", |product| product.currency.code())
        .column("total_stock", "bigint", |product| product.stock.total())
        .column("available_stock", "bigint", |product| {
            product.stock.available()
        })
        .column("held_stock", "bigint", |product| product.stock.held())
        .column("sold_stock", "bigint", |product| product.stock.sold())
        .column("holds_count", "bigint", |product| product.holds_count)
        .column("max_per_customer", "integer", |product| {
            product.max_per_customer.map(u32::cast_signed)
        })
        .column("sale_starts_at", "timestamptz", |product| {
            product.sale_starts_at.map(DateTime::from)
        })
        .column("sale_ends_at", "timestamptz", |product| {
            product.sale_ends_at.map(DateTime::from)
        })
        .column("hold_sequence", "bigint", |product| product.hold_sequence)
        .column("version", "bigint", |product| product.version)
        .column("updated_at", "timestamptz", move |_| now)
}

fn insert_holds(write: &mut Statement, keys: &Keyring, rows: &[Hold]) {
    write
        .rows("holds", rows)
        .key("slot", "smallint", |hold| hold.id.slot().as_i16())
        .key("hold_id", "uuid", |hold| hold.id.uuid())
        .column("product_id", "bigint", |hold| hold.product_id.0)
        .column("quantity", "integer", |hold| hold.quantity.cast_signed())
        .column("customer_id", "text", |hold| {
            index(keys, SealedKind::CustomerId, hold.customer_id.as_deref())
        })
        .sealed("customer_sealed", keys, |hold| {
            (SealedKind::CustomerId, hold.id, hold.customer_id.as_deref())
        })
        .column("price_minor", "bigint", |hold| hold.price_minor)
        .column("currency", "text", |hold| hold.currency.code())
        .column("status", "hold_status", |hold| hold_status(&hold.state))
        .column("sequence", "bigint", |hold| hold.sequence)
        .column("created_at", "timestamptz", |hold| {
            DateTime::from(hold.created_at)
        })
        .column("expires_at", "timestamptz", |hold| {
            DateTime::from(hold.expires_at)
        })
        .column("ended_at", "timestamptz", |hold| ended_at(&hold.state))
        .insert();
}

fn update_holds(write: &mut Statement, rows: &[Hold]) {
    write
        .rows("holds", rows)
        .key("slot", "smallint", |hold| hold.id.slot().as_i16())
        .key("hold_id", "uuid", |hold| hold.id.uuid())
        .column("status", "hold_status", |hold| hold_status(&hold.state))
        .column("ended_at", "timestamptz", |hold| ended_at(&hold.state))
        // I2: a hold leaves `active` once. A condition on the status would be correct, too. But for it Postgres may use the
        // index of active holds, which it estimates to be small, and compare every active hold with every row here.
        .update_where("holds.ended_at IS NULL");
}

/// Holds that lose their customer. They may also have ended in the same batch.
fn forget_holds(write: &mut Statement, rows: &[Hold]) {
    write
        .rows("holds", rows)
        .key("slot", "smallint", |hold| hold.id.slot().as_i16())
        .key("hold_id", "uuid", |hold| hold.id.uuid())
        .column("status", "hold_status", |hold| hold_status(&hold.state))
        .column("ended_at", "timestamptz", |hold| ended_at(&hold.state))
        .column("customer_id", "text", |_| None::<&str>)
        .column("customer_sealed", "text", |_| None::<&str>)
        .update_where("(holds.status = 'active' OR holds.status = new.status)");
}

fn ended_at(state: &HoldState) -> Option<DateTime<Utc>> {
    match *state {
        HoldState::Active => None,
        HoldState::Consumed { at } | HoldState::Released { at } | HoldState::Expired { at } => {
            Some(at.into())
        }
    }
}

/// Upserts, since the retry of a dead letter replaces the outcome `Failed`.
fn upsert_outcomes(
    write: &mut Statement,
    keys: &Keyring,
    rows: &[(RequestId, Decision)],
    now: DateTime<Utc>,
) {
    write
        .rows("outcomes", rows)
        .key("slot", "smallint", |(id, _)| id.slot().as_i16())
        .key("request_id", "uuid", |(id, _)| id.uuid())
        .column("replayed", "boolean", |(_, decision)| decision.replayed)
        .column("outcome", "json", |(_, decision)| {
            Json(keys.seal_outcome(&decision.outcome))
        })
        .column("created_at", "timestamptz", move |_| now)
        .upsert();
}

/// Upserts, since a key past its time can be used again before retention has removed its row.
fn upsert_keys(write: &mut Statement, keys: &Keyring, rows: &[(KeyScope, KeyUse)]) {
    write
        .rows("idempotency_keys", rows)
        .key("slot", "smallint", |(scope, _)| scope.slot.as_i16())
        .key("endpoint", "smallint", |(scope, _)| scope.endpoint as i16)
        .key("key_hash", "bytea", |(scope, _)| scope.hash.as_slice())
        .key("product_id", "bigint", |(scope, _)| scope.product_id.0)
        .column("fingerprint", "bytea", |(_, first)| {
            first.fingerprint.as_slice()
        })
        .column("request_id", "uuid", |(_, first)| first.request_id.uuid())
        .column("used_at", "timestamptz", |(_, first)| {
            DateTime::from(first.used_at)
        })
        .column_if(keys.is_on(), "is_blind", "boolean", |_| true)
        .upsert();
}
