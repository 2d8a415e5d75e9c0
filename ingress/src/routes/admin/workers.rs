//! `GET /api/admin/workers`: the statistics that workers publish once a second, from memory.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use holdfast_common::messages::worker_stats::{PartitionBacklog, WorkerStatsMessage};
use holdfast_common::metrics::SECONDS;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::http::admin::Admin;
use crate::http::problem::Problem;
use crate::http::render;

/// The statistics of all workers.
#[derive(Serialize, ToSchema)]
#[schema(as = Workers)]
struct WorkersView {
    /// The workers that published statistics in the last seconds
    workers: Vec<WorkerView>,
    /// Batches applied since this ingress started. All counts here start then
    batches: u64,
    /// Commands in these batches
    commands: u64,
    /// Payments whose amount or currency differs from their order's
    mismatches: u64,
    /// Holds and orders that expired
    expired: u64,
    /// How many of these were processed with at most this delay
    expired_within: Vec<WithinView>,
    /// The sum of the delays, in seconds
    expired_late_seconds: f64,
}

/// A worker.
#[derive(Serialize, ToSchema)]
#[schema(as = Worker)]
struct WorkerView {
    owner: String,
    /// The backlog of each of its partitions
    partitions: Vec<BacklogView>,
    /// Connections to Postgres that are in use
    connections_used: u32,
    /// Connections to Postgres that are idle
    connections_idle: u32,
}

/// The backlog of a partition.
#[derive(Serialize, ToSchema)]
#[schema(as = Backlog)]
struct BacklogView {
    partition: u16,
    /// Envelopes in the log that are not applied yet
    backlog: u64,
}

/// The number of expiries with at most this delay.
#[derive(Serialize, ToSchema)]
#[schema(as = Within)]
struct WithinView {
    seconds: f64,
    count: u64,
}

impl From<WorkerStatsMessage> for WorkerView {
    fn from(work: WorkerStatsMessage) -> Self {
        let backlog = |backlog: PartitionBacklog| BacklogView {
            partition: backlog.partition,
            backlog: backlog.envelopes,
        };
        Self {
            owner: work.owner,
            partitions: work.backlogs.into_iter().map(backlog).collect(),
            connections_used: work.connections_used,
            connections_idle: work.connections_idle,
        }
    }
}

/// Read the workers' statistics
#[utoipa::path(get, path = "/api/admin/workers", tag = "Administration", operation_id = "getWorkers",
    responses((status = 200, description = "The last statistics of each worker", body = WorkersView)))]
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
