//! Checks of Postgres: connection, durability settings, schema, free connections, clock, connected programs, and leases.

use std::collections::HashMap;
use std::time::Duration;

use holdfast_common::encryption;
use holdfast_common::store::postgres;
use holdfast_common::store::schema;
use holdfast_common::time::Timestamp;
use holdfast_ingress::host_clock;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, PgConnection, PgPool};
use tokio::time::{Instant, timeout};

use super::Options;
use super::finding::Finding;
use crate::store::{doctor, queue};

const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// The fastest of several reads gives the most exact clock difference.
const CLOCK_TRIES: usize = 5;
/// A batch needs three round trips, so longer ones slow down all commands.
const ROUND_TRIP_MAX: Duration = Duration::from_millis(5);
const SKEW_WARNING_MS: i64 = 1000;
/// With more, an ingress misjudges the age of signatures and holds.
const SKEW_MAX_MS: i64 = 5000;
/// Enough for one ingress, one worker and a few operators' commands.
const FREE_CONNECTIONS_MIN: i64 = 20;

const SETTINGS: [&str; 6] = [
    "server_version",
    "server_version_num",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "max_connections",
];

pub(super) async fn check(options: &Options) -> Vec<Finding> {
    let (mut connection, connect_options) = match connect(options).await {
        Ok(connected) => connected,
        Err(finding) => return vec![finding],
    };
    match check_connected(&mut connection, options, connect_options).await {
        Ok(findings) => findings,
        Err(error) => vec![Finding::problem(
            "postgres",
            "failed during the checks",
            error.to_string(),
        )],
    }
}

async fn connect(options: &Options) -> Result<(PgConnection, PgConnectOptions), Finding> {
    // The parser's error would print the URL with its password.
    let parsed: Result<PgConnectOptions, _> = options.postgres.database_url.expose().parse();
    let Ok(parsed) = parsed else {
        return Err(Finding::problem(
            "postgres",
            "DATABASE_URL is not a postgres:// URL",
            "correct DATABASE_URL",
        ));
    };
    let parsed = parsed.application_name("holdfast-doctor");
    match timeout(CONNECT_WAIT, parsed.connect()).await {
        Ok(Ok(connection)) => Ok((connection, parsed)),
        Ok(Err(error)) => Err(Finding::problem(
            "postgres",
            "can't be reached",
            postgres::connect_error(error).to_string(),
        )),
        Err(_) => Err(Finding::problem(
            "postgres",
            format!("no response within {CONNECT_WAIT:?}"),
            "start Postgres, or correct DATABASE_URL",
        )),
    }
}

async fn check_connected(
    connection: &mut PgConnection,
    options: &Options,
    connect_options: PgConnectOptions,
) -> anyhow::Result<Vec<Finding>> {
    let settings: HashMap<_, _> = doctor::settings(connection, &SETTINGS)
        .await?
        .into_iter()
        .collect();
    let setting = |name: &str| settings.get(name).map_or("", String::as_str);
    let mut findings = vec![version(
        setting("server_version"),
        setting("server_version_num"),
    )];
    findings.extend(["fsync", "full_page_writes"].map(|name| must_be_on(name, setting(name))));
    findings.push(synchronous_commit(setting("synchronous_commit")));
    findings.push(free_connections(
        setting("max_connections"),
        doctor::connections(connection).await?,
    ));
    findings.extend(clock(connection).await?);
    findings.push(programs(&doctor::programs(connection).await?));
    let pool = PgPool::connect_with(connect_options).await?;
    let checked = schema::check(&pool).await;
    let has_schema = checked.is_ok();
    findings.push(Finding::from_result(
        "schema",
        checked.map(|()| "the schema of this build".to_owned()),
        "not the schema of this build",
    ));
    if has_schema {
        findings.push(encryption(&pool, options).await);
        let count = options.nats.partitions.count();
        findings.push(partitions(&queue::leases(&pool, count).await?, count));
    }
    Ok(findings)
}

/// Checks that the database is encrypted with the keys of these settings.
async fn encryption(pool: &PgPool, options: &Options) -> Finding {
    let checked = match options.encryption.keyring() {
        Err(error) => Err(error.to_string()),
        Ok(keys) => encryption::check::check(pool, &keys)
            .await
            .map_err(|error| error.to_string())
            .map(|()| {
                keys.first().map_or("off".to_owned(), |key| {
                    format!("customers and payments are encrypted with key `{key}`")
                })
            }),
    };
    Finding::from_result(
        "encryption",
        checked,
        "these are not the keys of the database",
    )
}

fn version(shown: &str, number: &str) -> Finding {
    match number.parse::<u32>() {
        Ok(150_000..) => Finding::ok("postgres", shown),
        _ => Finding::problem("postgres", shown, "upgrade Postgres to 15 or newer"),
    }
}

fn must_be_on(name: &'static str, found: &str) -> Finding {
    if found == "on" {
        return Finding::ok(name, found);
    }
    Finding::problem(
        name,
        found,
        format!("set {name} = on: otherwise a power cut can lose or corrupt committed data"),
    )
}

fn synchronous_commit(found: &str) -> Finding {
    match found {
        "on" | "remote_apply" | "remote_write" | "local" => {
            Finding::ok("synchronous_commit", found)
        }
        _ => {
            let advice = "set synchronous_commit = on: otherwise a power cut can lose outcomes that clients have received";
            Finding::problem("synchronous_commit", found, advice)
        }
    }
}

fn free_connections(max: &str, used: i64) -> Finding {
    let found = format!("{used} of {max} in use");
    match max.parse::<i64>() {
        Ok(max) if max - used < FREE_CONNECTIONS_MIN => {
            let advice = "raise max_connections: each ingress and each worker uses up to 8";
            Finding::warning("max_connections", found, advice)
        }
        _ => Finding::ok("max_connections", found),
    }
}

/// Measures the round trip, and the difference between this host's clock and Postgres's.
async fn clock(connection: &mut PgConnection) -> anyhow::Result<[Finding; 2]> {
    let mut best: Option<(Duration, i64)> = None;
    for _ in 0..CLOCK_TRIES {
        let start = Instant::now();
        let theirs: Timestamp = doctor::clock(connection).await?.into();
        let (ours, took) = (host_clock::now(), start.elapsed());
        // Postgres read its clock about half a round trip ago.
        let skew_ms = (ours.minus(took / 2).0 - theirs.0) / 1000;
        if best.is_none_or(|(quickest, _)| took < quickest) {
            best = Some((took, skew_ms));
        }
    }
    let (took, skew_ms) = best.unwrap_or_default();
    let round_trip = format!("{took:.1?}");
    let round_trip = if took > ROUND_TRIP_MAX {
        Finding::warning(
            "postgres round trip",
            round_trip,
            "run workers nearer to Postgres: a batch needs three round trips",
        )
    } else {
        Finding::ok("postgres round trip", round_trip)
    };
    let found = format!("{skew_ms} ms");
    let skew = match skew_ms.abs() {
        ..SKEW_WARNING_MS => Finding::ok("clock skew", found),
        SKEW_WARNING_MS..SKEW_MAX_MS => Finding::warning(
            "clock skew",
            found,
            "synchronize the clocks of all hosts with NTP",
        ),
        _ => {
            let advice = "synchronize the clocks of all hosts with NTP: the ages of signatures and holds are wrong";
            Finding::problem("clock skew", found, advice)
        }
    };
    Ok([round_trip, skew])
}

/// Checks that the connected ingresses and workers have this build's version.
fn programs(found: &[String]) -> Finding {
    let ours = env!("CARGO_PKG_VERSION");
    let services: Vec<_> = found
        .iter()
        .filter(|name| name.starts_with("holdfast-ingress") || name.starts_with("holdfast-workers"))
        .collect();
    let others: Vec<_> = services
        .iter()
        .filter(|name| !name.ends_with(&format!(" {ours}")))
        .collect();
    let list = services
        .iter()
        .map(|name| name.as_str())
        .collect::<Vec<_>>()
        .join(", ");
    if services.is_empty() {
        let advice = "start holdfast-ingress and holdfast-workers. Programs of other Postgres roles may be hidden";
        return Finding::warning("programs", "none connected", advice);
    }
    if others.is_empty() {
        return Finding::ok("programs", list);
    }
    Finding::problem(
        "programs",
        list,
        format!("run ingresses and workers of version {ours} only"),
    )
}

fn partitions(found: &[queue::PartitionLease], count: u16) -> Finding {
    let owned = found.iter().filter(|lease| lease.is_owned()).count();
    let shown = format!("{owned} of {count} have a worker");
    if owned == usize::from(count) {
        return Finding::ok("partitions", shown);
    }
    Finding::problem(
        "partitions",
        shown,
        "start holdfast-workers, or read its log; `holdfast queue status` lists the partitions",
    )
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn postgres_before_15_is_a_problem() {
        for (number, level) in [
            ("140019", Level::Problem),
            ("150000", Level::Ok),
            ("180001", Level::Ok),
            ("", Level::Problem),
        ] {
            assert_eq!(version("some", number).level, level, "{number}");
        }
    }

    #[test]
    fn durability_settings_must_be_on() {
        for (found, level) in [
            ("on", Level::Ok),
            ("off", Level::Problem),
            ("", Level::Problem),
        ] {
            assert_eq!(must_be_on("fsync", found).level, level, "{found}");
            assert_eq!(synchronous_commit(found).level, level, "{found}");
        }
        for found in ["remote_apply", "remote_write", "local"] {
            assert_eq!(synchronous_commit(found).level, Level::Ok, "{found}");
        }
        assert!(must_be_on("fsync", "off").advice.contains("fsync = on"));
    }

    #[test]
    fn fewer_than_20_free_connections_are_a_warning() {
        for (max, used, level) in [
            ("100", 80, Level::Ok),
            ("100", 81, Level::Warning),
            ("19", 0, Level::Warning),
        ] {
            assert_eq!(free_connections(max, used).level, level, "{used} of {max}");
        }
    }

    #[test]
    fn programs_of_another_version_are_a_problem() {
        let ours = |name: &str| format!("{name} {}", env!("CARGO_PKG_VERSION"));
        let level = |names: &[String]| programs(names).level;
        assert_eq!(level(&[]), Level::Warning);
        assert_eq!(level(&["psql".to_owned()]), Level::Warning);
        assert_eq!(
            level(&[
                ours("holdfast-ingress"),
                ours("holdfast-workers"),
                "psql 17".to_owned()
            ]),
            Level::Ok
        );
        let older = programs(&[
            ours("holdfast-ingress"),
            "holdfast-workers 0.0.1".to_owned(),
        ]);
        assert!(
            older.level == Level::Problem && older.found.contains("holdfast-workers 0.0.1"),
            "{older:?}"
        );
    }
}
