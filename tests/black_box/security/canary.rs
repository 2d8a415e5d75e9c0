//! Tests that no input of clients or payment providers, and no secret, reaches a log, a metric or a problem document.
//!
//! A canary string is sent in every field of every endpoint, and is part of every secret, while everything is logged.

use holdfast_tests::{Answer, Sale, SaleBuilder, Webhook};
use reqwest::Method;
use serde_json::{Value, json};

/// The canary in every field and secret. It is valid in ids, keys and names.
const CANARY: &str = "sk_live_c4n4ry51NG5";
/// The id of an order that does not exist.
const NO_ORDER: &str = "01a20634-0c9b-8cc1-96dc-8d450eaf51d9";
/// All log lines of Holdfast, and those of libraries that production logs.
const ALL_OF_OURS: &str = "info,async_nats=warn,sqlx=warn,holdfast=trace";

fn canary(what: &str) -> String {
    format!("{CANARY}_{what}")
}

/// The canary with characters of base64 only.
fn in_base64() -> String {
    CANARY.replace('_', "/")
}

/// A secret for Standard Webhooks whose text contains the canary.
fn webhook_secret() -> String {
    format!(
        "whsec_{}",
        in_base64().repeat(4).get(..32).unwrap_or_default()
    )
}

/// A key of 32 bytes whose text contains the canary.
fn key(first: &str) -> String {
    format!(
        "{first}{}A=",
        in_base64().repeat(4).get(..41).unwrap_or_default()
    )
}

struct Requests {
    sale: Sale,
    answers: Vec<Answer>,
}

impl Requests {
    async fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Answer {
        let answer = self
            .sale
            .client()
            .send(method, path, headers, body.map(String::into_bytes))
            .await;
        self.answers.push(answer.clone());
        answer
    }

    async fn json(&mut self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        self.send(Method::POST, path, &all, Some(body.to_string()))
            .await
    }

    async fn webhook(&mut self, webhook: &Webhook, secret: &str) -> Answer {
        let headers = webhook.headers(secret, 0);
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        self.json("/api/payments/webhook", &headers, &webhook.body)
            .await
    }
}

/// Variants of a document: with the canary for each text, and for each value.
fn bent(good: &Value) -> Vec<Value> {
    // The canary is not used as a field's name, because a problem document names unknown fields.
    let mut documents = vec![json!(CANARY), json!([CANARY]), json!({ "unknown": CANARY })];
    for name in good.as_object().into_iter().flatten().map(|(name, _)| name) {
        let mut document = good.clone();
        document[name] = json!(canary(name));
        documents.push(document.clone());
        document[name] = json!({ "unknown": [CANARY] });
        documents.push(document);
    }
    documents
}

async fn shoppers(all: &mut Requests, product: i64) -> String {
    let keyed = [
        ("idempotency-key", &*canary("key")),
        ("prefer", &*canary("prefer")),
        ("x-forwarded-for", CANARY),
    ];
    let good = json!({"product_id": product, "quantity": 1, "customer_id": canary("customer")});
    let made = all.json("/api/holds", &keyed, &good).await;
    assert_eq!(made.status, 201, "{made:?}");
    all.json(
        "/api/holds",
        &keyed,
        &json!({"product_id": product, "quantity": 2}),
    )
    .await;
    for document in bent(&good) {
        all.json(
            "/api/holds",
            &[("idempotency-key", &canary("other"))],
            &document,
        )
        .await;
    }
    let sold_out =
        json!({"product_id": product, "quantity": 5000, "customer_id": canary("customer")});
    all.json("/api/holds", &[], &sold_out).await;
    let queued = all
        .json(
            "/api/holds",
            &[
                ("prefer", "respond-async"),
                ("idempotency-key", &canary("async")),
            ],
            &good,
        )
        .await;
    assert_eq!(queued.status, 202);
    let hold = made.body["hold_id"].as_str().unwrap().to_owned();
    for document in bent(&json!({"hold_id": hold})) {
        all.json("/api/orders", &[], &document).await;
    }
    let order = all
        .json("/api/orders", &keyed, &json!({"hold_id": hold}))
        .await;
    assert_eq!(order.status, 201, "{order:?}");
    for path in ["holds", "orders", "requests", "products", CANARY] {
        let path = format!("/api/{path}/{CANARY}?after={CANARY}&limit={CANARY}&seq={CANARY}");
        all.send(
            Method::GET,
            &path,
            &[("if-none-match", CANARY), ("cookie", CANARY)],
            None,
        )
        .await;
        all.send(Method::DELETE, &path, &keyed, None).await;
    }
    all.send(
        Method::GET,
        &format!("/api/products?after={CANARY}"),
        &[],
        None,
    )
    .await;
    all.send(
        Method::POST,
        "/api/holds",
        &[("content-type", CANARY)],
        Some(CANARY.to_owned()),
    )
    .await;
    all.send(
        Method::POST,
        "/api/holds",
        &[("content-type", "application/json")],
        Some(CANARY.to_owned()),
    )
    .await;
    hold
}

async fn providers(all: &mut Requests, order: &str) {
    let signed = |id: &str, payment: &str, status: &str| {
        Webhook::new(&canary(id), order, &canary(payment), status)
    };
    let mismatch = signed("mismatch", "payment-1", "succeeded").with("amount_minor", json!(1));
    let mismatch = mismatch
        .with("currency", json!("USD"))
        .with("note", json!(CANARY));
    assert_eq!(
        all.webhook(&mismatch, &webhook_secret()).await.body["result"],
        "mismatch"
    );
    for webhook in [
        signed("pays", "payment-2", "succeeded"),
        signed("again", "payment-3", "succeeded"),
    ] {
        let answer = all.webhook(&webhook, &webhook_secret()).await;
        assert!(
            ["processed", "refund_due"].contains(&answer.body["result"].as_str().unwrap()),
            "{answer:?}"
        );
        all.webhook(&webhook, &webhook_secret()).await;
    }
    let mut other = signed("pays", "payment-4", "failed");
    all.webhook(&other, &webhook_secret()).await;
    for document in bent(&other.body.clone()) {
        other.body = document;
        all.webhook(&other, &webhook_secret()).await;
    }
    for header in [
        "x-webhook-signature",
        "stripe-signature",
        "webhook-signature",
        "authorization",
    ] {
        let headers = [
            (header, CANARY),
            ("x-idempotency-key", CANARY),
            ("webhook-id", CANARY),
            ("webhook-timestamp", CANARY),
        ];
        all.json(
            "/api/payments/webhook",
            &headers,
            &json!({"payment_id": CANARY}),
        )
        .await;
    }
}

async fn operators(all: &mut Requests) -> i64 {
    let token = format!("Bearer {}", canary("token"));
    let admin = [("authorization", token.as_str())];
    let good = json!({"name": canary("name"), "price_minor": 999, "currency": "USD", "total_stock": 100,
        "max_per_customer": 90, "sale_starts_at": "2020-01-01T00:00:00Z", "sale_ends_at": "2099-01-01T00:00:00Z"});
    let made = all.json("/api/admin/products", &admin, &good).await;
    assert_eq!(made.status, 201, "{made:?}");
    let product = made.body["id"].as_i64().unwrap();
    for document in bent(&good) {
        all.json("/api/admin/products", &admin, &document).await;
        let change = Some(document.to_string());
        let json = ("content-type", "application/json");
        all.send(
            Method::PATCH,
            &format!("/api/admin/products/{product}"),
            &[admin[0], json],
            change,
        )
        .await;
    }
    for document in bent(&json!({"quantity": 1})) {
        all.json(
            &format!("/api/admin/products/{product}/restock"),
            &admin,
            &document,
        )
        .await;
    }
    for list in [
        "payments",
        "refunds",
        "dead-letters",
        "event-dead-letters",
        "audit",
        "stock/verify",
    ] {
        let names = [
            "product_id",
            "hold_id",
            "order_id",
            "state",
            "after",
            "limit",
        ];
        let all_of_them = names.map(|name| format!("{name}={CANARY}")).join("&");
        let queries = names.map(|name| format!("{name}={CANARY}")).into_iter();
        for query in queries.chain([all_of_them, format!("{CANARY}={CANARY}")]) {
            all.send(
                Method::GET,
                &format!("/api/admin/{list}?{query}"),
                &admin,
                None,
            )
            .await;
        }
    }
    for path in ["retry", "resolve"].map(|how| format!("/api/admin/refunds/{how}")) {
        for document in bent(&json!({"order_id": NO_ORDER, "payment_id": canary("payment")})) {
            all.json(&path, &admin, &document).await;
        }
    }
    for what in ["dead-letters", "event-dead-letters"] {
        all.send(
            Method::GET,
            &format!("/api/admin/{what}/{CANARY}"),
            &admin,
            None,
        )
        .await;
        for how in ["retry", "drop"] {
            all.json(
                &format!("/api/admin/{what}/{CANARY}/{how}"),
                &admin,
                &json!({"note": CANARY}),
            )
            .await;
        }
    }
    for id in [CANARY.to_owned(), product.to_string()] {
        all.json(
            &format!("/api/admin/products/{id}/recalculate"),
            &admin,
            &json!({"note": CANARY}),
        )
        .await;
    }
    let authorization = [
        ("authorization", &*format!("Bearer {CANARY}x")),
        ("x-admin", CANARY),
    ];
    all.json("/api/admin/products", &authorization, &good).await;
    product
}

/// Signs in to the console, once with a wrong token; returns the value of the cookie.
async fn console(all: &mut Requests) -> String {
    let form = ("content-type", "application/x-www-form-urlencoded");
    let path = "/console/session";
    for (name, token) in [("token", canary("wrong")), (CANARY, canary("token"))] {
        let refused = all
            .send(Method::POST, path, &[form], Some(format!("{name}={token}")))
            .await;
        assert!(refused.status.is_client_error(), "{refused:?}");
    }
    // The client must not follow the redirect, which has the cookie.
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let url = format!("http://{}{path}", all.sale.client().address());
    let signed_in = client
        .post(url)
        .header(form.0, form.1)
        .body(format!("token={}", canary("token")))
        .send();
    let signed_in = signed_in.await.unwrap();
    let cookie = signed_in.headers()["set-cookie"]
        .to_str()
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let forged = format!("holdfast_session={CANARY}");
    for (cookie, status) in [(&cookie, 200), (&forged, 401)] {
        let answer = all
            .send(
                Method::GET,
                "/api/admin/overview",
                &[("cookie", cookie)],
                None,
            )
            .await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    cookie.split_once('=').unwrap().1.to_owned()
}

/// Opens an event stream with a `Last-Event-ID` that is not a version.
async fn watch(all: &Requests, product: i64) {
    let url = format!(
        "http://{}/api/products/{product}/events",
        all.sale.client().address()
    );
    let mut events = reqwest::Client::new()
        .get(url)
        .header("last-event-id", CANARY)
        .send()
        .await
        .unwrap();
    assert!(events.status().is_success() && events.chunk().await.unwrap().is_some());
}

/// Posts a dead letter of an event again.
async fn dead_event(all: &mut Requests) {
    all.sale.workers[0]
        .line("an event was not accepted in time and is now a dead letter")
        .await;
    let token = format!("Bearer {}", canary("token"));
    let admin = [("authorization", token.as_str())];
    let listed = all
        .send(Method::GET, "/api/admin/event-dead-letters", &admin, None)
        .await;
    let id = listed.body["event_dead_letters"][0]["event_id"]
        .as_str()
        .unwrap_or_else(|| panic!("{listed:?}"))
        .to_owned();
    let retried = all
        .json(
            &format!("/api/admin/event-dead-letters/{id}/retry"),
            &admin,
            &json!({"note": CANARY}),
        )
        .await;
    assert!(retried.status.is_success(), "{retried:?}");
}

/// Makes a row inconsistent, so that a command becomes a dead letter and its error is logged.
async fn poison(all: &mut Requests, product: i64) {
    let broken = sqlx::query("UPDATE products SET currency = '???' WHERE product_id = $1");
    broken.bind(product).execute(&all.sale.pool).await.unwrap();
    let hold = json!({"product_id": product, "quantity": 1, "customer_id": canary("poison")});
    let failed = all
        .json(
            "/api/holds",
            &[("idempotency-key", &canary("poison"))],
            &hold,
        )
        .await;
    assert_eq!(failed.problem(), "command_failed");
}

#[tokio::test]
async fn logs_metrics_and_problems_have_no_input_or_secret() {
    send_everywhere(SaleBuilder::default()).await;
}

#[tokio::test]
async fn logs_have_no_input_or_key_with_encryption() {
    let builder = SaleBuilder::default().setting("ENCRYPTION_KEYS", &format!("a:{}", key("k")));
    send_everywhere(builder.setting("ENCRYPTION_INDEX_KEY", &key("i"))).await;
}

async fn send_everywhere(builder: SaleBuilder) {
    let builder = builder
        .setting("RUST_LOG", ALL_OF_OURS)
        .setting("METRICS_PORT", "0");
    let builder = builder
        .setting("METRICS_ADDRESS", "127.0.0.1")
        .setting("ADMIN_TOKEN", &canary("token"));
    let builder = builder
        .setting("WEBHOOK_SECRETS", &webhook_secret())
        .setting("REFUND_SECRET", &canary("refund"));
    let refused = format!("http://127.0.0.1:1/{CANARY}?token={CANARY}");
    let builder = builder
        .setting("REFUND_URL", &refused)
        .setting("EVENT_URLS", &refused);
    let builder = builder.setting(
        "EVENT_SECRETS",
        &format!("{},{}", webhook_secret(), canary("events")),
    );
    let sale = builder.setting("EVENT_RETRY_SECONDS", "1").start().await;
    let mut all = Requests {
        sale,
        answers: Vec::new(),
    };
    let product = operators(&mut all).await;
    let cookie = console(&mut all).await;
    watch(&all, product).await;
    let order = shoppers(&mut all, product).await;
    providers(&mut all, &order).await;
    all.sale.workers[0]
        .line("a refund request was not accepted")
        .await;
    dead_event(&mut all).await;
    poison(&mut all, product).await;

    let Requests { mut sale, answers } = all;
    let worker = sale.workers[0].line("\"serving metrics\"").await;
    let worker: Value = serde_json::from_str(&worker).unwrap();
    let worker =
        holdfast_tests::Client::new(&format!("http://{}", worker["address"].as_str().unwrap()));
    let mut places = vec![
        (
            "the ingress's metrics",
            sale.client().get("/metrics").await.text,
        ),
        ("the worker's metrics", worker.get("/metrics").await.text),
        ("the ingress's log", sale.ingress_output()),
        ("the worker's log", sale.workers[0].output()),
    ];
    assert!(
        places[2].1.contains("\"answered\"") && places[3].1.contains("\"command applied\""),
        "the logs do not have the lines of level debug"
    );
    let problems = answers
        .into_iter()
        .filter(|answer| answer.header("content-type") == "application/problem+json");
    places.extend(problems.map(|answer| ("a problem document", answer.text)));
    assert!(places.len() > 100, "only {} problems", places.len());
    for (place, text) in places {
        for secret in [CANARY, &in_base64(), &cookie] {
            let shown = text
                .find(secret)
                .map(|at| &text[at.saturating_sub(300)..(at + 60).min(text.len())]);
            assert_eq!(shown, None, "{place} contains {secret}");
        }
    }
}
