//! Tests of outgoing events: each is published once and in order, and posted until the receiver accepts it.

use std::collections::HashMap;
use std::sync::Arc;

use async_nats::jetstream;
use futures_util::StreamExt;
use futures_util::future::join_all;
use holdfast_tests::{Sale, SaleBuilder, SharedStack, Webhook, until};
use serde_json::{Value, json};

use crate::paying::receiver::{Behaviour, Receiver, RunningReceiver, any_port};

const SECRETS: [&str; 2] = [
    "whsec_c2VjcmV0LWZvci1ldmVudHMtaW4tdGVzdHMxMjM=",
    "whsec_YW5vdGhlci1zZWNyZXQtZm9yLWV2ZW50cy0xMjM=",
];

/// The events of a sale's stream in order, each with its `Nats-Msg-Id`.
async fn stream(sale: &Sale) -> Vec<(String, Value)> {
    let nats = async_nats::connect(SharedStack::get().await.nats_url())
        .await
        .unwrap();
    let context = jetstream::new(nats);
    let Ok(mut stream) = context.get_stream(format!("{}-events", sale.name)).await else {
        return Vec::new();
    };
    let count = stream.info().await.unwrap().state.messages;
    let consumer = stream
        .create_consumer(jetstream::consumer::pull::OrderedConfig::default())
        .await
        .unwrap();
    let messages = consumer
        .messages()
        .await
        .unwrap()
        .take(usize::try_from(count).unwrap());
    let read = messages.map(|message| {
        let message = message.unwrap();
        let id = message
            .headers
            .as_ref()
            .unwrap()
            .get("Nats-Msg-Id")
            .unwrap()
            .to_string();
        (id, serde_json::from_slice(&message.payload).unwrap())
    });
    read.collect().await
}

/// The types of a product's events.
fn types(events: &[(String, Value)], product: i64) -> Vec<&str> {
    let of_product = events
        .iter()
        .filter(|(_, event)| event["data"]["product_id"] == product);
    of_product
        .map(|(_, event)| event["type"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn events_of_a_product_are_published_in_order() {
    let sale = SaleBuilder::default()
        .setting("EVENTS", "on")
        .setting("HOLD_EXPIRY_SECONDS", "2")
        .start()
        .await;
    let product = sale.product(3).await;
    let order = sale.order(product, 2).await;
    Webhook::new("k1", &order, "pay_1", "succeeded")
        .send(sale.client())
        .await;
    Webhook::new("k2", &order, "pay_2", "succeeded")
        .send(sale.client())
        .await;
    let released = sale.client().hold(product, 1, &[]).await;
    sale.client().delete(released.header("location")).await;
    sale.admin_post(
        &format!("/api/admin/products/{product}/restock"),
        &json!({"quantity": 4}),
    )
    .await;
    let failed = sale.order(product, 1).await;
    Webhook::new("k3", &failed, "pay_3", "failed")
        .send(sale.client())
        .await;
    sale.client().hold(product, 1, &[]).await;
    let expected = [
        "hold.created",
        "order.created",
        "order.paid",
        "refund.due",
        "hold.created",
        "product.sold_out",
        "hold.released",
        "product.restocked",
        "hold.created",
        "order.created",
        "order.cancelled",
        "hold.created",
        "hold.expired",
    ];
    let events = until("every event", async || {
        let events = stream(&sale).await;
        (events.len() >= expected.len()).then_some(events)
    })
    .await;
    assert_eq!(types(&events, product), expected);
    for (id, event) in &events {
        assert_eq!(
            (&event["specversion"], &event["id"]),
            (&json!("1.0"), &json!(id))
        );
        assert_eq!(event["source"], format!("/holdfast/{}", sale.name));
        assert_eq!(event["partitionkey"], product.to_string());
    }
    let data = |number: usize| &events[number].1["data"];
    assert_eq!(
        (
            &data(0)["hold_id"],
            &data(0)["quantity"],
            &data(0)["sequence"]
        ),
        (&json!(order), &json!(2), &json!(1))
    );
    assert_eq!(
        (&events[2].1["subject"], &data(2)["order_id"]),
        (&json!(order), &json!(order))
    );
    assert_eq!(
        (&data(2)["sold_stock"], &data(2)["held_stock"]),
        (&json!(2), &json!(0))
    );
    assert_eq!(
        (&data(3)["reason"], &data(10)["reason"]),
        (&json!("already_paid"), &json!("payment_failed"))
    );
    assert_eq!(
        (&data(5)["available_stock"], &data(7)["available_stock"]),
        (&json!(0), &json!(5))
    );
    assert!(
        !format!("{events:?}").contains("pay_"),
        "an event contains a payment id"
    );
}

#[tokio::test]
async fn event_stream_is_absent_unless_enabled() {
    let sale = Sale::start().await;
    let product = sale.product(3).await;
    sale.order(product, 1).await;
    assert!(stream(&sale).await.is_empty());
    let nats = async_nats::connect(SharedStack::get().await.nats_url())
        .await
        .unwrap();
    assert!(
        jetstream::new(nats)
            .get_stream(format!("{}-events", sale.name))
            .await
            .is_err()
    );
}

/// The created holds in the audit: the entry, the index in the entry, and the product.
async fn holds_created(sale: &Sale) -> Vec<(i64, i32, i64)> {
    let changes = "SELECT audit_id, entry, product_id FROM audit_trail WHERE kind = 'hold.created' ORDER BY audit_id, entry";
    sqlx::query_as(changes).fetch_all(&sale.pool).await.unwrap()
}

#[tokio::test]
async fn each_change_is_one_event_despite_killed_workers() {
    let mut sale = SaleBuilder::default()
        .setting("EVENTS", "on")
        .setting("REQUEST_WAIT_MS", "30000")
        .setting("PARTITION_LEASE_MS", "800")
        .start()
        .await;
    let products = join_all((0..3).map(|_| sale.product(1000))).await;
    for _ in 0..4 {
        let client = sale.client().clone();
        let products = products.clone();
        let buying =
            tokio::spawn(async move {
                let holds = (0..60).map(|number| (client.clone(), products[number % 3]));
                join_all(holds.map(|(client, product)| async move {
                    client.hold(product, 1, &[]).await.status
                }))
                .await
            });
        // The worker crashes in the middle of the buyers' commands and of publishing their events.
        let held = sale
            .count("SELECT count(*) FROM holds WHERE sequence > $1", 0)
            .await;
        until("some holds", async || {
            (sale
                .count("SELECT count(*) FROM holds WHERE sequence > $1", 0)
                .await
                > held)
                .then_some(())
        })
        .await;
        sale.workers.remove(0).crash().await;
        sale.add_worker();
        buying.await.unwrap();
    }
    // A command of a killed worker may be applied late, so the audit is compared only when it has not changed during the read.
    let (changes, events) = until("every change as an event", async || {
        let changes = holds_created(&sale).await;
        let events = stream(&sale).await;
        let is_all = events.len() >= changes.len() && changes == holds_created(&sale).await;
        is_all.then_some((changes, events))
    })
    .await;
    assert!(changes.len() >= 200, "{}", changes.len());
    for product in products {
        let expected = changes.iter().filter(|change| change.2 == product);
        let expected: Vec<String> = expected
            .map(|(audit_id, entry, _)| format!("{audit_id}-{entry}-0"))
            .collect();
        let of_product = events
            .iter()
            .filter(|(_, event)| event["data"]["product_id"] == product);
        let (ids, sequences): (Vec<_>, Vec<_>) = of_product
            .map(|(id, event)| (id.clone(), event["data"]["sequence"].as_i64().unwrap()))
            .unzip();
        assert_eq!(
            ids, expected,
            "events are missing, repeated or out of order"
        );
        assert_eq!(sequences, (1..=ids.len() as i64).collect::<Vec<_>>());
    }
}

/// The accepted events by id.
fn accepted(receiver: &std::sync::Mutex<Receiver>) -> HashMap<String, usize> {
    receiver.lock().unwrap().accepted.clone()
}

#[tokio::test]
async fn unreliable_receiver_gets_every_event_signed() {
    let behaviours = [
        &[Behaviour::Fail; 3][..],
        &[Behaviour::Hang],
        &[Behaviour::Fail; 2],
    ]
    .concat();
    let receiver = Receiver::new(behaviours);
    let listening = RunningReceiver::start(any_port(), Arc::clone(&receiver)).await;
    let mut sale = SaleBuilder::default()
        .setting("EVENT_URLS", &listening.url())
        .setting("EVENT_SECRETS", &SECRETS.join(","))
        .start()
        .await;
    let product = sale.product(10).await;
    for _ in 0..3 {
        sale.order(product, 1).await;
    }
    until("the receiver to hang", async || {
        (receiver.lock().unwrap().hung == 1).then_some(())
    })
    .await;
    // The worker and the receiver restart; the receiver keeps the accepted events.
    let address = listening.address;
    drop(listening);
    sale.workers.remove(0).crash().await;
    let _listening = RunningReceiver::start(address, Arc::clone(&receiver)).await;
    sale.start_worker().await;
    until("every event to be accepted", async || {
        (accepted(&receiver).len() == 6).then_some(())
    })
    .await;
    let mut ids: Vec<String> = accepted(&receiver).into_keys().collect();
    let mut published: Vec<String> = stream(&sale).await.into_iter().map(|(id, _)| id).collect();
    ids.sort();
    published.sort();
    assert_eq!(ids, published);
    let receiver = receiver.lock().unwrap();
    let (headers, body) = receiver.last.as_ref().unwrap();
    for secret in SECRETS {
        let signed = standardwebhooks::Webhook::new(secret)
            .unwrap()
            .verify(body, headers);
        assert!(signed.is_ok(), "{signed:?}");
    }
    assert_eq!(headers["content-type"], "application/cloudevents+json");
}

#[tokio::test]
async fn undeliverable_event_is_a_dead_letter_until_reposted() {
    let receiver = Receiver::new([]);
    let listening = RunningReceiver::start(any_port(), Arc::clone(&receiver)).await;
    let (address, url) = (listening.address, listening.url());
    drop(listening);
    let sale = SaleBuilder::default()
        .setting("EVENT_URLS", &url)
        .setting("EVENT_RETRY_SECONDS", "1")
        .start()
        .await;
    let product = sale.product(10).await;
    sale.order(product, 2).await;
    let dead = async || {
        let listed = sale.admin_get("/api/admin/event-dead-letters").await.body;
        listed["event_dead_letters"].as_array().unwrap().clone()
    };
    until("both events to be dead letters", async || {
        (dead().await.len() == 2).then_some(())
    })
    .await;
    let listed = dead().await;
    let mut types: Vec<_> = listed
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    types.sort_unstable();
    assert_eq!(types, ["hold.created", "order.created"]);
    assert_eq!(
        (&listed[0]["host"], &listed[0]["event"]["id"]),
        (&json!("127.0.0.1"), &listed[0]["event_id"])
    );
    assert!(
        !format!("{listed:?}").contains("/receiver"),
        "the output contains the path of the URL"
    );
    let first = sale
        .admin_get("/api/admin/event-dead-letters?limit=1")
        .await
        .body;
    let after = format!(
        "/api/admin/event-dead-letters?after={}",
        first["next"].as_str().unwrap()
    );
    assert_eq!(
        sale.admin_get(&after).await.body["event_dead_letters"],
        json!([listed[1]])
    );
    // While the receiver is down, the event is listed again with one more try.
    let id = listed[0]["event_id"].as_str().unwrap();
    let settle_again = async |id: &str, what: &str| {
        let answer = sale
            .admin_post(
                &format!("/api/admin/event-dead-letters/{id}/{what}"),
                &json!(null),
            )
            .await;
        (
            answer.status.as_u16(),
            answer.body["receivers"].clone(),
            answer.body["code"].clone(),
        )
    };
    assert_eq!(
        settle_again(id, "retry").await,
        (200, json!(1), Value::Null)
    );
    until("the try to fail", async || {
        let tries = |events: &[Value]| {
            events
                .iter()
                .find(|event| event["event_id"] == id)
                .and_then(|e| e["tries"].as_i64())
        };
        (tries(&dead().await) > tries(&listed)).then_some(())
    })
    .await;
    let _listening = RunningReceiver::start(address, Arc::clone(&receiver)).await;
    let (ended_well, printed) = sale.holdfast(&["events", "retry", "--all"]).await;
    assert!(
        ended_well && printed.contains("2 events will be posted again"),
        "{printed}"
    );
    until("both events to be accepted", async || {
        dead().await.is_empty().then_some(())
    })
    .await;
    assert_eq!(accepted(&receiver).len(), 2);
    assert_eq!(
        sale.operator(&["events", "retry", id]).await.0,
        2,
        "an accepted event could be retried"
    );
    for (id, what) in [
        (id, "retry"),
        (id, "drop"),
        ("%00", "retry"),
        (&"1".repeat(65), "drop"),
    ] {
        assert_eq!(
            settle_again(id, what).await,
            (404, Value::Null, json!("event_dead_letter_not_found")),
            "{id} {what}"
        );
    }
}

#[tokio::test]
async fn dropped_event_is_removed_and_drop_needs_a_worker() {
    let receiver = Receiver::new([]);
    let listening = RunningReceiver::start(any_port(), receiver).await;
    let url = listening.url();
    drop(listening);
    let builder = SaleBuilder::default()
        .setting("EVENT_URLS", &url)
        .setting("EVENT_RETRY_SECONDS", "1");
    let mut sale = builder.setting("REQUEST_WAIT_MS", "2000").start().await;
    let product = sale.product(10).await;
    sale.order(product, 1).await;
    let dead = async |sale: &Sale| {
        let listed = sale.admin_get("/api/admin/event-dead-letters").await.body;
        listed["event_dead_letters"].as_array().unwrap().clone()
    };
    until("both events to be dead letters", async || {
        (dead(&sale).await.len() == 2).then_some(())
    })
    .await;
    let listed = dead(&sale).await;
    let [first, second] = [0, 1].map(|place| listed[place]["event_id"].as_str().unwrap());
    let dropped = sale
        .admin_post(
            &format!("/api/admin/event-dead-letters/{first}/drop"),
            &json!(null),
        )
        .await;
    assert_eq!(dropped.body, json!({"event_id": first, "receivers": 1}));
    assert_eq!(dead(&sale).await.len(), 1);
    sale.workers.remove(0).crash().await;
    let refused = sale
        .admin_post(
            &format!("/api/admin/event-dead-letters/{second}/drop"),
            &json!(null),
        )
        .await;
    assert_eq!(
        (refused.status.as_u16(), refused.problem()),
        (503, "store_unavailable")
    );
    assert_eq!(sale.operator(&["events", "drop", "--all"]).await.0, 2);
    sale.add_worker();
    let dropped = until("a worker to drop the event", async || {
        let (code, printed) = sale.operator(&["events", "drop", "--all", "--json"]).await;
        (code == 0).then_some(printed)
    });
    assert_eq!(dropped.await, [json!({"dropped": 1})]);
    assert!(dead(&sale).await.is_empty());
}
