//! Expiry by delayed redelivery: what is due ends by itself, without anybody scanning for it.
//!
//! Before a batch commits, [`tickets`] has stored one small message for each second in which something of it falls due,
//! at most one a partition and second. [`redelivery`] sends a ticket that is early back until its second has come, and
//! then asks the partition to end what is due: as a command, since only the decision changes business state.
//! [`backstop`] asks from the table itself, for tickets that were lost. Nobody waits for any of this: what is past its
//! time is treated so by whoever looks at it.

pub mod backstop;
pub mod redelivery;
pub mod tickets;

use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType, Stream};
use holdfast_common::command::Action;
use holdfast_common::log::{LogError, internal};
use holdfast_common::partition::Partition;
use holdfast_common::settings::{HoldSettings, LogLayout, WorkerSettings};

use crate::Worker;

/// Tickets are remembered for this long after what they are for may fall due.
const WINDOW_SLACK: Duration = Duration::from_secs(60);

/// Finds the stream of tickets, or makes it.
///
/// # Errors
/// When JetStream refuses.
pub async fn open_stream(worker: &Worker) -> Result<Stream, LogError> {
    let refused = |error: String| LogError::Refused {
        what: "create the expiry stream",
        why: error,
    };
    let asked = stream_config(
        &worker.settings.nats,
        &worker.settings.holds,
        &worker.settings.worker,
    );
    let stream = worker.jetstream.get_or_create_stream(asked.clone()).await;
    let stream = stream.map_err(|error| refused(error.to_string()))?;
    let found = &stream.cached_info().config;
    if found.duplicate_window != asked.duplicate_window || found.num_replicas != asked.num_replicas
    {
        worker
            .jetstream
            .update_stream(&asked)
            .await
            .map_err(|error| refused(error.to_string()))?;
    }
    Ok(stream)
}

/// The stream of tickets as it is asked for.
#[must_use]
pub fn stream_config(nats: &LogLayout, holds: &HoldSettings, worker: &WorkerSettings) -> Config {
    // A hold and an order that fall due in the same second may have been made far apart, and share a ticket.
    let longest = holds.hold_expiry_seconds.max(worker.order_payment_seconds);
    Config {
        name: nats.subjects.expiry_stream(),
        description: Some(
            "One ticket for each partition and second in which something falls due".to_owned(),
        ),
        subjects: vec![nats.subjects.all_tickets()],
        retention: RetentionPolicy::WorkQueue,
        discard: DiscardPolicy::New,
        max_messages: tickets::TICKETS_MAX,
        storage: StorageType::File,
        num_replicas: usize::from(nats.stream_replicas),
        duplicate_window: Duration::from_secs(longest.into()) + WINDOW_SLACK,
        ..Config::default()
    }
}

/// Asks a partition to end what is due. `reason` names the occasion: asking twice for one is asking once.
///
/// # Errors
/// When the log does not take the command.
pub async fn ask(
    worker: &Worker,
    partition: Partition,
    reason: &str,
) -> Result<(), async_nats::Error> {
    let slot = *worker.settings.nats.partitions.slots(partition).start();
    let once = Some(format!("expire-{partition}-{reason}"));
    let command = internal::command(slot, Action::ExpireDue);
    internal::say(
        &worker.jetstream,
        &worker.settings.nats,
        &worker.keys,
        &command,
        once,
    )
    .await
    .map(drop)
}
