//! Tests of the OpenAPI description: it matches the service, and its page loads nothing from other hosts.

use std::collections::BTreeSet;

use holdfast_tests::{ADMIN_TOKEN, Answer, Sale};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const METHODS: [Method; 6] = [
    Method::GET,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

/// The path with a value for each parameter.
fn filled(path: &str) -> String {
    path.replace("{id}", "1")
}

#[tokio::test]
async fn paths_accept_exactly_the_described_methods() {
    let sale = Sale::start().await;
    let document = sale.client().get("/openapi.json").await.body;
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 15, "{}", paths.len());
    for (path, item) in paths {
        let described: BTreeSet<_> = item
            .as_object()
            .unwrap()
            .keys()
            .map(|method| method.to_uppercase())
            .collect();
        for method in METHODS {
            let answer = sale
                .client()
                .send(method.clone(), &filled(path), &[], None)
                .await;
            let is_described = described.contains(method.as_str());
            assert_eq!(
                answer.status != StatusCode::METHOD_NOT_ALLOWED,
                is_described,
                "{method} {path}: {answer:?}"
            );
            if !is_described {
                let allowed = answer
                    .header("allow")
                    .split(", ")
                    .filter(|method| *method != "HEAD");
                assert_eq!(
                    allowed.map(str::to_owned).collect::<BTreeSet<_>>(),
                    described,
                    "{path}"
                );
                assert_eq!(answer.problem(), "method_not_allowed");
            }
        }
    }
}

#[tokio::test]
async fn example_bodies_of_the_description_are_accepted() {
    let sale = Sale::start().await;
    let document = sale.client().get("/openapi.json").await.body;
    let example = |name: &str| document["components"]["schemas"][name]["examples"][0].clone();
    let product = sale
        .admin_post("/api/admin/products", &example("NewProduct"))
        .await;
    assert_eq!(product.status, StatusCode::CREATED, "{product:?}");
    let path = product.header("location").replace("/api/", "/api/admin/");
    let restocked = sale
        .admin_post(&format!("{path}/restock"), &example("Restock"))
        .await;
    assert_eq!(restocked.status, StatusCode::OK, "{restocked:?}");
    let (token, change) = (
        format!("Bearer {ADMIN_TOKEN}"),
        example("ProductChange").to_string().into_bytes(),
    );
    let headers = [
        ("authorization", token.as_str()),
        ("content-type", "application/json"),
    ];
    let changed = sale
        .client()
        .send(Method::PATCH, &path, &headers, Some(change))
        .await;
    assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
    let mut hold = example("NewHold");
    hold["product_id"] = product.body["id"].clone();
    let hold = sale.client().post("/api/holds", &[], &hold).await;
    assert_eq!(hold.status, StatusCode::CREATED, "{hold:?}");
    assert_names(&hold, &example("Hold"));
    let mut order = example("NewOrder");
    order["hold_id"] = hold.body["hold_id"].clone();
    let order = sale.client().post("/api/orders", &[], &order).await;
    assert_eq!(order.status, StatusCode::CREATED, "{order:?}");
    assert_names(&order, &example("Order"));
    assert_names(&product, &example("Product"));
}

/// Checks that a response has exactly the fields of the example.
#[track_caller]
fn assert_names(answer: &Answer, example: &Value) {
    let names = |value: &Value| {
        value
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(names(&answer.body), names(example));
}

#[tokio::test]
async fn bounds_are_those_of_the_description() {
    let sale = Sale::start().await;
    let product = sale.product(20_000).await;
    let document = sale.client().get("/openapi.json").await.body;
    let fields = &document["components"]["schemas"]["NewHold"]["properties"];
    let (least, most) = (
        fields["quantity"]["minimum"].as_i64().unwrap(),
        fields["quantity"]["maximum"].as_i64().unwrap(),
    );
    assert_eq!((least, most), (1, 10_000));
    for (quantity, status) in [(least - 1, 422), (least, 201), (most, 201), (most + 1, 422)] {
        assert_eq!(
            sale.client()
                .hold(product, quantity, &[])
                .await
                .status
                .as_u16(),
            status,
            "{quantity}"
        );
    }
    let longest = fields["customer_id"]["maxLength"].as_u64().unwrap() as usize;
    for (chars, status) in [(longest, 201), (longest + 1, 422)] {
        let body = json!({"product_id": product, "quantity": 1, "customer_id": "é".repeat(chars)});
        assert_eq!(
            sale.client()
                .post("/api/holds", &[], &body)
                .await
                .status
                .as_u16(),
            status,
            "{chars}"
        );
    }
}

#[tokio::test]
async fn bad_paths_and_queries_get_a_problem_document() {
    let sale = Sale::start().await;
    for (path, status, code) in [
        ("/api/products?limit=1&limit=2", 422, "invalid_request"),
        (
            "/api/requests/01a205c9-8f56-8cc1-9b7d-29b3ac88daff?seq=1&seq=1",
            422,
            "invalid_request",
        ),
        ("/api/holds/%FF", 404, "hold_not_found"),
        ("/api/products/%C3", 404, "product_not_found"),
    ] {
        let answer = sale.client().get(path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem()),
            (status, code),
            "{path}"
        );
        assert_eq!(
            answer.header("content-type"),
            "application/problem+json",
            "{path}"
        );
    }
}

#[tokio::test]
async fn api_page_loads_nothing_from_other_hosts() {
    let sale = Sale::start().await;
    let page = sale.client().get("/docs").await;
    assert_eq!(
        (page.status, page.header("content-type")),
        (StatusCode::OK, "text/html; charset=utf-8")
    );
    let policy = page.header("content-security-policy");
    assert!(
        policy.contains("default-src 'none'") && policy.contains("script-src 'self';"),
        "{policy}"
    );
    assert!(
        !page.text.contains("//"),
        "the page refers to another host: {}",
        page.text
    );
    let files: Vec<_> = page
        .text
        .split('"')
        .filter(|text| text.starts_with("docs/"))
        .collect();
    assert_eq!(files.len(), 3, "{}", page.text);
    for file in files {
        let path = format!("/{file}");
        let sent = sale.client().get(&path).await;
        assert_eq!(sent.status, StatusCode::OK, "{file}");
        assert_eq!(
            sent.header("cache-control"),
            "public, max-age=31536000, immutable",
            "{file}"
        );
        let zipped = sale
            .client()
            .send(Method::GET, &path, &[("accept-encoding", "gzip")], None)
            .await;
        if sent.text.len() > 1000 {
            assert_eq!(zipped.header("content-encoding"), "gzip", "{file}");
        }
        let tag = sent.header("etag");
        let again = sale
            .client()
            .send(Method::GET, &path, &[("if-none-match", tag)], None)
            .await;
        assert_eq!(
            (again.status, again.text.len()),
            (StatusCode::NOT_MODIFIED, 0),
            "{file}"
        );
    }
    assert_eq!(
        sale.client().get("/docs/none.js").await.status,
        StatusCode::NOT_FOUND
    );
}
