//! Tests of `holdfast holds` and `holdfast cache`: single holds, and the product cache of the ingresses.

use holdfast_tests::{Sale, SaleBuilder, assert_invariants, until};
use serde_json::{Value, json};

#[tokio::test]
async fn holds_are_listed_without_buyers_and_can_be_released() {
    let sale = Sale::start().await;
    let (product, other) = (sale.product(10).await, sale.product(10).await);
    let body = json!({"product_id": product, "quantity": 3, "customer_id": "somebody"});
    let hold = sale.client().post("/api/holds", &[], &body).await.body["hold_id"]
        .as_str()
        .unwrap()
        .to_owned();
    sale.client().hold(other, 1, &[]).await;
    let order = sale.order(product, 1).await;

    let product = product.to_string();
    let (code, listed) = sale
        .operator(&["holds", "list", "--json", "--product", &product])
        .await;
    assert_eq!((code, listed.len()), (0, 1), "{listed:?}");
    assert_eq!(
        [
            &listed[0]["hold_id"],
            &listed[0]["quantity"],
            &listed[0]["status"]
        ],
        [&json!(hold), &json!(3), &json!("active")]
    );
    assert!(!listed[0].to_string().contains("somebody"));
    assert_eq!(
        sale.operator(&["holds", "list", "--json", "--status", "all"])
            .await
            .1
            .len(),
        3
    );

    for _ in 0..2 {
        let (code, ended) = sale.operator(&["holds", "expire", &hold, "--json"]).await;
        assert_eq!(
            (code, &ended[0]["status"]),
            (0, &json!("released")),
            "the second release changed something"
        );
    }
    let shown = sale
        .client()
        .get(&format!("/api/products/{product}"))
        .await
        .body;
    assert_eq!(
        (&shown["available_stock"], &shown["held_stock"]),
        (&json!(9), &json!(1))
    );
    assert!(
        sale.operator(&["holds", "list", "--json", "--product", &product])
            .await
            .1
            .is_empty()
    );
    let trail = [
        "audit",
        "tail",
        "--all",
        "--for",
        "0",
        "--json",
        "--product",
        &product,
    ];
    let (code, changes) = sale.operator(&trail).await;
    let what: Vec<_> = changes
        .iter()
        .map(|change| change["what"].as_str().unwrap())
        .collect();
    let expected = [
        "product.created",
        "hold.created",
        "hold.created",
        "hold.consumed",
        "order.created",
        "hold.released",
    ];
    assert_eq!((code, &*what), (0, &expected[..]));
    let released = &changes[5];
    assert_eq!(
        released["after"]["stock"]["available_stock"], 9,
        "{released}"
    );
    for id in [&*order, "01a205c9-8f56-8cc1-9b7d-29b3ac88daff", "x"] {
        assert_eq!(sale.operator(&["holds", "expire", id]).await.0, 2, "{id}");
    }
    let everything = until("all changes to be applied", async || {
        let (_, changes) = sale
            .operator(&["audit", "tail", "--all", "--for", "0", "--json"])
            .await;
        (changes.len() >= 8).then_some(changes)
    })
    .await;
    assert_eq!(everything.len(), 8, "two of the other product");
    assert!(
        sale.operator(&["audit", "tail", "--for", "0", "--json"])
            .await
            .1
            .is_empty(),
        "there is a new entry"
    );
    assert_invariants(&sale.pool).await;
}

#[tokio::test]
async fn ingresses_clear_and_reload_products_on_request() {
    let mut sale = SaleBuilder::default()
        .ingresses(2)
        .setting("STOCK_CACHE_TTL", "3600")
        .start()
        .await;
    let product = sale.product(10).await;
    sale.product(10).await;
    let names = async |sale: &Sale| {
        let path = format!("/api/products/{product}");
        let names = [
            sale.clients[0].get(&path).await,
            sale.clients[1].get(&path).await,
        ];
        names.map(|answer| answer.body["name"].as_str().unwrap().to_owned())
    };
    // A change by SQL, which no program announces. Only a read of the table shows it.
    let rename = async |sale: &Sale, name: &str| {
        sqlx::query("UPDATE products SET name = $1")
            .bind(name)
            .execute(&sale.pool)
            .await
            .unwrap();
    };
    assert_eq!(names(&sale).await, ["Lamp", "Lamp"]);
    rename(&sale, "Chair").await;
    assert_eq!(names(&sale).await, ["Lamp", "Lamp"], "from memory");
    let counts = |lines: &[Value]| {
        lines
            .iter()
            .map(|line| line["products"].as_i64())
            .collect::<Vec<_>>()
    };
    let (code, lines) = sale.operator(&["cache", "clear", "--json"]).await;
    assert_eq!((code, lines.len()), (0, 2), "{lines:?}");
    assert_ne!(lines[0]["ingress"], lines[1]["ingress"]);
    assert_eq!(names(&sale).await, ["Chair", "Chair"]);

    assert_eq!(sale.operator(&["cache", "clear", "--json"]).await.0, 0);
    let (code, lines) = sale.operator(&["cache", "warm", "--json"]).await;
    assert_eq!(
        (code, counts(&lines)),
        (0, vec![Some(2), Some(2)]),
        "{lines:?}"
    );
    rename(&sale, "Table").await;
    assert_eq!(
        names(&sale).await,
        ["Chair", "Chair"],
        "the ingress did not reload the products at once"
    );
    let (code, lines) = sale
        .operator(&["cache", "warm", "--json", "--product", "99"])
        .await;
    assert_eq!(
        (code, counts(&lines)),
        (0, vec![Some(0), Some(0)]),
        "there is no such product"
    );

    for ingress in sale.ingresses.drain(..) {
        ingress.crash().await;
    }
    assert_eq!(
        sale.operator(&["cache", "clear"]).await.0,
        2,
        "no ingress responds"
    );
}
