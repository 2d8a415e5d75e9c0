//! Tests of users of NATS: password, token and credentials file. Wrong credentials are rejected and not logged.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use holdfast_stack::Stack;
use holdfast_tests::{Process, program, start_stack};
use nkeys::KeyPair;
use serde_json::{Value, json};

use crate::security::certificates::nats_with;

/// The error for wrong credentials.
const REFUSED: &str = "NATS refuses the user, password, token or credentials";

struct NatsStack {
    stack: Stack,
    directory: tempfile::TempDir,
}

impl NatsStack {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let stack = start_stack(&directory.path().join("stack")).await;
        let pool = sqlx::PgPool::connect(stack.database_url()).await.unwrap();
        holdfast_common::store::schema::migrate(&pool)
            .await
            .unwrap();
        pool.close().await;
        Self { stack, directory }
    }

    async fn nats_with(&mut self, change: impl FnOnce(String) -> String) {
        nats_with(
            &mut self.stack,
            &self.directory.path().join("stack"),
            change,
        )
        .await;
    }

    /// The URL of NATS with this user.
    fn url(&self, user: &str) -> String {
        self.stack
            .nats_url()
            .replace("nats://", &format!("nats://{user}"))
    }

    fn ingress(&self, nats_url: &str, more: &[(&str, &str)]) -> Process {
        let settings = [
            ("DATABASE_URL", self.stack.database_url()),
            ("NATS_URL", nats_url),
            ("PORT", "0"),
        ];
        let settings = settings
            .iter()
            .chain(more)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        // The level `trace` also shows what the NATS client logs about its credentials.
        let settings: Vec<_> = settings
            .chain([("RUST_LOG".to_owned(), "trace".to_owned())])
            .collect();
        let log = tempfile::NamedTempFile::new_in(self.directory.path())
            .unwrap()
            .into_temp_path()
            .keep()
            .unwrap();
        Process::start(&program("holdfast-ingress"), &[], &settings, log)
    }

    async fn is_let_in(&self, nats_url: &str, more: &[(&str, &str)], secret: &str) {
        let mut ingress = self.ingress(nats_url, more);
        ingress.line("\"listening\"").await;
        assert!(
            !ingress.output().contains(secret),
            "the log contains the secret"
        );
    }

    async fn is_refused(&self, nats_url: &str, more: &[(&str, &str)], words: &str) {
        let mut ingress = self.ingress(nats_url, more);
        assert!(!ingress.ended().await, "the ingress started");
        assert!(
            ingress.output().contains(words),
            "the log does not contain {words:?}:\n{}",
            ingress.output()
        );
        assert!(
            !ingress.output().contains("s3cret"),
            "the log contains the secret"
        );
    }
}

#[tokio::test]
async fn nats_url_may_have_a_user_or_token_and_is_not_echoed() {
    let mut nats = NatsStack::start().await;
    nats.nats_with(|text| {
        text.replace("no_auth_user: holdfast", "")
            .replace("password: holdfast", "password: \"s3cret/1\"")
    })
    .await;
    let (right, wrong) = (
        nats.url("holdfast:s3cret%2F1@"),
        nats.url("holdfast:s3cret@"),
    );
    nats.is_let_in(&right, &[], "s3cret").await;
    // One reachable server of several is enough.
    nats.is_let_in(&format!("nats://127.0.0.1:1,{right}"), &[], "s3cret")
        .await;
    nats.is_refused(&wrong, &[], REFUSED).await;
    nats.is_refused(&nats.url(""), &[], REFUSED).await;

    nats.nats_with(|_| {
        "jetstream { sync_interval: always }\nauthorization { token: \"s3cret-t0ken\" }".to_owned()
    })
    .await;
    nats.is_let_in(&nats.url("s3cret-t0ken@"), &[], "s3cret")
        .await;
    nats.is_refused(&nats.url("s3cret-other@"), &[], REFUSED)
        .await;
    nats.stack.stop().await.unwrap();
}

/// A JWT in the form of NATS, signed by its issuer.
fn jwt(issuer: &KeyPair, subject: &KeyPair, kind: &str, mut claims: Value) -> String {
    claims["type"] = kind.into();
    claims["version"] = 2.into();
    let body = json!({"jti": "x", "iat": 1, "iss": issuer.public_key(), "sub": subject.public_key(), "nats": claims});
    let head = json!({"typ": "JWT", "alg": "ed25519-nkey"});
    let text = [head, body]
        .map(|part| URL_SAFE_NO_PAD.encode(part.to_string()))
        .join(".");
    let signature = URL_SAFE_NO_PAD.encode(issuer.sign(text.as_bytes()).unwrap());
    format!("{text}.{signature}")
}

fn credentials(file: &Path, jwt: &str, seed: &str) {
    let text = format!(
        "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    );
    std::fs::write(file, text).unwrap();
}

#[tokio::test]
async fn credentials_file_must_be_of_a_known_user() {
    let mut nats = NatsStack::start().await;
    let operator = KeyPair::new_operator();
    let [system, shop, strange] = std::array::from_fn(|_| KeyPair::new_account());
    let user = KeyPair::new_user();
    let no_limits = json!({"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
        "conn": -1, "leaf": -1, "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1});
    let operator_jwt = jwt(
        &operator,
        &operator,
        "operator",
        json!({"system_account": system.public_key()}),
    );
    let shop_jwt = jwt(&operator, &shop, "account", json!({"limits": no_limits}));
    let system_jwt = jwt(&operator, &system, "account", json!({}));
    nats
        .nats_with(|_| {
            format!(
                "jetstream {{ sync_interval: always }}\noperator: {operator_jwt}\nsystem_account: {}\nresolver: MEMORY\n\
                 resolver_preload: {{ {}: {shop_jwt}\n {}: {system_jwt} }}",
                system.public_key(),
                shop.public_key(),
                system.public_key()
            )
        })
        .await;
    let seed = user.seed().unwrap();
    let [right, wrong, damaged] =
        ["right", "wrong", "damaged"].map(|name| nats.directory.path().join(name));
    credentials(
        &right,
        &jwt(
            &shop,
            &user,
            "user",
            json!({"subs": -1, "data": -1, "payload": -1}),
        ),
        &seed,
    );
    credentials(
        &wrong,
        &jwt(
            &strange,
            &user,
            "user",
            json!({"subs": -1, "data": -1, "payload": -1}),
        ),
        &seed,
    );
    credentials(&damaged, "eyJ0.eyJ0.x", "s3cret");
    let file = |path: &Path| [("NATS_CREDENTIALS_FILE", path.to_str().unwrap().to_owned())];
    let url = nats.url("");
    let [(name, right)] = file(&right);
    nats.is_let_in(&url, &[(name, &right)], &seed).await;
    for (path, words) in [(&wrong, REFUSED), (&damaged, "NATS_CREDENTIALS_FILE names")] {
        let [(name, path)] = file(path);
        nats.is_refused(&url, &[(name, &path)], words).await;
    }
    nats.is_refused(&url, &[], REFUSED).await;
    nats.stack.stop().await.unwrap();
}
