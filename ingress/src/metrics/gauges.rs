//! What is looked at every few seconds rather than counted: what waits in tables and in the log, and what is in use.
//!
//! One look costs the same however often metrics are fetched, and however large the tables are. Every ingress looks, so
//! that a sale without workers is seen; of what several say, the greatest is right.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::stream::DirectGetErrorKind;
use holdfast_common::log::stream;
use holdfast_common::metrics::{Gauge, PoolUse, UPDATE_EVERY, gauge_of, label, run_upkeep};
use holdfast_common::partition::{Partition, Partitions};
use holdfast_common::settings::LogLayout;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::commands::positions::AppliedPositions;
use crate::commands::waiters::Waiters;
use crate::host_clock;
use crate::store;
use crate::store::LogPosition;
use crate::store::waiting::{self, Waiting};

/// The most partitions whose oldest command is looked at in one turn; the next turn goes on behind them.
const AGES_MAX: usize = 64;
/// How long one part may take to answer before it counts as down.
const PART_WAIT: Duration = Duration::from_secs(2);

/// What is looked at.
pub struct Gauges {
    pool: PoolUse,
    is_up: [Gauge; 2],
    requests_waiting: Gauge,
    payments: [Gauge; 4],
    refund_due_age: Gauge,
    dead_letters: Gauge,
    unowned: Gauge,
    log_bytes: Gauge,
    log_bytes_max: Gauge,
    oldest: Vec<Gauge>,
}

impl Gauges {
    /// All of them, at 0 until the first look.
    #[must_use]
    pub fn register(partitions: Partitions) -> Self {
        let up = |part| {
            gauge_of(
                "holdfast_part_up",
                "1 while a part answers this ingress.",
                &[label("part", part)],
            )
        };
        let payments = |state| {
            let help = "Payments that wait for something, by what they are; counted up to 10,000.";
            gauge_of("holdfast_payments_open", help, &[label("state", state)])
        };
        let oldest = |partition: Partition| {
            let help = "Age in seconds of a partition's oldest command that is not applied; 0 when all are.";
            gauge_of(
                "holdfast_oldest_command_seconds",
                help,
                &[label("partition", partition.to_string())],
            )
        };
        Self {
            pool: PoolUse::register("ingress"),
            is_up: [up("postgres"), up("nats")],
            requests_waiting: gauge_of(
                "holdfast_requests_waiting",
                "Requests that wait for their outcome.",
                &[],
            ),
            payments: waiting::PAYMENT_STATES.map(payments),
            refund_due_age: gauge_of(
                "holdfast_oldest_refund_due_seconds",
                "Age of the payment whose refund is due longest.",
                &[],
            ),
            dead_letters: gauge_of(
                "holdfast_dead_letters",
                "Commands set aside that nobody has settled; counted up to 10,000.",
                &[],
            ),
            unowned: gauge_of(
                "holdfast_partitions_unowned",
                "Partitions that no live worker has.",
                &[],
            ),
            log_bytes: gauge_of(
                "holdfast_log_bytes",
                "Size of the log on disk in bytes.",
                &[],
            ),
            log_bytes_max: gauge_of(
                "holdfast_log_max_bytes",
                "Size at which the log is full (LOG_MAX_MB).",
                &[],
            ),
            oldest: partitions.all().map(oldest).collect(),
        }
    }
}

/// What the gauges are read from.
pub struct GaugeSources {
    pub pool: PgPool,
    pub jetstream: Context,
    pub layout: LogLayout,
    pub waiters: Arc<Waiters>,
    pub positions: Arc<AppliedPositions>,
}

/// Looks until the process stops.
pub async fn run(sources: GaugeSources, gauges: Gauges, stop: CancellationToken) {
    let (mut turn, mut begin) = (tokio::time::interval(UPDATE_EVERY), 0);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(turn.tick()).await.is_some() {
        run_upkeep();
        gauges.pool.update(&sources.pool);
        gauges.requests_waiting.set(sources.waiters.count() as f64);
        let tables = tokio::time::timeout(PART_WAIT, look_at_tables(&sources, &gauges)).await;
        let positions = tables.ok().flatten();
        gauges.is_up[0].set(if positions.is_some() { 1.0 } else { 0.0 });
        let log = tokio::time::timeout(
            PART_WAIT,
            look_at_log(&sources, &gauges, positions, &mut begin),
        )
        .await;
        gauges.is_up[1].set(if matches!(log, Ok(Some(()))) {
            1.0
        } else {
            0.0
        });
    }
}

/// What waits in the tables; says how far each partition is applied.
async fn look_at_tables(
    sources: &GaugeSources,
    gauges: &Gauges,
) -> Option<Vec<(Partition, LogPosition)>> {
    let found = async {
        let pool = &sources.pool;
        let waiting = waiting::look(pool, sources.layout.partitions).await?;
        Ok::<_, sqlx::Error>((waiting, store::positions(pool).await?))
    };
    match found.await {
        Ok((
            Waiting {
                payments,
                refund_due_age,
                dead_letters,
                unowned,
            },
            positions,
        )) => {
            gauges
                .payments
                .iter()
                .zip(payments)
                .for_each(|(gauge, count)| gauge.set(count as f64));
            gauges.refund_due_age.set(refund_due_age);
            gauges.dead_letters.set(dead_letters as f64);
            gauges.unowned.set(unowned as f64);
            Some(positions)
        }
        Err(error) => {
            tracing::debug!(%error, "what waits could not be looked at");
            None
        }
    }
}

/// How full the log is, and how long the oldest command of each partition has been in it.
async fn look_at_log(
    sources: &GaugeSources,
    gauges: &Gauges,
    positions: Option<Vec<(Partition, LogPosition)>>,
    begin: &mut usize,
) -> Option<()> {
    let nats = &sources.layout;
    let log = sources
        .jetstream
        .get_stream(nats.subjects.log_stream())
        .await
        .ok()?;
    let (created, info) = (stream::created(&log), log.cached_info());
    gauges.log_bytes.set(info.state.bytes as f64);
    gauges.log_bytes_max.set(info.config.max_bytes as f64);
    let mut looked_at = 0;
    // Without Postgres, what the workers told last: commands get older all the same.
    let told = || {
        nats.partitions
            .all()
            .map(|partition| (partition, sources.positions.of(partition)))
            .collect()
    };
    let positions = positions.unwrap_or_else(told);
    for turn in 0..positions.len() {
        let (partition, position) = positions[(*begin + turn) % positions.len()];
        let Some(gauge) = gauges.oldest.get(usize::from(partition.0)) else {
            continue;
        };
        let applied = if position.stream_created == created {
            position.applied_seq
        } else {
            0
        };
        if applied >= info.state.last_sequence {
            gauge.set(0.0);
            continue;
        }
        if looked_at == AGES_MAX {
            *begin += turn;
            break;
        }
        looked_at += 1;
        // Nothing found is nothing waiting: what is behind the position belongs to others.
        match log
            .direct_get_next_for_subject(nats.subjects.commands(partition), Some(applied + 1))
            .await
        {
            Ok(oldest) => gauge.set(host_clock::seconds_since(oldest.time.into())),
            Err(error) if error.kind() == DirectGetErrorKind::NotFound => gauge.set(0.0),
            Err(_) => return None,
        }
    }
    Some(())
}
