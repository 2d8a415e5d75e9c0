//! Tests of rate limits: clients over the limit get 429.

use futures_util::future::join_all;
use holdfast_tests::{Answer, Sale, SaleBuilder, Webhook, metric_sum, until};
use reqwest::{Method, StatusCode};
use serde_json::json;

/// A limit that a test exceeds even on a slow machine.
fn limited(setting: &str) -> SaleBuilder {
    SaleBuilder::default().worker_http().setting(setting, "1")
}

fn check_refusal(answer: &Answer, policy: &str) {
    assert_eq!(
        (answer.status, answer.problem()),
        (StatusCode::TOO_MANY_REQUESTS, "rate_limited"),
        "{answer:?}"
    );
    assert!(
        answer.header("retry-after").parse::<u64>().unwrap() >= 1,
        "{answer:?}"
    );
    let has = |name: &str, text: &str| {
        answer
            .headers
            .get_all(name)
            .iter()
            .any(|value| value.to_str().unwrap().starts_with(text))
    };
    assert!(
        has("ratelimit-policy", &format!("\"{policy}\";q=2;w=2")),
        "{answer:?}"
    );
    assert!(
        has("ratelimit", &format!("\"{policy}\";r=0;t=")),
        "{answer:?}"
    );
}

/// Repeats a request until it is refused.
async fn until_refused(what: &str, ask: impl AsyncFn() -> Answer) -> Answer {
    until(what, async || {
        // Several requests at once, so that a slow machine exceeds the limit, too.
        let answers = join_all((0..10).map(|_| ask())).await;
        answers
            .into_iter()
            .find(|answer| answer.status == StatusCode::TOO_MANY_REQUESTS)
    })
    .await
}

async fn hold_for(sale: &Sale, product: i64, customer: &str, headers: &[(&str, &str)]) -> Answer {
    let body = json!({"product_id": product, "quantity": 1, "customer_id": customer});
    sale.client().post("/api/holds", headers, &body).await
}

#[tokio::test]
async fn address_over_the_limit_gets_429_with_retry_after() {
    let sale = limited("RATE_LIMIT_PER_IP").start().await;
    let product = sale.product(1000).await;
    let path = format!("/api/products/{product}");
    let first = sale.client().get(&path).await;
    assert_eq!(
        (first.status, first.header("ratelimit")),
        (StatusCode::OK, "\"ip\";r=1;t=1")
    );
    assert_eq!(first.header("ratelimit-policy"), "\"ip\";q=2;w=2");
    check_refusal(
        &until_refused("a read to be refused", async || {
            sale.client().get(&path).await
        })
        .await,
        "ip",
    );
    let refused = until_refused("a hold to be refused", async || {
        sale.client().hold(product, 1, &[]).await
    })
    .await;
    check_refusal(&refused, "ip");
    for (path, method) in [
        ("/api/products", Method::GET),
        ("/api/orders", Method::POST),
    ] {
        let ask = async || sale.client().send(method.clone(), path, &[], None).await;
        check_refusal(&until_refused(path, ask).await, "ip");
    }
    let refused = metric_sum(
        sale.client(),
        "holdfast_http_requests_total",
        &[("status", "429")],
    )
    .await;
    assert!(refused >= 4.0);
    assert_eq!(
        metric_sum(
            sale.client(),
            "holdfast_rate_limited_total",
            &[("limit", "ip")]
        )
        .await,
        refused
    );
}

#[tokio::test]
async fn webhooks_admin_calls_and_health_have_no_rate_limit() {
    let sale = limited("RATE_LIMIT_PER_IP").start().await;
    sale.product(1).await;
    until_refused("the address to be refused", async || {
        sale.client().get("/api/products").await
    })
    .await;
    let webhooks: Vec<_> = (0..50)
        .map(|number| {
            Webhook::new(
                &format!("k{number}"),
                UNKNOWN_ORDER,
                &format!("pay_{number}"),
                "succeeded",
            )
        })
        .collect();
    for answer in join_all(webhooks.iter().map(|webhook| webhook.send(sale.client()))).await {
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
        assert_eq!(answer.header("ratelimit"), "");
    }
    for path in ["/healthz", "/readyz", "/api/admin/overview"] {
        for answer in join_all((0..10).map(|_| sale.admin_get(path))).await {
            assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        }
    }
}

const UNKNOWN_ORDER: &str = "01a20634-0c9b-8cc1-96dc-8d450eaf51d9";

#[tokio::test]
async fn customer_over_the_limit_gets_429_and_others_do_not() {
    let sale = limited("RATE_LIMIT_PER_KEY").start().await;
    let product = sale.product(1000).await;
    let first = hold_for(&sale, product, "c-1", &[]).await;
    assert_eq!(
        (first.status, first.header("ratelimit")),
        (StatusCode::CREATED, "\"customer\";r=1;t=1")
    );
    let refused = until_refused("c-1 to be refused", async || {
        hold_for(&sale, product, "c-1", &[]).await
    })
    .await;
    check_refusal(&refused, "customer");
    assert_eq!(
        hold_for(&sale, product, "c-2", &[]).await.status,
        StatusCode::CREATED
    );
    for answer in join_all((0..10).map(|_| sale.client().hold(product, 1, &[]))).await {
        assert_eq!(
            (answer.status, answer.header("ratelimit")),
            (StatusCode::CREATED, ""),
            "holds without a customer are not limited"
        );
    }
    let answered = [("endpoint", "create_hold"), ("status", "429")];
    let refused = metric_sum(sale.client(), "holdfast_http_requests_total", &answered).await;
    assert!(refused >= 1.0);
    for (limit, times) in [("customer", refused), ("ip", 0.0)] {
        assert_eq!(
            metric_sum(
                sale.client(),
                "holdfast_rate_limited_total",
                &[("limit", limit)]
            )
            .await,
            times,
            "{limit}"
        );
    }
}

#[tokio::test]
async fn limited_request_is_no_command_and_its_key_stays_free() {
    let sale = limited("RATE_LIMIT_PER_KEY").start().await;
    let product = sale.product(1000).await;
    let mut created = 0;
    let key = until("a keyed hold to be refused", async || {
        let keys: Vec<_> = (0..10)
            .map(|number| format!("k-{created}-{number}"))
            .collect();
        let keyed = keys
            .iter()
            .map(async |key| hold_for(&sale, product, "c-1", &[("idempotency-key", key)]).await);
        let answers = join_all(keyed).await;
        created += answers
            .iter()
            .filter(|answer| answer.status == StatusCode::CREATED)
            .count() as i64;
        let refused = answers
            .iter()
            .position(|answer| answer.status == StatusCode::TOO_MANY_REQUESTS)?;
        Some(keys[refused].clone())
    })
    .await;
    let holds = "SELECT count(*) FROM holds WHERE product_id = $1";
    assert_eq!(sale.count(holds, product).await, created);
    let repeated = until("the repeat to be let in", async || {
        let answer = hold_for(&sale, product, "c-1", &[("idempotency-key", &key)]).await;
        (answer.status != StatusCode::TOO_MANY_REQUESTS).then_some(answer)
    })
    .await;
    assert_eq!(
        (repeated.status, repeated.header("idempotent-replayed")),
        (StatusCode::CREATED, "")
    );
    assert_eq!(sale.count(holds, product).await, created + 1);
}

#[tokio::test]
async fn client_address_is_accepted_only_from_trusted_proxies() {
    for (trusted_proxies, is_trusted) in [("127.0.0.0/8", true), ("10.0.0.0/8", false)] {
        let sale = limited("RATE_LIMIT_PER_IP")
            .setting("TRUSTED_PROXIES", trusted_proxies)
            .start()
            .await;
        let ask = async |address: String| {
            sale.client()
                .send(
                    Method::GET,
                    "/api/products",
                    &[("x-forwarded-for", &address)],
                    None,
                )
                .await
        };
        // The client itself chooses the left address.
        let answers =
            join_all((0..50).map(|number| ask(format!("192.0.2.1, 198.51.100.{number}")))).await;
        let refused = answers
            .iter()
            .filter(|answer| answer.status == StatusCode::TOO_MANY_REQUESTS)
            .count();
        assert_eq!(refused == 0, is_trusted, "{refused} of 50 clients got 429");
        let one_client = async || ask("198.51.100.200".to_owned()).await;
        check_refusal(
            &until_refused("one client to be refused", one_client).await,
            "ip",
        );
    }
}
