//! Tests of products: create, read, list, restock and change.

use holdfast_tests::{ADMIN_TOKEN, Client, Sale, SaleBuilder, until};
use reqwest::{Method, StatusCode};
use serde_json::json;

#[tokio::test]
async fn product_has_the_fields_of_the_contract() {
    let sale = SaleBuilder::default().ingresses(2).start().await;
    let starts = "2020-01-01T00:00:00Z";
    let body = json!({"name": "Lamp", "price_minor": 1999, "currency": "EUR", "total_stock": 10,
        "max_per_customer": 4, "sale_starts_at": starts});
    let created = sale.admin_post("/api/admin/products", &body).await;
    assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    let path = created.header("location").to_owned();
    let product = created.body["id"].as_i64().unwrap();
    assert_eq!(path, format!("/api/products/{product}"));
    sale.client().hold(product, 3, &[]).await;
    // The other ingress gets the change from the worker's news, at most a second later.
    let shown = until("the other ingress to show the hold", async || {
        Some(sale.clients[1].get(&path).await).filter(|shown| shown.body["held_stock"] == 3)
    })
    .await;
    assert_eq!(shown.header("etag"), "\"2\"");
    let mut fields = shown.body.as_object().unwrap().clone();
    assert!(
        fields
            .remove("as_of")
            .unwrap()
            .as_str()
            .unwrap()
            .ends_with('Z')
    );
    assert_eq!(
        serde_json::Value::from(fields),
        json!({"id": product, "name": "Lamp", "price": 19.99, "price_minor": 1999, "currency": "EUR",
            "total_stock": 10, "available_stock": 7, "held_stock": 3, "sold_stock": 0, "holds_count": 1,
            "max_per_customer": 4, "sale_starts_at": "2020-01-01T00:00:00.000000Z", "sale_ends_at": null, "version": 2})
    );
}

#[tokio::test]
async fn product_with_a_known_etag_gets_304() {
    let sale = Sale::start().await;
    let path = format!("/api/products/{}", sale.product(10).await);
    let shown = sale.client().get(&path).await;
    let etag = shown.header("etag").to_owned();
    let ask = async |tags: &str| {
        sale.client()
            .send(Method::GET, &path, &[("if-none-match", tags)], None)
            .await
    };
    for tags in [
        etag.clone(),
        format!("\"x\", {etag}"),
        format!("W/{etag}"),
        "*".to_owned(),
    ] {
        let answer = ask(&tags).await;
        assert_eq!(
            (answer.status, answer.header("etag")),
            (StatusCode::NOT_MODIFIED, &*etag),
            "{tags}"
        );
    }
    assert_eq!(ask("\"x\"").await.status, StatusCode::OK);
}

#[tokio::test]
async fn products_are_listed_in_pages() {
    let sale = Sale::start().await;
    let mut created = Vec::new();
    for _ in 0..5 {
        created.push(sale.product(1).await);
    }
    let (mut listed, mut path) = (Vec::new(), "/api/products?limit=2".to_owned());
    for page in 1.. {
        assert!(page <= 3, "{path}");
        let answer = sale.client().get(&path).await;
        assert_eq!(answer.status, StatusCode::OK);
        let products = answer.body["products"].as_array().unwrap();
        listed.extend(
            products
                .iter()
                .map(|product| product["id"].as_i64().unwrap()),
        );
        match answer.body["next"].as_i64() {
            Some(next) => path = format!("/api/products?limit=2&after={next}"),
            None => break,
        }
    }
    assert_eq!(listed, created);
    for query in ["limit=0", "limit=201", "limit=x", "after=-1", "after=x"] {
        let answer = sale.client().get(&format!("/api/products?{query}")).await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem()),
            (422, "invalid_request"),
            "{query}"
        );
    }
}

#[tokio::test]
async fn restock_adds_units_and_removes_only_unsold_ones() {
    let sale = Sale::start().await;
    let product = sale.product(10).await;
    sale.client().hold(product, 4, &[]).await;
    let restock = async |quantity: i64| {
        sale.admin_post(
            &format!("/api/admin/products/{product}/restock"),
            &json!({"quantity": quantity}),
        )
        .await
    };
    let added = restock(5).await;
    assert_eq!(
        (added.status, &added.body["total_stock"]),
        (StatusCode::OK, &json!(15))
    );
    let refused = restock(-12).await;
    assert_eq!(
        (refused.status, refused.problem()),
        (StatusCode::CONFLICT, "insufficient_stock")
    );
    assert_eq!(refused.body["available_stock"], 11);
    let taken = restock(-11).await;
    assert_eq!(
        (&taken.body["total_stock"], &taken.body["available_stock"]),
        (&json!(4), &json!(0))
    );
    let missing = sale
        .admin_post(
            "/api/admin/products/987654/restock",
            &json!({"quantity": 1}),
        )
        .await;
    assert_eq!(
        (missing.status, missing.problem()),
        (StatusCode::NOT_FOUND, "product_not_found")
    );
}

#[tokio::test]
async fn product_change_leaves_the_stock() {
    let sale = Sale::start().await;
    let product = sale.product(10).await;
    let patch = async |body: serde_json::Value| {
        let authorization = format!("Bearer {ADMIN_TOKEN}");
        let headers = [
            ("authorization", &*authorization),
            ("content-type", "application/json"),
        ];
        let path = format!("/api/admin/products/{product}");
        sale.client()
            .send(
                Method::PATCH,
                &path,
                &headers,
                Some(body.to_string().into()),
            )
            .await
    };
    let closed = patch(json!({"sale_ends_at": "2020-01-01T00:00:00Z", "price_minor": 5})).await;
    assert_eq!(
        (closed.status, &closed.body["price_minor"]),
        (StatusCode::OK, &json!(5))
    );
    let refused = sale.client().hold(product, 1, &[]).await;
    assert_eq!(
        (refused.status, refused.problem()),
        (StatusCode::CONFLICT, "sale_not_open")
    );
    let crossed = patch(json!({"sale_starts_at": "2021-01-01T00:00:00Z"})).await;
    assert_eq!(
        (crossed.status.as_u16(), crossed.problem()),
        (422, "invalid_request")
    );
    assert_eq!(
        patch(json!({"sale_ends_at": null})).await.body["sale_ends_at"],
        json!(null)
    );
    assert_eq!(
        sale.client().hold(product, 1, &[]).await.status,
        StatusCode::CREATED
    );
    assert_eq!(
        patch(json!({"total_stock": 5})).await.problem(),
        "invalid_request"
    );
}

#[tokio::test]
async fn admin_calls_are_not_found_without_an_admin_token() {
    let sale = SaleBuilder::default()
        .setting("ADMIN_TOKEN", "")
        .start_without_workers()
        .await;
    let client: &Client = sale.client();
    let answer = client
        .post(
            "/api/admin/products",
            &[("authorization", "Bearer ")],
            &json!({}),
        )
        .await;
    assert_eq!(
        (answer.status, answer.problem()),
        (StatusCode::NOT_FOUND, "not_found")
    );
}
