//! Test of 1,000 orders and their webhooks, sent to two ingresses on 32 connections: repeated, shuffled, early, late and
//! contradictory. The final state of each order depends on the set of its messages, not on their order.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, stream};
use holdfast_tests::{Answer, Sale, SaleBuilder, Webhook, assert_invariants, until};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::security::encryption::plain;

const ORDERS: usize = 1000;
const CONNECTIONS: usize = 32;
const REPEATS_MAX: usize = 5;
/// The price of one unit.
const PRICE_MINOR: i64 = 9999;

/// The webhooks of one payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Message {
    payment: u8,
    succeeded: bool,
    is_right_amount: bool,
}

/// The webhooks of one order, and whether they are sent only after its cancellation.
#[derive(Clone, Debug)]
struct Script {
    messages: Vec<Message>,
    is_late: bool,
}

/// The expected final state of an order.
#[derive(Debug, PartialEq, Eq)]
struct End {
    status: &'static str,
    refunds_due: usize,
    /// Each payment's id, and whether it ever succeeded.
    payments: BTreeMap<String, bool>,
}

/// The model: it uses the set of messages, not their order.
fn end_of(script: &Script) -> End {
    let succeeded = |right: bool| {
        let messages = script
            .messages
            .iter()
            .filter(|m| m.succeeded && m.is_right_amount == right);
        messages.map(|m| m.payment).collect::<BTreeSet<_>>().len()
    };
    let mut payments = BTreeMap::new();
    for message in &script.messages {
        *payments.entry(payment_id(message.payment)).or_insert(false) |= message.succeeded;
    }
    let status = if succeeded(true) > 0 {
        "paid"
    } else {
        "cancelled"
    };
    End {
        status,
        refunds_due: succeeded(true).saturating_sub(1) + succeeded(false),
        payments,
    }
}

fn payment_id(number: u8) -> String {
    format!("pay_{number}")
}

fn draw(rng: &mut StdRng) -> Script {
    let success = |payment| Message {
        payment,
        succeeded: true,
        is_right_amount: true,
    };
    let failure = |payment| Message {
        succeeded: false,
        ..success(payment)
    };
    let wrong = |payment| Message {
        is_right_amount: false,
        ..success(payment)
    };
    let scripts = [
        vec![success(1)],
        vec![success(1)],
        vec![failure(1)],
        vec![failure(1), success(1)],
        vec![failure(1), success(2)],
        vec![failure(1), failure(2), success(3)],
        vec![success(1), success(2)],
        vec![success(1), wrong(2)],
        vec![wrong(1)],
        vec![wrong(1), failure(2), success(3), success(4)],
        vec![],
    ];
    let messages = scripts.choose(rng).cloned().unwrap_or_default();
    Script {
        messages,
        is_late: rng.random_bool(0.1),
    }
}

/// A request to send.
#[derive(Clone)]
enum Action {
    Order(String),
    Pay(Webhook),
}

fn webhooks(order: &str, script: &Script, rng: &mut StdRng) -> Vec<Action> {
    let mut actions = Vec::new();
    for (number, message) in script.messages.iter().enumerate() {
        let status = if message.succeeded {
            "succeeded"
        } else {
            "failed"
        };
        let amount = if message.is_right_amount {
            PRICE_MINOR
        } else {
            PRICE_MINOR - 1
        };
        let webhook = Webhook::new(
            &format!("{order}-{number}"),
            order,
            &payment_id(message.payment),
            status,
        )
        .with("amount_minor", json!(amount));
        for _ in 0..rng.random_range(1..=REPEATS_MAX) {
            actions.push(Action::Pay(webhook.clone()));
        }
    }
    actions
}

/// Sends all requests, and repeats those with a 503; returns the replies for each webhook's key.
async fn send_all(sale: &Sale, actions: Vec<Action>) -> BTreeMap<String, Vec<Answer>> {
    let sent = stream::iter(actions.into_iter().enumerate()).map(async |(number, action)| {
        let client = &sale.clients[number % sale.clients.len()];
        until("a reply other than 503", async || {
            let (key, answer) = match &action {
                Action::Order(hold) => (
                    None,
                    client
                        .post("/api/orders", &[], &json!({"hold_id": hold}))
                        .await,
                ),
                Action::Pay(webhook) => (Some(webhook.key.clone()), webhook.send(client).await),
            };
            (answer.status != StatusCode::SERVICE_UNAVAILABLE).then_some((key, answer))
        })
        .await
    });
    let mut answers: BTreeMap<String, Vec<Answer>> = BTreeMap::new();
    for (key, answer) in sent.buffer_unordered(CONNECTIONS).collect::<Vec<_>>().await {
        match key {
            Some(key) => answers.entry(key).or_default().push(answer),
            None => assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}"),
        }
    }
    answers
}

/// Checks that all webhooks of one key got the same body, and that at most one reply is not a replay.
fn assert_same_answers(answers: BTreeMap<String, Vec<Answer>>) {
    for (key, answers) in answers {
        let first = &answers[0];
        assert!(
            matches!(first.status.as_u16(), 200 | 202),
            "{key}: {first:?}"
        );
        for answer in &answers {
            assert_eq!(
                (answer.status, &answer.text),
                (first.status, &first.text),
                "{key}"
            );
        }
        let firsts = answers
            .iter()
            .filter(|answer| answer.header("idempotent-replayed") != "true")
            .count();
        assert!(firsts <= 1, "{key}: {firsts} replies are not replays");
    }
}

async fn found_end(sale: &Sale, order: &str) -> End {
    let shown = sale
        .client()
        .get(&format!("/api/orders/{order}"))
        .await
        .body;
    let rows: Vec<(String, bool, bool)> =
        sqlx::query_as("SELECT payment_id, succeeded, state = 'refund_due' FROM payments WHERE order_id = $1::uuid")
            .bind(order)
            .fetch_all(&sale.pool)
            .await
            .unwrap();
    let refunds_due = rows.iter().filter(|(.., is_due)| *is_due).count();
    assert_eq!(
        shown["refund_status"],
        if refunds_due > 0 { "due" } else { "none" },
        "{shown}"
    );
    let status = match shown["status"].as_str().unwrap() {
        "paid" => "paid",
        "cancelled" => "cancelled",
        other => panic!("{order} is {other}"),
    };
    assert_eq!(
        rows.iter()
            .map(|(id, ..)| id)
            .collect::<BTreeSet<_>>()
            .len(),
        rows.len(),
        "there is not one row for each payment"
    );
    let payments = rows
        .into_iter()
        .map(|(id, succeeded, _)| (id, succeeded))
        .collect();
    End {
        status,
        refunds_due,
        payments,
    }
}

async fn hold_all(sale: &Sale, product: i64) -> Vec<String> {
    let holds = stream::iter(0..ORDERS).map(async |number| {
        let hold = sale.clients[number % sale.clients.len()]
            .hold(product, 1, &[])
            .await;
        hold.body["hold_id"]
            .as_str()
            .unwrap_or_else(|| panic!("{hold:?}"))
            .to_owned()
    });
    holds.buffer_unordered(CONNECTIONS).collect().await
}

async fn none_is_pending(sale: &Sale, product: i64) {
    let pending =
        "SELECT count(*) FROM orders WHERE product_id = $1 AND status = 'pending_payment'";
    until("every order to be settled or cancelled", async || {
        (sale.count(pending, product).await == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn storm_of_1000_orders_ends_as_their_messages_require() {
    let seed = std::env::var("HOLDFAST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(rand::random);
    println!("HOLDFAST_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    // The test looks up payments by their plain ids.
    let builder = plain(SaleBuilder::default()).ingresses(2);
    let sale = builder.setting("ORDER_PAYMENT_SECONDS", "10").start().await;
    // Enough stock for every late payment.
    let product = sale.product(ORDERS as i64).await;
    let orders = hold_all(&sale, product).await;
    let scripts: BTreeMap<&String, Script> =
        orders.iter().map(|order| (order, draw(&mut rng))).collect();

    let (mut now, mut late) = (Vec::new(), Vec::new());
    for (order, script) in &scripts {
        now.push(Action::Order((*order).clone()));
        let to = if script.is_late { &mut late } else { &mut now };
        to.extend(webhooks(order, script, &mut rng));
    }
    now.shuffle(&mut rng);
    late.shuffle(&mut rng);
    assert_same_answers(send_all(&sale, now).await);
    none_is_pending(&sale, product).await;
    assert_same_answers(send_all(&sale, late).await);

    for (order, script) in &scripts {
        assert_eq!(
            found_end(&sale, order).await,
            end_of(script),
            "{order}: {script:?}"
        );
    }
    assert_invariants(&sale.pool).await;
    let shown: Value = sale
        .client()
        .get(&format!("/api/products/{product}"))
        .await
        .body;
    let paid = scripts
        .values()
        .filter(|script| end_of(script).status == "paid")
        .count();
    assert_eq!(shown["sold_stock"], paid);
}
