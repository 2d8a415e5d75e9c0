//! Tests of the checks at the start of the programs, and of their error messages.

use holdfast_tests::{Process, SharedStack, program};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

fn settings(database_url: &str, nats_url: &str, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let common = [
        ("DATABASE_URL", database_url),
        ("NATS_URL", nats_url),
        ("NATS_PREFIX", "start"),
        ("PORT", "0"),
    ];
    common
        .iter()
        .chain(more)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

async fn start_and_fail(
    name: &str,
    database_url: &str,
    nats_url: &str,
    more: &[(&str, &str)],
    words: &str,
) {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let mut process = Process::start(
        &program(name),
        &[],
        &settings(database_url, nats_url, more),
        log,
    );
    assert!(!process.ended().await, "{name} started");
    assert!(
        process.output().contains(words),
        "{name} did not log {words:?}:\n{}",
        process.output()
    );
}

/// A server that claims to be nats-server of this version.
async fn greet_as(version: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    let greeting = format!(
        "INFO {{\"server_id\":\"X\",\"server_name\":\"X\",\"version\":\"{version}\",\"go\":\"go1.19\",\"host\":\"0.0.0.0\",\
         \"port\":4222,\"headers\":true,\"max_payload\":1048576,\"proto\":1,\"client_id\":1,\"jetstream\":true}}\r\n"
    );
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (reading, mut writing) = stream.into_split();
            writing.write_all(greeting.as_bytes()).await.unwrap();
            let mut lines = BufReader::new(reading).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if line.starts_with("PING") && writing.write_all(b"PONG\r\n").await.is_err() {
                    break;
                }
            }
        }
    });
    url
}

async fn migrated_database() -> String {
    let stack = SharedStack::get().await;
    let pool = sqlx::PgPool::connect(stack.database_url()).await.unwrap();
    holdfast_common::store::schema::migrate(&pool)
        .await
        .unwrap();
    stack.database_url().to_owned()
}

#[tokio::test]
async fn old_nats_is_refused_naming_the_needed_version() {
    let database_url = migrated_database().await;
    let nats_url = greet_as("2.9.10").await;
    for name in ["holdfast-ingress", "holdfast-workers"] {
        start_and_fail(
            name,
            &database_url,
            &nats_url,
            &[],
            "nats-server 2.9.10 is too old",
        )
        .await;
        start_and_fail(name, &database_url, &nats_url, &[], "needs 2.15.1 or newer").await;
    }
}

#[tokio::test]
async fn database_without_schema_is_refused_with_advice() {
    let stack = SharedStack::get().await;
    let base = stack.database_url().rsplit_once('/').unwrap().0;
    for name in ["holdfast-ingress", "holdfast-workers"] {
        let empty = format!("{base}/template1");
        start_and_fail(
            name,
            &empty,
            stack.nats_url(),
            &[],
            "run `holdfast migrate` first",
        )
        .await;
    }
}

#[tokio::test]
async fn errors_are_one_line_with_rust_backtrace_set() {
    let stack = SharedStack::get().await;
    let base = stack.database_url().rsplit_once('/').unwrap().0;
    let empty = format!("{base}/template1");
    let backtrace = [("RUST_BACKTRACE", "1"), ("LOG_FORMAT", "json")];
    let settings = settings(&empty, stack.nats_url(), &backtrace);
    for (name, arguments) in [
        ("holdfast", &["queue", "status"][..]),
        ("holdfast-ingress", &[]),
        ("holdfast-workers", &[]),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let mut process = Process::start(&program(name), arguments, &settings, log);
        assert!(!process.ended().await, "{name} has no schema");
        let output = process.output();
        let lines = output.lines().filter(|line| !line.starts_with('{'));
        let lines: Vec<_> = lines.collect();
        assert!(
            lines.len() == 1 && lines[0].starts_with("Error: "),
            "{name}: {output}"
        );
    }
}

#[tokio::test]
async fn changed_number_of_partitions_is_refused() {
    let database_url = migrated_database().await;
    let nats_url = SharedStack::get().await.nats_url();
    let directory = tempfile::tempdir().unwrap();
    let eight = settings(&database_url, nats_url, &[("PARTITIONS", "8")]);
    let mut first = Process::start(
        &program("holdfast-ingress"),
        &[],
        &eight,
        directory.path().join("log"),
    );
    first.line("\"listening\"").await;
    for name in ["holdfast-ingress", "holdfast-workers"] {
        start_and_fail(
            name,
            &database_url,
            nats_url,
            &[("PARTITIONS", "4")],
            "set PARTITIONS=8",
        )
        .await;
    }
}

/// The rejected settings, the programs that reject them, and the settings that accept them.
const UNSAFE: [(&str, &str, &str, &str); 11] = [
    ("holdfast-ingress", "ADMIN_TOKEN", "dev-admin-token", ""),
    (
        "holdfast-ingress",
        "WEBHOOK_SECRETS",
        "of-my-own,dev-webhook-secret",
        "",
    ),
    ("holdfast-ingress", "ADMIN_TOKEN", "s3cret", "short-secrets"),
    (
        "holdfast-ingress",
        "WEBHOOK_SECRETS",
        "of-my-own,s3cret",
        "short-secrets",
    ),
    (
        "holdfast-ingress",
        "TRUSTED_PROXIES",
        "10.0.0.0/8,0.0.0.0/0",
        "any-proxy",
    ),
    (
        "holdfast-ingress",
        "DATABASE_URL",
        "postgres://u:s3cret@203.0.113.5/x",
        "plain-postgres",
    ),
    (
        "holdfast-workers",
        "NATS_URL",
        "nats://127.0.0.1:1,nats://u:s3cret@203.0.113.5",
        "plain-nats",
    ),
    (
        "holdfast-workers",
        "REFUND_URL",
        "http://u:s3cret@203.0.113.5/refunds",
        "plain-http",
    ),
    (
        "holdfast-workers",
        "EVENT_URLS",
        "http://127.0.0.1/,http://203.0.113.5/?s3cret",
        "plain-http",
    ),
    (
        "holdfast-workers",
        "REFUND_SECRET",
        "s3cret",
        "short-secrets",
    ),
    (
        "holdfast-workers",
        "EVENT_SECRETS",
        "s3cret",
        "short-secrets",
    ),
];

#[tokio::test]
async fn unsafe_settings_are_rejected_without_echoing_values() {
    let directory = tempfile::tempdir().unwrap();
    let run = |name: &str, setting, value, accepted| {
        let mut settings = settings(
            "postgres://127.0.0.1:1/x",
            "nats://127.0.0.1:1",
            &[(setting, value)],
        );
        settings.push(("ALLOW_UNSAFE".to_owned(), accepted));
        let log = tempfile::NamedTempFile::new_in(directory.path())
            .unwrap()
            .into_temp_path()
            .keep()
            .unwrap();
        Process::start(&program(name), &[], &settings, log)
    };
    for (name, setting, value, risk) in UNSAFE {
        let others = [
            "short-secrets",
            "any-proxy",
            "plain-postgres",
            "plain-nats",
            "plain-http",
        ];
        let others = others
            .into_iter()
            .filter(|other| *other != risk)
            .collect::<Vec<_>>()
            .join(",");
        let mut refused = run(name, setting, value, others);
        assert!(
            !refused.ended().await,
            "{name} started with {setting}={value}"
        );
        let output = refused.output();
        assert!(
            output.contains(&format!("\n{setting} ")),
            "{setting}={value}: {output}"
        );
        assert!(!output.contains("s3cret"), "{setting}: {output}");
        if risk.is_empty() {
            continue;
        }
        assert!(
            output.contains(&format!("ALLOW_UNSAFE={risk}")),
            "{setting}={value}: {output}"
        );
        // The program continues, and tries to connect to Postgres, which does not run.
        let mut accepted = run(name, setting, value, risk.to_owned());
        let warning = accepted.line("accepted by ALLOW_UNSAFE").await;
        assert!(warning.contains(setting), "{warning}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn ingress_uses_no_huge_pages() {
    let sale = holdfast_tests::Sale::start().await;
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", sale.ingresses[0].pid())).unwrap();
    assert!(status.contains("\nTHP_enabled:\t0\n"), "{status}");
}
