//! Tests of bad input: each mistake gets its problem document, and nothing is written.

use holdfast_tests::{ADMIN_TOKEN, Sale};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

async fn holds_and_outcomes(sale: &Sale) -> i64 {
    sale.count(
        "SELECT (SELECT count(*) FROM holds) + (SELECT count(*) FROM outcomes) - $1",
        0,
    )
    .await
}

#[tokio::test]
async fn bad_holds_are_rejected_and_write_nothing() {
    let sale = Sale::start().await;
    let product = sale.product(10).await;
    let before = holds_and_outcomes(&sale).await;
    let cases: [(&str, u16, &str, &[&str]); 17] = [
        ("", 400, "malformed_json", &[]),
        ("{\"product_id\": 1, ", 400, "malformed_json", &[]),
        ("product_id=1", 400, "malformed_json", &[]),
        ("[]", 422, "invalid_request", &["body"]),
        ("[1, 1, null]", 422, "invalid_request", &["body"]),
        ("{}", 422, "invalid_request", &["product_id", "quantity"]),
        (
            r#"{"product_id": 1}"#,
            422,
            "invalid_request",
            &["quantity"],
        ),
        (
            r#"{"product_id": "1", "quantity": true}"#,
            422,
            "invalid_request",
            &["product_id", "quantity"],
        ),
        (
            r#"{"product_id": 1, "quantity": 1.5}"#,
            422,
            "invalid_request",
            &["quantity"],
        ),
        (
            r#"{"product_id": 1, "quantity": 0}"#,
            422,
            "invalid_request",
            &["quantity"],
        ),
        (
            r#"{"product_id": 1, "quantity": -1}"#,
            422,
            "invalid_request",
            &["quantity"],
        ),
        (
            r#"{"product_id": 1, "quantity": 10001}"#,
            422,
            "invalid_request",
            &["quantity"],
        ),
        (
            r#"{"product_id": 1, "quantity": 99999999999999999999999}"#,
            422,
            "invalid_request",
            &["quantity"],
        ),
        (
            r#"{"product_id": 0, "quantity": 1}"#,
            422,
            "invalid_request",
            &["product_id"],
        ),
        (
            r#"{"product_id": 1, "quantity": 1, "customer_id": 7}"#,
            422,
            "invalid_request",
            &["customer_id"],
        ),
        (
            r#"{"product_id": 1, "quantity": 1, "customer_id": ""}"#,
            422,
            "invalid_request",
            &["customer_id"],
        ),
        (
            r#"{"product_id": 1, "quantity": 0, "colour": "red"}"#,
            422,
            "invalid_request",
            &["quantity", "colour"],
        ),
    ];
    for (body, status, code, fields) in cases {
        let answer = sale
            .client()
            .send(Method::POST, "/api/holds", &JSON, Some(body.into()))
            .await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem()),
            (status, code),
            "{body}"
        );
        let errors = answer.body["errors"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let named: Vec<_> = errors
            .iter()
            .map(|error| error["field"].as_str().unwrap())
            .collect();
        assert_eq!(named, fields, "{body}");
    }
    assert_eq!(holds_and_outcomes(&sale).await, before);
    assert_eq!(
        sale.count(
            "SELECT held_stock FROM products WHERE product_id = $1",
            product
        )
        .await,
        0
    );
}

#[tokio::test]
async fn unknown_ids_and_paths_get_404() {
    let sale = Sale::start().await;
    let answer = sale.client().hold(987_654, 1, &[]).await;
    assert_eq!(
        (answer.status, answer.problem()),
        (StatusCode::NOT_FOUND, "product_not_found")
    );
    let cases = [
        ("/api/products/987654", "product_not_found"),
        ("/api/products/0", "product_not_found"),
        ("/api/products/-1", "product_not_found"),
        ("/api/products/lamp", "product_not_found"),
        ("/api/products/99999999999999999999", "product_not_found"),
        (
            "/api/holds/01a205c9-8f56-8cc1-9b7d-29b3ac88daff",
            "hold_not_found",
        ),
        (
            "/api/holds/01a205c9-8f56-4cc1-9b7d-29b3ac88daff",
            "hold_not_found",
        ),
        ("/api/holds/lamp", "hold_not_found"),
        ("/api/nothing", "not_found"),
        ("/", "not_found"),
    ];
    for (path, code) in cases {
        let answer = sale.client().get(path).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (StatusCode::NOT_FOUND, code),
            "{path}"
        );
    }
    for id in [
        "01a205c9-8f56-8cc1-9b7d-29b3ac88daff",
        "01a205c9-8f56-4cc1-9b7d-29b3ac88daff",
        "lamp",
    ] {
        let answer = sale.client().delete(&format!("/api/holds/{id}")).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (StatusCode::NOT_FOUND, "hold_not_found"),
            "{id}"
        );
    }
}

#[tokio::test]
async fn wrong_methods_media_types_and_sizes_are_rejected() {
    let sale = Sale::start().await;
    let client = sale.client();
    let cases = [
        (Method::PUT, "/api/holds", "POST"),
        (Method::GET, "/api/holds", "POST"),
        (Method::POST, "/api/products/1", "GET, HEAD"),
        (Method::POST, "/api/holds/1", "GET, HEAD, DELETE"),
        (Method::DELETE, "/api/requests/1", "GET, HEAD"),
        (Method::GET, "/api/admin/products/1/restock", "POST"),
    ];
    for (method, path, allowed) in cases {
        let answer = client.send(method.clone(), path, &[], None).await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem()),
            (405, "method_not_allowed"),
            "{method} {path}"
        );
        assert_eq!(answer.header("allow"), allowed, "{method} {path}");
    }
    let body = br#"{"product_id": 1, "quantity": 1}"#;
    for content_type in [
        &[][..],
        &[("content-type", "text/plain")],
        &[("content-type", "application/xml")],
    ] {
        let answer = client
            .send(
                Method::POST,
                "/api/holds",
                content_type,
                Some(body.to_vec()),
            )
            .await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem()),
            (415, "unsupported_media_type"),
            "{content_type:?}"
        );
    }
    let with_charset = [("content-type", "Application/JSON; charset=utf-8")];
    let answer = client
        .send(
            Method::POST,
            "/api/holds",
            &with_charset,
            Some(body.to_vec()),
        )
        .await;
    assert_eq!(answer.problem(), "product_not_found");
    let padded = |bytes: usize| {
        let mut body = br#"{"quantity": 0}"#.to_vec();
        body.resize(bytes, b' ');
        Some(body)
    };
    let answer = client
        .send(Method::POST, "/api/holds", &JSON, padded(64 * 1024))
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.problem()),
        (422, "invalid_request")
    );
    for bytes in [65 * 1024, 1024 * 1024] {
        let answer = client
            .send(Method::POST, "/api/holds", &JSON, padded(bytes))
            .await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem()),
            (413, "payload_too_large"),
            "{bytes}"
        );
    }
}

#[tokio::test]
async fn admin_calls_need_the_token_and_valid_bodies() {
    let sale = Sale::start().await;
    let product = sale.product(10).await;
    let path = format!("/api/admin/products/{product}/restock");
    let restock = async |headers: &[(&str, &str)], body: Value| {
        sale.client().post(&path, headers, &body).await
    };
    let wrong_tokens = [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Basic an-admin-token-of-the-tests",
        ADMIN_TOKEN,
    ];
    for authorization in wrong_tokens {
        let answer = restock(&[("authorization", authorization)], json!({"quantity": 1})).await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem()),
            (401, "unauthorized"),
            "{authorization:?}"
        );
        assert_eq!(answer.header("www-authenticate"), "Bearer");
    }
    assert_eq!(
        restock(&[], json!({"quantity": 1})).await.status,
        StatusCode::UNAUTHORIZED
    );
    for body in [
        json!({"quantity": 0}),
        json!({}),
        json!({"quantity": "5"}),
        json!({"quantity": 2_000_000_000}),
    ] {
        let answer = sale.admin_post(&path, &body).await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem()),
            (422, "invalid_request"),
            "{body}"
        );
    }
    let product_of = |more: Value| {
        let mut body =
            json!({"name": "Lamp", "price_minor": 1, "currency": "USD", "total_stock": 1});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        body
    };
    for (more, field) in [
        (json!({"name": ""}), "name"),
        (json!({"price_minor": -1}), "price_minor"),
        (json!({"price_minor": 9.99}), "price_minor"),
        (json!({"currency": "XXL"}), "currency"),
        (json!({"total_stock": -1}), "total_stock"),
        (json!({"max_per_customer": 0}), "max_per_customer"),
        (json!({"sale_starts_at": "tomorrow"}), "sale_starts_at"),
        (
            json!({"sale_starts_at": "0000-01-01T00:00:00Z"}),
            "sale_starts_at",
        ),
        (
            json!({"sale_starts_at": "9999-12-31T23:59:59-01:00"}),
            "sale_starts_at",
        ),
        (
            json!({"sale_ends_at": "9999-12-31T23:59:60Z"}),
            "sale_ends_at",
        ),
        (
            json!({"sale_starts_at": "2030-01-02T00:00:00Z", "sale_ends_at": "2030-01-01T00:00:00Z"}),
            "sale_ends_at",
        ),
        (json!({"id": 7}), "id"),
    ] {
        let answer = sale
            .admin_post("/api/admin/products", &product_of(more))
            .await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem()),
            (422, "invalid_request"),
            "{field}"
        );
        assert_eq!(answer.body["errors"][0]["field"], field);
    }
    assert_eq!(
        sale.count("SELECT count(*) FROM products WHERE $1 > 0", 1)
            .await,
        1
    );
    assert_eq!(
        sale.count(
            "SELECT total_stock FROM products WHERE product_id = $1",
            product
        )
        .await,
        10
    );
}
