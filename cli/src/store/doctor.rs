//! Postgres's own settings, clock and connections.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// Postgres's settings with these names, in any order.
pub(crate) async fn settings(
    connection: &mut PgConnection,
    names: &[&str],
) -> sqlx::Result<Vec<(String, String)>> {
    sqlx::query_as("SELECT name, setting FROM pg_settings WHERE name = ANY($1)")
        .bind(names)
        .fetch_all(connection)
        .await
}

pub(crate) async fn clock(connection: &mut PgConnection) -> sqlx::Result<DateTime<Utc>> {
    sqlx::query_scalar("SELECT clock_timestamp()")
        .fetch_one(connection)
        .await
}

/// The number of client connections to all databases of this server.
pub(crate) async fn connections(connection: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'",
    )
    .fetch_one(connection)
    .await
}

/// The application names of Holdfast programs connected to this database: name and version. Postgres may hide
/// connections of other roles.
pub(crate) async fn programs(connection: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "SELECT DISTINCT application_name FROM pg_stat_activity
         WHERE datname = current_database() AND application_name LIKE 'holdfast-%' ORDER BY application_name",
    )
    .fetch_all(connection)
    .await
}
