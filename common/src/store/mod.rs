//! Postgres: the connection pool, the schema, and the row types and column lists that ingress, workers and CLI share.

pub mod columns;
pub mod postgres;
pub mod rows;
pub mod schema;
