//! NATS: whether it answers, is new enough and syncs; whether the log is as Holdfast asks; whether workers are heard.

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

/// How long NATS may take to let us in, or to answer.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// How long to listen for the workers, who say something a few times a second.
const NEWS_WAIT: Duration = Duration::from_secs(3);
/// A round trip that is longer makes every command slow.
const ROUND_TRIP_MAX: Duration = Duration::from_millis(5);
/// How full the log may be.
const LOG_FULL_PERCENT_MAX: u64 = 80;

pub(super) async fn look(options: &Options) -> Vec<Finding> {
    let away =
        |why: String| Finding::problem("nats", why, "start nats-server, or correct NATS_URL");
    let connecting = async {
        let (servers, how) = access::options(&options.nats).await?;
        how.name("holdfast-doctor")
            .connect(&servers[..])
            .await
            .map_err(access::failed)
    };
    let client = match timeout(CONNECT_WAIT, connecting).await {
        Ok(Ok(client)) => client,
        Ok(Err(error)) => {
            return vec![Finding::problem(
                "nats",
                "it can't be reached",
                error.to_string(),
            )];
        }
        Err(_) => return vec![away(format!("no answer in {CONNECT_WAIT:?}"))],
    };
    let jetstream = jetstream::new(client.clone());
    let mut findings = vec![round_trip(&jetstream).await];
    findings.extend(servers(&client).await);
    findings.extend(the_log(&jetstream, options).await);
    findings.push(streams::tickets(&jetstream, options).await);
    findings.extend(streams::events(&jetstream, options).await);
    findings.push(workers(&client, options).await);
    findings
}

async fn round_trip(jetstream: &Context) -> Finding {
    let begun = Instant::now();
    match jetstream.query_account().await {
        Ok(_) if begun.elapsed() > ROUND_TRIP_MAX => {
            let advice =
                "run ingresses and workers nearer to NATS: every command takes a round trip";
            Finding::warning(
                "nats round trip",
                format!("{:.1?}", begun.elapsed()),
                advice,
            )
        }
        Ok(_) => Finding::ok("nats round trip", format!("{:.1?}", begun.elapsed())),
        Err(error) => Finding::problem(
            "nats",
            error.to_string(),
            "enable JetStream for Holdfast's account: see nats.conf",
        ),
    }
}

/// The version, and whether it syncs before it acknowledges.
async fn servers(client: &Client) -> Vec<Finding> {
    let version = client.server_info().version;
    match server::check(client).await {
        Ok(Durability::Synced) => vec![
            Finding::ok("nats", version),
            Finding::ok("sync_interval", "always"),
        ],
        Ok(Durability::Unknown) => {
            let advice = "set `jetstream { sync_interval: always }` and the accounts of nats.conf, so that it can be checked";
            vec![
                Finding::ok("nats", version),
                Finding::warning("sync_interval", "the server does not say", advice),
            ]
        }
        Err(error @ log::LogError::NotDurable { .. }) => {
            vec![
                Finding::ok("nats", version),
                Finding::problem("sync_interval", "not always", error.to_string()),
            ]
        }
        Err(error) => vec![Finding::problem(
            "nats",
            version,
            format!("{error} ({LEAST_VERSION})"),
        )],
    }
}

async fn the_log(jetstream: &Context, options: &Options) -> Vec<Finding> {
    let name = options.nats.subjects.log_stream();
    let Ok(found) = jetstream.get_stream(&name).await else {
        let advice = "start an ingress or a worker, which makes it; or correct NATS_PREFIX";
        return vec![Finding::problem(
            "log",
            format!("there is no stream {name}"),
            advice,
        )];
    };
    let info = found.cached_info();
    let differences = stream::check(&info.config, &options.nats);
    let mut findings: Vec<_> = differences
        .iter()
        .map(|error| Finding::problem("log", format!("{name} is not as asked"), error.to_string()))
        .collect();
    if findings.is_empty() {
        findings.push(Finding::ok("log", format!("{name} is as asked")));
    }
    let percent = info.state.bytes * 100
        / u64::try_from(info.config.max_bytes)
            .unwrap_or(u64::MAX)
            .max(1);
    findings.push(if percent > LOG_FULL_PERCENT_MAX {
        let advice = "see `holdfast queue status`: a full log answers 503. Raise LOG_MAX_MB, or get the workers going";
        Finding::problem("log space", format!("{percent} % full"), advice)
    } else {
        Finding::ok("log space", format!("{percent} % full"))
    });
    findings
}

/// Whether workers are heard, and speak as this build does.
async fn workers(client: &Client, options: &Options) -> Finding {
    const CHECK: &str = "workers' news";
    let Ok(mut news) = client.subscribe(options.nats.subjects.news()).await else {
        return Finding::problem(
            CHECK,
            "NATS did not let us listen",
            "see the account's permissions",
        );
    };
    match timeout(NEWS_WAIT, news.next()).await {
        Ok(Some(message)) => match news::decode(&message.payload) {
            Ok(_) => Finding::ok(CHECK, "heard, of this version"),
            Err(error) => Finding::problem(
                CHECK,
                error.to_string(),
                "ingresses and workers have to be upgraded together",
            ),
        },
        _ => Finding::problem(
            CHECK,
            format!("nothing in {NEWS_WAIT:?}"),
            "start holdfast-workers, or see its log",
        ),
    }
}
