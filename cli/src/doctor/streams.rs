//! The streams beside the log, of expiry tickets and of events, and their consumers: whether they are as Holdfast asks.

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
const RESTART: &str = "restart a worker: it makes what is missing, and sets what may be changed. Else remove the stream first";

/// The stream of expiry tickets and its consumer.
pub(super) async fn tickets(jetstream: &Context, options: &Options) -> Finding {
    let asked = expiry::stream::config(&options.nats, &options.holds, &options.worker);
    let stream = match as_asked(EXPIRY_STREAM, jetstream, &asked).await {
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
        Ok(tickets) => Finding::ok(EXPIRY_STREAM, format!("as asked, {tickets} tickets")),
        Err(finding) => finding,
    }
}

/// The stream of events, where they are on, and the consumer of each receiver. No receiver's URL is told.
pub(super) async fn events(jetstream: &Context, options: &Options) -> Option<Finding> {
    let settings = &options.worker.events;
    if !settings.is_on() {
        return None;
    }
    let asked = events::stream::config(&options.nats, settings);
    let stream = match as_asked(EVENT_STREAM, jetstream, &asked).await {
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
        format!("as asked, {waiting} events on their way to {receivers} receivers"),
    ))
}

async fn as_asked(
    check: &'static str,
    jetstream: &Context,
    asked: &Config,
) -> Result<Stream, Finding> {
    let stream = jetstream
        .get_stream(&asked.name)
        .await
        .map_err(|error| match error.kind() {
            GetStreamErrorKind::JetStream(_) => {
                Finding::problem(check, format!("there is no stream {}", asked.name), RESTART)
            }
            _ => Finding::problem(check, error.to_string(), "see why NATS does not answer"),
        })?;
    if is_same_stream(&stream.cached_info().config, asked) {
        return Ok(stream);
    }
    Err(Finding::problem(check, "it is not as asked", RESTART))
}

/// What a worker asks for; more of the duplicate window than that does no harm.
fn is_same_stream(found: &Config, asked: &Config) -> bool {
    // The server says -1 where nothing is asked for.
    let bounded = |bound: i64| Some(bound).filter(|bound| *bound > 0);
    found.subjects == asked.subjects
        && found.retention == asked.retention
        && found.discard == asked.discard
        && found.storage == asked.storage
        && bounded(found.max_messages) == bounded(asked.max_messages)
        && bounded(found.max_bytes) == bounded(asked.max_bytes)
        && found.max_age == asked.max_age
        && found.num_replicas == asked.num_replicas
        && found.duplicate_window >= asked.duplicate_window
        && found.allow_atomic_publish == asked.allow_atomic_publish
}

/// How many messages a consumer has in hand, if it is as asked.
async fn consumer(
    check: &'static str,
    stream: &Stream,
    asked: &pull::Config,
) -> Result<usize, Finding> {
    let name = asked.durable_name.as_deref().unwrap_or_default();
    let info = stream.consumer_info(name).await;
    let info = info.map_err(|error| {
        Finding::problem(
            check,
            format!("its consumer {name}: {error}"),
            "restart a worker, which makes its consumer",
        )
    })?;
    if is_same_consumer(&info.config, asked) {
        return Ok(info.num_ack_pending);
    }
    Err(Finding::problem(
        check,
        format!("its consumer {name} is not as asked"),
        "remove it; workers make it anew",
    ))
}

fn is_same_consumer(found: &consumer::Config, asked: &pull::Config) -> bool {
    found.ack_policy == asked.ack_policy
        && found.ack_wait == asked.ack_wait
        && found.max_ack_pending == asked.max_ack_pending
        && found.filter_subject == asked.filter_subject
        // The server says -1 where nothing is asked for: tried for ever.
        && found.max_deliver.max(0) == asked.max_deliver.max(0)
}
