//! `GET /api/admin/workers`: how the workers' work goes, as they say themselves. From memory.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use holdfast_common::messages::worker_stats::{Backlog, Work};
use holdfast_common::metrics::SECONDS;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::http::admin::Admin;
use crate::http::problem::Problem;
use crate::http::render;

/// How the workers' work goes.
#[derive(Serialize, ToSchema)]
#[schema(as = Workers)]
struct WorkersView {
    /// Those that were heard of in the last seconds
    workers: Vec<WorkerView>,
    /// Batches that were applied since this ingress began, and so are all counts here
    batches: u64,
    /// The commands in them
    commands: u64,
    /// Payments that were not what their orders cost
    mismatches: u64,
    /// Holds and orders that were ended for their time
    expired: u64,
    /// Of these, how many were at most so late
    expired_within: Vec<WithinView>,
    /// How late all of them were together, in seconds
    expired_late_seconds: f64,
}

/// A worker.
#[derive(Serialize, ToSchema)]
#[schema(as = Worker)]
struct WorkerView {
    owner: String,
    /// What waits in each of its partitions
    partitions: Vec<BacklogView>,
    /// Its connections to Postgres that are in use
    connections_used: u32,
    /// Those that are idle
    connections_idle: u32,
}

/// What waits in a partition.
#[derive(Serialize, ToSchema)]
#[schema(as = Backlog)]
struct BacklogView {
    partition: u16,
    /// Envelopes of commands in the log that are not applied
    backlog: u64,
}

/// How many were at most so late.
#[derive(Serialize, ToSchema)]
#[schema(as = Within)]
struct WithinView {
    seconds: f64,
    count: u64,
}

impl From<Work> for WorkerView {
    fn from(work: Work) -> Self {
        let backlog = |told: Backlog| BacklogView {
            partition: told.partition,
            backlog: told.envelopes,
        };
        Self {
            owner: work.owner,
            partitions: work.backlogs.into_iter().map(backlog).collect(),
            connections_used: work.connections_used,
            connections_idle: work.connections_idle,
        }
    }
}

/// How the workers' work goes, as they say once a second
#[utoipa::path(get, path = "/api/admin/workers", tag = "Administration", operation_id = "getWorkers",
    responses((status = 200, description = "What they have said last", body = WorkersView)))]
pub(in crate::routes) async fn show(
    _admin: Admin,
    State(app): State<Arc<App>>,
) -> Result<Response, Problem> {
    let (workers, counts) = app.worker_stats.current();
    let mut count = 0;
    let within = SECONDS.iter().zip(counts.expired).map(|(seconds, more)| {
        count += more;
        WithinView {
            seconds: *seconds,
            count,
        }
    });
    let view = WorkersView {
        expired_within: within.collect(),
        workers: workers.into_iter().map(WorkerView::from).collect(),
        batches: counts.batches,
        commands: counts.commands,
        mismatches: counts.mismatches,
        expired: counts.expired.iter().sum(),
        expired_late_seconds: counts.expired_late_micros as f64 / 1e6,
    };
    Ok(render::json(StatusCode::OK, &view))
}
