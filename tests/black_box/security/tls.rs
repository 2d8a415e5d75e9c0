//! Tests of TLS to Postgres and NATS: a sale runs, and a wrong server or client is rejected with advice.

use std::path::Path;

use holdfast_tests::{ADMIN_TOKEN, Client, Process, program, start_stack, until};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::security::certificates::{Authority, nats_with, postgres_with_tls};

/// The settings of programs on a stack with TLS.
struct TlsSettings {
    database_url: String,
    settings: Vec<(String, String)>,
    directory: tempfile::TempDir,
}

impl TlsSettings {
    /// Starts a program with these additional settings, which win.
    fn run(&self, name: &str, arguments: &[&str], more: &[(&str, &str)]) -> Process {
        let mut settings = self.settings.clone();
        settings.extend(
            more.iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        let log = tempfile::NamedTempFile::new_in(self.directory.path())
            .unwrap()
            .into_temp_path()
            .keep()
            .unwrap();
        Process::start(&program(name), arguments, &settings, log)
    }

    /// The URL of the database with these parameters.
    fn database(&self, parameters: &str) -> String {
        format!("{}?{parameters}", self.database_url)
    }

    /// Checks that an ingress and the doctor log these words and end.
    async fn is_refused(&self, setting: (&str, &str), words: &str) {
        for (name, arguments) in [
            ("holdfast-ingress", [].as_slice()),
            ("holdfast", &["doctor", "--json"]),
        ] {
            let mut process = self.run(name, arguments, &[setting]);
            assert!(!process.ended().await, "{name} started with {}", setting.0);
            let output = process.output();
            assert!(
                output.contains(words),
                "{name} did not log {words:?}:\n{output}"
            );
            assert!(
                !output.contains("n0t-the-password") && !output.contains("yet"),
                "{output}"
            );
        }
    }
}

fn path(file: &Path) -> &str {
    file.to_str().unwrap()
}

async fn buy_one(programs: &TlsSettings, client: &Client) {
    let authorization = format!("Bearer {ADMIN_TOKEN}");
    let product = json!({"name": "Lamp", "price_minor": 1, "currency": "USD", "total_stock": 1});
    let product = client
        .post(
            "/api/admin/products",
            &[("authorization", &authorization)],
            &product,
        )
        .await;
    let hold = client
        .hold(product.body["id"].as_i64().unwrap(), 1, &[])
        .await;
    assert_eq!(hold.status, StatusCode::CREATED, "{hold:?}");
    let pool = sqlx::PgPool::connect(&programs.database_url).await.unwrap();
    let in_the_clear = "SELECT count(*) FROM pg_stat_activity JOIN pg_stat_ssl USING (pid)
        WHERE application_name LIKE 'holdfast-%' AND NOT ssl";
    let in_the_clear: i64 = sqlx::query_scalar(in_the_clear)
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(in_the_clear, 0, "connections without TLS");
}

#[tokio::test]
async fn tls_rejects_a_wrong_ca_name_or_client_with_advice() {
    // The account of Postgres must be able to enter the directory.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    let directory = tempfile::Builder::new()
        .permissions(open)
        .tempdir()
        .unwrap();
    let stack_directory = directory.path().join("stack");
    let mut stack = start_stack(&stack_directory).await;
    let [ours, other] = ["ours", "other"].map(|name| Authority::new(directory.path(), name));
    postgres_with_tls(&mut stack, &stack_directory, &ours).await;
    let (certificate, key) = ours.issue("127.0.0.1", &directory.path().join("nats"));
    nats_with(&mut stack, &stack_directory, |text| {
        let [certificate, key, ca] =
            [&certificate, &key, &ours.file].map(|file| format!("{:?}", path(file)));
        let tls = format!(
            "tls {{ cert_file: {certificate}, key_file: {key}, ca_file: {ca}, verify: true }}"
        );
        text.replace("no_auth_user: holdfast", &tls)
    })
    .await;
    let (certificate, key) = ours.issue("holdfast", &directory.path().join("client"));
    let programs = TlsSettings {
        database_url: stack.database_url().to_owned(),
        settings: Vec::new(),
        directory,
    };
    let nats = stack
        .nats_url()
        .replace("nats://", "tls://holdfast:holdfast@");
    let settings = [
        (
            "DATABASE_URL",
            programs.database(&format!(
                "sslmode=verify-full&sslrootcert={}",
                path(&ours.file)
            )),
        ),
        ("NATS_URL", nats.clone()),
        ("NATS_CA_FILE", path(&ours.file).to_owned()),
        ("NATS_CERT_FILE", path(&certificate).to_owned()),
        ("NATS_KEY_FILE", path(&key).to_owned()),
        ("ADMIN_TOKEN", ADMIN_TOKEN.to_owned()),
        ("PORT", "0".to_owned()),
        ("PARTITIONS", "1".to_owned()),
    ];
    let programs = TlsSettings {
        settings: settings
            .map(|(name, value)| (name.to_owned(), value))
            .to_vec(),
        ..programs
    };

    let mut migrate = programs.run("holdfast", &["migrate"], &[]);
    assert!(migrate.ended().await, "{}", migrate.output());
    let _workers = programs.run("holdfast-workers", &[], &[]);
    let mut ingress = programs.run("holdfast-ingress", &[], &[]);
    let line: Value = serde_json::from_str(&ingress.line("\"listening\"").await).unwrap();
    let port = line["address"]
        .as_str()
        .unwrap()
        .rsplit_once(':')
        .unwrap()
        .1;
    buy_one(&programs, &Client::new(&format!("http://127.0.0.1:{port}"))).await;
    until("the doctor to report no problem", async || {
        programs
            .run("holdfast", &["doctor"], &[])
            .ended()
            .await
            .then_some(())
    })
    .await;

    let other_ca = programs.database(&format!(
        "sslmode=verify-full&sslrootcert={}",
        path(&other.file)
    ));
    programs
        .is_refused(
            ("DATABASE_URL", &other_ca),
            "set sslrootcert in DATABASE_URL",
        )
        .await;
    let by_name = programs.settings[0].1.replace("127.0.0.1", "localhost");
    programs
        .is_refused(
            ("DATABASE_URL", &by_name),
            "use the name of the certificate in DATABASE_URL",
        )
        .await;
    programs
        .is_refused(("NATS_CA_FILE", path(&other.file)), "set NATS_CA_FILE")
        .await;
    programs
        .is_refused(("NATS_CA_FILE", path(&key)), "NATS_CA_FILE names")
        .await;
    let by_name = nats.replace("127.0.0.1", "localhost");
    programs
        .is_refused(
            ("NATS_URL", &by_name),
            "use the name of the certificate in NATS_URL",
        )
        .await;
    let (strange_certificate, strange_key) =
        other.issue("holdfast", &programs.directory.path().join("strange"));
    std::fs::copy(strange_certificate, &certificate).unwrap();
    std::fs::copy(strange_key, &key).unwrap();
    programs
        .is_refused(("PORT", "0"), "set NATS_CERT_FILE and NATS_KEY_FILE")
        .await;
    stack.stop().await.unwrap();
}
