//! Tests of JSON logs at `debug`: the `X-Request-Id` of a client leads to its command, and the command to its outcome.

use holdfast_tests::{SaleBuilder, WEBHOOK_SECRET, Webhook};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::failures::dead_letters::fail_holds;

const EACH_COMMAND: &str = "info,async_nats=warn,sqlx=warn,holdfast=debug";

/// The log of a program. Each line is a JSON object.
fn lines(output: &str) -> Vec<Value> {
    output
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// The only line with this message and this value of a field.
fn line<'l>(log: &'l [Value], message: &str, field: &str, value: &Value) -> &'l Value {
    let mut found = log
        .iter()
        .filter(|line| line["message"] == message && line.pointer(field) == Some(value));
    let first = found
        .next()
        .unwrap_or_else(|| panic!("no {message:?} of {field} {value}"));
    assert_eq!(found.next(), None, "twice {message:?} of {field} {value}");
    first
}

/// Follows a request through both logs: its response, its submitted command, and its applied command.
fn follow<'l>(ingress: &'l [Value], worker: &'l [Value], x_request_id: &str) -> [&'l Value; 3] {
    let id = json!(x_request_id);
    let answered = line(ingress, "answered", "/x_request_id", &id);
    let submitted = line(ingress, "command submitted", "/span/x_request_id", &id);
    let applied = line(
        worker,
        "command applied",
        "/request_id",
        &submitted["request_id"],
    );
    assert_eq!(submitted["action"], applied["action"]);
    assert!(
        answered["millis"].is_u64() && applied["batch_micros"].as_u64() > Some(0),
        "{answered} {applied}"
    );
    [answered, submitted, applied]
}

#[tokio::test]
async fn request_id_of_a_purchase_is_in_both_logs() {
    let sale = SaleBuilder::default()
        .setting("RUST_LOG", EACH_COMMAND)
        .start()
        .await;
    let product = sale.product(10).await;
    fail_holds(&sale, &["40001", "40P01"]).await;
    let held = sale
        .client()
        .hold(product, 2, &[("x-request-id", "holds-1")])
        .await;
    assert_eq!(held.status, StatusCode::CREATED, "{held:?}");
    let hold = &held.body["hold_id"];
    let order = sale
        .client()
        .post(
            "/api/orders",
            &[("x-request-id", "orders-1")],
            &json!({"hold_id": hold}),
        )
        .await;
    assert_eq!(order.status, StatusCode::CREATED, "{order:?}");
    let paid = Webhook::new("k-1", hold.as_str().unwrap(), "pay_1", "succeeded");
    let signed = paid.headers(WEBHOOK_SECRET, 0);
    let mut headers: Vec<_> = signed
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    headers.push(("x-request-id", "pays-1"));
    assert_eq!(
        sale.client()
            .post("/api/payments/webhook", &headers, &paid.body)
            .await
            .status,
        StatusCode::OK
    );

    let (ingress, worker) = (
        lines(&sale.ingress_output()),
        lines(&sale.workers[0].output()),
    );
    let [answered, submitted, applied] = follow(&ingress, &worker, "holds-1");
    assert_eq!(
        (&answered["endpoint"], &answered["status"]),
        (&json!("create_hold"), &json!(201))
    );
    assert_eq!(submitted["product_id"], product);
    assert_eq!(
        [&applied["product_id"], &applied["hold_id"]],
        [&json!(product), hold]
    );
    assert_eq!([&applied["stock_before"], &applied["stock_after"]], [10, 8]);
    assert_eq!(
        (&applied["outcome"], &applied["retries"]),
        (&json!("created"), &json!(2))
    );
    for (x_request_id, action) in [("orders-1", "create_order"), ("pays-1", "settle_payment")] {
        let [_, submitted, applied] = follow(&ingress, &worker, x_request_id);
        assert_eq!(
            (
                &applied["action"],
                &submitted["hold_id"],
                &applied["hold_id"]
            ),
            (&json!(action), hold, hold)
        );
        assert_eq!(
            [
                &applied["stock_before"],
                &applied["stock_after"],
                &applied["retries"]
            ],
            [8, 8, 0]
        );
        assert_eq!(applied["product_id"], product);
    }
}
