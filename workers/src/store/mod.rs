//! The workers' SQL, as free functions on a connection. A batch of any size costs the same few statements.
//!
//! No business rule is in here: `decide` makes the decisions, and the tables' constraints state the invariants once more.

pub mod dead_letters;
pub mod encryption;
pub mod event_dead_letters;
pub mod events;
pub mod fence;
pub mod forgetting;
pub mod lease;
pub mod load;
pub mod reencrypt;
pub mod refunds;
pub mod retention;
pub mod roster;
pub mod write;

use chrono::{DateTime, Utc};
use holdfast_common::store::postgres::PoolOptions;
use holdfast_common::time::Timestamp;
use sqlx::PgPool;

/// The settings of the connection pool: one connection for each transaction of group commit, and the same number for
/// everything else, so that no flood of batches delays the renewal of leases. Connections are not tested before use: a
/// batch on a broken connection fails and is retried.
#[must_use]
pub fn pool(transactions: u32) -> PoolOptions<'static> {
    PoolOptions {
        name: concat!("holdfast-workers ", env!("CARGO_PKG_VERSION")),
        connections_max: 2 * transactions,
        session: SESSION,
        tests_before_use: false,
    }
}

/// The settings of each connection.
const SESSION: &[(&str, &str)] = &[
    // A batch is one statement, so it is never idle in a transaction. A worker that hangs while it sets a command aside is,
    // and must not keep its partition locked.
    ("idle_in_transaction_session_timeout", "2000"),
    ("statement_timeout", "10000"),
    // Every statement of a batch looks up few rows by primary key. A plan that Postgres made while a table was small must
    // not read the whole table later.
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_material", "off"),
    // The costs of the plans that are off are so high that Postgres would compile the statement.
    ("jit", "off"),
    // The plan does not depend on the values, so Postgres makes it once.
    ("plan_cache_mode", "force_generic_plan"),
];

/// Postgres's time in Unix seconds.
///
/// # Errors
/// When Postgres fails.
pub async fn now_seconds(pool: &PgPool) -> sqlx::Result<i64> {
    Ok(now(pool).await?.0 / 1_000_000)
}

/// Postgres's time. No other clock decides anything.
///
/// # Errors
/// When Postgres fails.
pub async fn now(pool: &PgPool) -> sqlx::Result<Timestamp> {
    let now: DateTime<Utc> = sqlx::query_scalar("SELECT clock_timestamp()")
        .fetch_one(pool)
        .await?;
    Ok(now.into())
}
