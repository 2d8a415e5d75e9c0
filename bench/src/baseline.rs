//! The simpler designs that Holdfast is compared with. Each is a small server with the same HTTP stack and the same
//! Postgres, run as a process: this program with `--serve`.
//!
//! They make holds only. They have no idempotency keys, no rate limits and no expiry.

mod conditional;
pub(crate) mod counter;
mod process;
mod row_lock;

use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::extract::{Json, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use uuid::Uuid;

use self::counter::Counter;
pub(crate) use self::process::BaselineProcess;

/// How a hold is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BaselineKind {
    /// `BEGIN; SELECT … FOR UPDATE; UPDATE; INSERT; COMMIT`
    RowLock,
    /// One `UPDATE … WHERE available >= n` that inserts the hold, too
    Conditional,
    /// A counter in Redis, written to Postgres later; not durable
    Redis,
}

pub(crate) const TABLES: &str = "
    CREATE TABLE stock (
        product_id bigint PRIMARY KEY,
        total      bigint NOT NULL,
        available  bigint NOT NULL CHECK (available >= 0),
        held       bigint NOT NULL
    ) WITH (fillfactor = 25);
    CREATE TABLE holds (
        hold_id    uuid        PRIMARY KEY,
        product_id bigint      NOT NULL,
        quantity   bigint      NOT NULL,
        status     text        NOT NULL,
        created_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL
    );
    CREATE INDEX holds_due ON holds (expires_at) WHERE status = 'active'";

#[derive(Deserialize)]
struct NewHold {
    product_id: i64,
    quantity: i64,
}

/// The body of a response 201.
#[derive(Serialize)]
struct Hold {
    hold_id: Uuid,
    product_id: i64,
    quantity: i64,
    status: &'static str,
}

struct Server {
    kind: BaselineKind,
    pool: PgPool,
    counter: Option<Counter>,
}

/// Serves until the process ends. `DATABASE_URL` names the database.
///
/// # Errors
/// When Postgres can't be reached.
pub(crate) async fn serve(kind: BaselineKind, pool: u32) -> anyhow::Result<()> {
    let url = std::env::var("DATABASE_URL").context("DATABASE_URL is not set")?;
    // All connections open at the start, as in production after some time.
    let options = PgPoolOptions::new()
        .min_connections(pool)
        .max_connections(pool)
        .test_before_acquire(false);
    let pool = options.connect(&url).await?;
    let counter = if kind == BaselineKind::Redis {
        Some(Counter::connect(&pool).await?)
    } else {
        None
    };
    let server = Arc::new(Server {
        kind,
        pool,
        counter,
    });
    let alive = async || ([(CONTENT_TYPE, "application/json")], r#"{"status":"ok"}"#);
    let router = Router::new()
        .route("/healthz", get(alive))
        .route("/api/holds", post(hold))
        .with_state(server);
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!(
        r#"{{"message":"listening","address":"{}"}}"#,
        socket.local_addr()?
    );
    Ok(axum::serve(socket, router).await?)
}

async fn hold(State(server): State<Arc<Server>>, Json(new): Json<NewHold>) -> Response {
    let hold_id = Uuid::from_u128(rand::random());
    let made = match (server.kind, &server.counter) {
        (_, Some(counter)) => counter.hold(&server.pool, hold_id, &new).await,
        (BaselineKind::RowLock, None) => row_lock::hold(&server.pool, hold_id, &new).await,
        (_, None) => conditional::hold(&server.pool, hold_id, &new).await,
    };
    let NewHold {
        product_id,
        quantity,
    } = new;
    match made {
        Ok(true) => (
            StatusCode::CREATED,
            Json(Hold {
                hold_id,
                product_id,
                quantity,
                status: "active",
            }),
        )
            .into_response(),
        Ok(false) => StatusCode::CONFLICT.into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    }
}
