//! Postgres: the connection pool, the schema, and the row types that ingress, workers and CLI share.

pub mod columns;
pub mod postgres;
pub mod rows;
pub mod schema;
