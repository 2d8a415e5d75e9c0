//! Tests of webhooks without a valid signature: they are rejected, and nothing is written.

use holdfast_tests::{Answer, Sale, SaleBuilder, WEBHOOK_SECRET, Webhook};
use reqwest::Method;

async fn send(sale: &Sale, headers: &[(&'static str, String)], body: &str) -> Answer {
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    sale.client()
        .send(
            Method::POST,
            "/api/payments/webhook",
            &headers,
            Some(body.into()),
        )
        .await
}

#[tokio::test]
async fn bad_webhooks_are_rejected_in_the_contracts_order() {
    let sale = Sale::start().await;
    let product = sale.product(10).await;
    let order = sale.order(product, 1).await;
    let webhook = Webhook::new("k", &order, "pay_1", "succeeded");
    let (body, right) = (webhook.body.to_string(), webhook.headers(WEBHOOK_SECRET, 0));
    let wrong_secret = webhook.headers("whsec_b3RoZXItc2VjcmV0LW90aGVyLXNlY3JldA==", 0);
    let (stale, future) = (
        webhook.headers(WEBHOOK_SECRET, -330),
        webhook.headers(WEBHOOK_SECRET, 330),
    );
    let unsigned = |answer: &Answer, what: &str| {
        assert_eq!(
            (answer.status.as_u16(), answer.problem()),
            (401, "signature_invalid"),
            "{what}"
        );
    };
    unsigned(&send(&sale, &[], &body).await, "no header");
    unsigned(&send(&sale, &wrong_secret, &body).await, "wrong secret");
    unsigned(
        &send(&sale, &right, &body.replace("pay_1", "pay_2")).await,
        "altered body",
    );
    unsigned(&send(&sale, &stale, &body).await, "stale");
    unsigned(&send(&sale, &future, &body).await, "from the future");
    for missing in 0..3 {
        let mut some = right.to_vec();
        some.remove(missing);
        unsigned(&send(&sale, &some, &body).await, "one header missing");
    }
    let too_long = send(&sale, &[], &" ".repeat(65 * 1024)).await;
    assert_eq!(
        (too_long.status.as_u16(), too_long.problem()),
        (413, "payload_too_large")
    );

    let bad_form = Webhook {
        key: "k2".to_owned(),
        body: serde_json::json!({"order_id": order, "status": "maybe"}),
    };
    let refused = send(
        &sale,
        &bad_form.headers(WEBHOOK_SECRET, 0),
        &bad_form.body.to_string(),
    )
    .await;
    assert_eq!(
        (refused.status.as_u16(), refused.problem()),
        (422, "invalid_request")
    );
    let fields: Vec<_> = refused.body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| &error["field"])
        .collect();
    assert_eq!(fields, ["payment_id", "status"]);

    assert_eq!(
        sale.count("SELECT count(*) FROM payments WHERE arrival >= $1", 0)
            .await,
        0
    );
    assert_eq!(
        sale.count(
            "SELECT count(*) FROM idempotency_keys WHERE endpoint = $1",
            5
        )
        .await,
        0
    );
    assert_eq!(
        sale.count(
            "SELECT sold_stock FROM products WHERE product_id = $1",
            product
        )
        .await,
        0
    );
}

#[tokio::test]
async fn plain_webhook_needs_a_key_and_secrets_can_rotate() {
    // A fixed signature of this body, made with Python's hmac and hashlib.
    let body = r#"{"order_id":"01a205c9-8f56-8cc1-9b7d-29b3ac88daff","payment_id":"pay_1","status":"succeeded","timestamp":"2026-01-01T00:00:00Z"}"#;
    let signature = "470a770d3f5bd87dbc0cebc6de28180b564c2119c5a1a390c8e391184c7803fa";
    let sale = SaleBuilder::default()
        .setting("WEBHOOK_SECRETS", "new-secret, old-secret")
        .start()
        .await;
    let keyless = send(
        &sale,
        &[("x-webhook-signature", signature.to_owned())],
        body,
    )
    .await;
    assert_eq!(
        (keyless.status.as_u16(), keyless.problem()),
        (400, "idempotency_key_missing")
    );
    let signed = [
        ("x-webhook-signature", format!("sha256={signature}")),
        ("x-idempotency-key", "k".to_owned()),
    ];
    let parked = send(&sale, &signed, body).await;
    assert_eq!(
        (parked.status.as_u16(), &parked.body["result"]),
        (202, &"parked".into())
    );
}
