//! Checks of the streams of expiry tickets and of events, and of their consumers: they must match the settings.

use async_nats::jetstream::consumer::{self, pull};
use async_nats::jetstream::stream::{Config, Stream};
use async_nats::jetstream::{Context, context::GetStreamErrorKind};
use holdfast_workers::events;
use holdfast_workers::events::webhooks::{consumer_config, receiver_name};
use holdfast_workers::expiry;

use super::Options;
use super::finding::Finding;

const EXPIRY_STREAM: &str = "expiry stream";
const EVENT_STREAM: &str = "event stream";
const RESTART: &str = "restart a worker, which creates or updates the stream. If the finding stays, delete the stream and restart a worker";

pub(super) async fn tickets(jetstream: &Context, options: &Options) -> Finding {
    let expected = expiry::stream::config(&options.nats, &options.holds, &options.worker);
    let stream = match open(EXPIRY_STREAM, jetstream, &expected).await {
        Ok(stream) => stream,
        Err(finding) => return finding,
    };
    match consumer(
        EXPIRY_STREAM,
        &stream,
        &expiry::redelivery::consumer_config(),
    )
    .await
    {
        Ok(tickets) => Finding::ok(
            EXPIRY_STREAM,
            format!("matches the settings; {tickets} unacknowledged tickets"),
        ),
        Err(finding) => finding,
    }
}

/// Checks the event stream and the consumer of each receiver, when events are on. Findings do not contain receivers' URLs,
/// which may have secrets.
pub(super) async fn events(jetstream: &Context, options: &Options) -> Option<Finding> {
    let settings = &options.worker.events;
    if !settings.is_on() {
        return None;
    }
    let expected = events::stream::config(&options.nats, settings);
    let stream = match open(EVENT_STREAM, jetstream, &expected).await {
        Ok(stream) => stream,
        Err(finding) => return Some(finding),
    };
    let mut waiting = 0;
    for url in settings.urls() {
        match consumer(
            EVENT_STREAM,
            &stream,
            &consumer_config(&receiver_name(&url)),
        )
        .await
        {
            Ok(events) => waiting += events,
            Err(finding) => return Some(finding),
        }
    }
    let receivers = settings.urls().len();
    Some(Finding::ok(
        EVENT_STREAM,
        format!("matches the settings; {waiting} unacknowledged events, {receivers} receivers"),
    ))
}

async fn open(
    check: &'static str,
    jetstream: &Context,
    expected: &Config,
) -> Result<Stream, Finding> {
    let stream = jetstream
        .get_stream(&expected.name)
        .await
        .map_err(|error| match error.kind() {
            GetStreamErrorKind::JetStream(_) => Finding::problem(
                check,
                format!("the stream {} does not exist", expected.name),
                RESTART,
            ),
            _ => Finding::problem(
                check,
                error.to_string(),
                "check that NATS is running and reachable",
            ),
        })?;
    if is_same_stream(&stream.cached_info().config, expected) {
        return Ok(stream);
    }
    Err(Finding::problem(
        check,
        "differs from the settings",
        RESTART,
    ))
}

/// A larger duplicate window than expected is accepted, because it does no harm.
fn is_same_stream(found: &Config, expected: &Config) -> bool {
    // The server reports -1 for "no limit", where the expected configuration has 0.
    let limit = |limit: i64| Some(limit).filter(|limit| *limit > 0);
    found.subjects == expected.subjects
        && found.retention == expected.retention
        && found.discard == expected.discard
        && found.storage == expected.storage
        && limit(found.max_messages) == limit(expected.max_messages)
        && limit(found.max_bytes) == limit(expected.max_bytes)
        && found.max_age == expected.max_age
        && found.num_replicas == expected.num_replicas
        && found.duplicate_window >= expected.duplicate_window
        && found.allow_atomic_publish == expected.allow_atomic_publish
}

/// The unacknowledged messages of a consumer, when it matches the expected configuration.
async fn consumer(
    check: &'static str,
    stream: &Stream,
    expected: &pull::Config,
) -> Result<usize, Finding> {
    let name = expected.durable_name.as_deref().unwrap_or_default();
    let info = stream.consumer_info(name).await;
    let info = info.map_err(|error| {
        Finding::problem(
            check,
            format!("its consumer {name} can't be read: {error}"),
            "restart a worker, which creates the consumer",
        )
    })?;
    if is_same_consumer(&info.config, expected) {
        return Ok(info.num_ack_pending);
    }
    Err(Finding::problem(
        check,
        format!("its consumer {name} differs from the settings"),
        "delete the consumer and restart a worker, which creates it again",
    ))
}

fn is_same_consumer(found: &consumer::Config, expected: &pull::Config) -> bool {
    found.ack_policy == expected.ack_policy
        && found.ack_wait == expected.ack_wait
        && found.max_ack_pending == expected.max_ack_pending
        && found.filter_subject == expected.filter_subject
        // The server reports -1 for "no limit".
        && found.max_deliver.max(0) == expected.max_deliver.max(0)
}
