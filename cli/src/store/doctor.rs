//! What Postgres says of itself and of who is connected.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// Some of Postgres's settings, in no order.
///
/// # Errors
/// When Postgres fails.
pub(crate) async fn settings(
    connection: &mut PgConnection,
    names: &[&str],
) -> sqlx::Result<Vec<(String, String)>> {
    sqlx::query_as("SELECT name, setting FROM pg_settings WHERE name = ANY($1)")
        .bind(names)
        .fetch_all(connection)
        .await
}

/// Postgres's clock, as it is when it answers.
///
/// # Errors
/// When Postgres fails.
pub(crate) async fn clock(connection: &mut PgConnection) -> sqlx::Result<DateTime<Utc>> {
    sqlx::query_scalar("SELECT clock_timestamp()")
        .fetch_one(connection)
        .await
}

/// How many connections all databases of this Postgres have.
///
/// # Errors
/// When Postgres fails.
pub(crate) async fn connections(connection: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'",
    )
    .fetch_one(connection)
    .await
}

/// Holdfast's programs that are connected to this database, by name and version. Those of other roles may be hidden.
///
/// # Errors
/// When Postgres fails.
pub(crate) async fn programs(connection: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "SELECT DISTINCT application_name FROM pg_stat_activity
         WHERE datname = current_database() AND application_name LIKE 'holdfast-%' ORDER BY application_name",
    )
    .fetch_all(connection)
    .await
}
