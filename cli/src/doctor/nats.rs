//! Checks of NATS: connection, version, durability, the log's stream, and messages from workers.

use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::{self, Context};
use futures_util::StreamExt;
use holdfast_common::log;
use holdfast_common::log::server::{self, Durability, LEAST_VERSION};
use holdfast_common::log::{access, stream};
use holdfast_common::messages::news;
use tokio::time::{Instant, timeout};

use super::Options;
use super::finding::Finding;
use super::streams;

const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// Workers publish several times a second.
const NEWS_WAIT: Duration = Duration::from_secs(3);
/// Each command needs a round trip, so a longer one slows down all commands.
const ROUND_TRIP_MAX: Duration = Duration::from_millis(5);
const LOG_FULL_PERCENT_MAX: u64 = 80;

pub(super) async fn check(options: &Options) -> Vec<Finding> {
    let connecting = async {
        let (servers, how) = access::options(&options.nats).await?;
        how.name("holdfast-doctor")
            .connect(&servers[..])
            .await
            .map_err(access::connect_error)
    };
    let client = match timeout(CONNECT_WAIT, connecting).await {
        Ok(Ok(client)) => client,
        Ok(Err(error)) => {
            return vec![Finding::problem(
                "nats",
                "can't be reached",
                error.to_string(),
            )];
        }
        Err(_) => {
            let found = format!("no response within {CONNECT_WAIT:?}");
            let advice = "start nats-server, or correct NATS_URL";
            return vec![Finding::problem("nats", found, advice)];
        }
    };
    let jetstream = jetstream::new(client.clone());
    let mut findings = vec![round_trip(&jetstream).await];
    findings.extend(servers(&client).await);
    findings.extend(log_stream(&jetstream, options).await);
    findings.push(streams::tickets(&jetstream, options).await);
    findings.extend(streams::events(&jetstream, options).await);
    findings.push(workers(&client, options).await);
    findings
}

async fn round_trip(jetstream: &Context) -> Finding {
    let start = Instant::now();
    match jetstream.query_account().await {
        Ok(_) if start.elapsed() > ROUND_TRIP_MAX => {
            let advice =
                "run ingresses and workers nearer to NATS: each command needs a round trip";
            Finding::warning(
                "nats round trip",
                format!("{:.1?}", start.elapsed()),
                advice,
            )
        }
        Ok(_) => Finding::ok("nats round trip", format!("{:.1?}", start.elapsed())),
        Err(error) => Finding::problem(
            "nats",
            error.to_string(),
            "enable JetStream for Holdfast's account, as nats.conf does",
        ),
    }
}

/// Checks the version, and that the server writes to disk before it acknowledges.
async fn servers(client: &Client) -> Vec<Finding> {
    let version = client.server_info().version;
    match server::check(client).await {
        Ok(Durability::Synced) => vec![
            Finding::ok("nats", version),
            Finding::ok("sync_interval", "always"),
        ],
        Ok(Durability::Unknown) => {
            let advice = "set `jetstream { sync_interval: always }` and the accounts of nats.conf, which allow this check";
            vec![
                Finding::ok("nats", version),
                Finding::warning("sync_interval", "the server does not report it", advice),
            ]
        }
        Err(error @ log::LogError::NotDurable { .. }) => {
            vec![
                Finding::ok("nats", version),
                Finding::problem("sync_interval", "not `always`", error.to_string()),
            ]
        }
        Err(error) => vec![Finding::problem(
            "nats",
            version,
            format!("{error} ({LEAST_VERSION})"),
        )],
    }
}

async fn log_stream(jetstream: &Context, options: &Options) -> Vec<Finding> {
    let name = options.nats.subjects.log_stream();
    let Ok(found) = jetstream.get_stream(&name).await else {
        let advice = "start an ingress or a worker, which creates it, or correct NATS_PREFIX";
        return vec![Finding::problem(
            "log",
            format!("the stream {name} does not exist"),
            advice,
        )];
    };
    let info = found.cached_info();
    let differences = stream::check(&info.config, &options.nats);
    let mut findings: Vec<_> = differences
        .iter()
        .map(|error| {
            Finding::problem(
                "log",
                format!("{name} differs from the settings"),
                error.to_string(),
            )
        })
        .collect();
    if findings.is_empty() {
        findings.push(Finding::ok("log", format!("{name} matches the settings")));
    }
    let percent = info.state.bytes * 100
        / u64::try_from(info.config.max_bytes)
            .unwrap_or(u64::MAX)
            .max(1);
    findings.push(if percent > LOG_FULL_PERCENT_MAX {
        let advice = "find slow partitions with `holdfast queue status`, or raise LOG_MAX_MB: with a full log, requests get 503";
        Finding::problem("log space", format!("{percent} % full"), advice)
    } else {
        Finding::ok("log space", format!("{percent} % full"))
    });
    findings
}

/// Checks that workers publish news in this build's format.
async fn workers(client: &Client, options: &Options) -> Finding {
    const CHECK: &str = "workers' news";
    let Ok(mut news) = client.subscribe(options.nats.subjects.news()).await else {
        return Finding::problem(
            CHECK,
            "NATS refused the subscription",
            "check the permissions of the NATS account",
        );
    };
    match timeout(NEWS_WAIT, news.next()).await {
        Ok(Some(message)) => match news::decode(&message.payload) {
            Ok(_) => Finding::ok(CHECK, "received, in this version's format"),
            Err(error) => Finding::problem(
                CHECK,
                error.to_string(),
                "run ingresses and workers of the same version",
            ),
        },
        _ => Finding::problem(
            CHECK,
            format!("none within {NEWS_WAIT:?}"),
            "start holdfast-workers, or read its log",
        ),
    }
}
