//! What Holdfast is compared with: holds as they are usually made, as a small server on the same HTTP stack, with the same
//! Postgres. Each is a process of its own, this program with `--serve`.
//!
//! They have the tables and the answers that a hold needs, and nothing of what a sale needs besides: no idempotency, no
//! limits, no expiry.

mod conditional;
pub(crate) mod counter;
mod rival;
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
pub(crate) use self::rival::Rival;

/// How a hold is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// `BEGIN; SELECT … FOR UPDATE; UPDATE; INSERT; COMMIT`
    RowLock,
    /// One `UPDATE … WHERE available >= n` that inserts the hold, too
    Conditional,
    /// A counter in Redis, written to Postgres later; not durable
    Redis,
}

/// What is held, and what of.
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

/// The request.
#[derive(Deserialize)]
struct NewHold {
    product_id: i64,
    quantity: i64,
}

/// The response to one that succeeded.
#[derive(Serialize)]
struct Hold {
    hold_id: Uuid,
    product_id: i64,
    quantity: i64,
    status: &'static str,
}

struct Server {
    kind: Kind,
    pool: PgPool,
    counter: Option<Counter>,
}

/// Serves until the process is ended. `DATABASE_URL` says where the tables are.
///
/// # Errors
/// When Postgres can't be reached.
pub(crate) async fn serve(kind: Kind, pool: u32) -> anyhow::Result<()> {
    let url = std::env::var("DATABASE_URL").context("DATABASE_URL is not set")?;
    // All of them at once, as after a while in production.
    let options = PgPoolOptions::new()
        .min_connections(pool)
        .max_connections(pool)
        .test_before_acquire(false);
    let pool = options.connect(&url).await?;
    let counter = if kind == Kind::Redis {
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
        (Kind::RowLock, None) => row_lock::hold(&server.pool, hold_id, &new).await,
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
