//! Tests of the auditor: each changes one fact of a correct history, and expects the finding.

use std::time::Duration;

use serde_json::{Value, json};

use super::partitions::PositionFall;
use super::partitions::uneven_shares;
use super::tables::{DeadLetterRow, HoldRow, OrderRow, PartitionRow, PaymentRow, ProductRow};
use super::*;
use crate::history::{End, PaymentNotice, Reply, Request};

/// A correct history: of a product with 10 units, one hold was ordered and paid, and one was released.
struct TestRun {
    begun: Instant,
    exchanges: Vec<Exchange>,
    log: Vec<LogCommand>,
    tables: Tables,
    refunds: Vec<RefundRequest>,
    wipes: Vec<(Instant, Instant)>,
}

fn exchange(
    begun: Instant,
    request: Request,
    key: Option<&str>,
    status: u16,
    body: Value,
) -> Exchange {
    let location = match (&request, status) {
        (_, 202) => body["status_url"].as_str().unwrap_or_default().to_owned(),
        (Request::Hold { .. }, 201) => format!("/api/holds/{}", body["hold_id"].as_str().unwrap()),
        (Request::Order { .. }, 201) => {
            format!("/api/orders/{}", body["order_id"].as_str().unwrap())
        }
        _ => String::new(),
    };
    let content_type = if status < 400 {
        "application/json"
    } else {
        "application/problem+json"
    }
    .to_owned();
    let (text, has_retry_after) = (body.to_string(), matches!(status, 202 | 503));
    let reply = Ok(Reply {
        status,
        body,
        text,
        replayed: false,
        location,
        content_type,
        has_retry_after,
    });
    let (key, ends, positions) = (key.map(str::to_owned), Vec::new(), Vec::new());
    Exchange {
        request,
        key,
        ingress: 0,
        sent_at: begun,
        reply,
        replied_at: begun,
        ends,
        positions,
    }
}

fn hold_row(id: &str, quantity: i64, sequence: i64, status: &str) -> HoldRow {
    let expires_at = "2026-01-01T00:00:03Z".parse().unwrap();
    let customer_id = Some(format!("customer-{id}"));
    HoldRow {
        hold_id: id.into(),
        product_id: 1,
        quantity,
        customer_id,
        status: status.into(),
        sequence,
        expires_at,
    }
}

fn hold_exchange(begun: Instant, row: &HoldRow) -> Exchange {
    let customer = row.customer_id.clone().unwrap();
    let body = json!({"hold_id": row.hold_id, "product_id": 1, "quantity": row.quantity, "customer_id": customer,
        "status": "active", "expires_at": "2026-01-01T00:00:03Z", "sequence": row.sequence});
    let request = Request::Hold {
        product: 1,
        quantity: row.quantity,
        customer,
    };
    exchange(
        begun,
        request,
        Some(&format!("key-{}", row.hold_id)),
        201,
        body,
    )
}

impl TestRun {
    fn new() -> Self {
        let begun = Instant::now();
        let later = |seconds| begun + Duration::from_secs(seconds);
        let (paid, released) = (
            hold_row("a", 2, 1, "consumed"),
            hold_row("b", 3, 2, "released"),
        );
        let order = json!({"order_id": "a", "hold_id": "a", "product_id": 1, "quantity": 2, "amount_minor": 20,
            "status": "pending_payment"});
        let notice = PaymentNotice {
            order: "a".into(),
            payment: "p".into(),
            succeeded: true,
            amount_minor: Some(20),
        };
        let processed = json!({"result": "processed", "order_id": "a", "order_status": "paid"});
        let exchanges = vec![
            hold_exchange(later(0), &paid),
            hold_exchange(later(1), &released),
            exchange(
                later(2),
                Request::Order { hold: "a".into() },
                None,
                201,
                order,
            ),
            exchange(later(3), Request::Pay(notice), Some("evt"), 200, processed),
            exchange(
                later(4),
                Request::Release { hold: "b".into() },
                None,
                200,
                json!({"status": "released"}),
            ),
        ];
        let mut tables = Tables::default();
        let product = ProductRow {
            product_id: 1,
            total_stock: 10,
            available_stock: 8,
            held_stock: 0,
            sold_stock: 2,
            holds_count: 0,
            hold_sequence: 2,
        };
        tables.products.insert(1, product);
        tables
            .holds
            .extend([paid, released].map(|row| (row.hold_id.clone(), row)));
        let order = OrderRow {
            order_id: "a".into(),
            product_id: 1,
            quantity: 2,
            amount_minor: 20,
            status: "paid".into(),
            payment_id: Some("p".into()),
            refund_status: "none".into(),
        };
        tables.orders.insert("a".into(), order);
        let payment = PaymentRow {
            order_id: "a".into(),
            payment_id: "p".into(),
            succeeded: true,
            amount_minor: Some(20),
            state: "applied".into(),
            refund_reason: None,
        };
        tables.payments.insert(("a".into(), "p".into()), payment);
        let logged = |log_seq, row: &HoldRow| LogCommand {
            log_seq,
            request_id: row.hold_id.clone(),
            has_outcome: true,
            hold: row.customer_id.clone().map(|customer| (1, customer)),
        };
        let mut log: Vec<_> = ["a", "b"]
            .iter()
            .zip(1..)
            .map(|(id, seq)| logged(seq, &tables.holds[*id]))
            .collect();
        log.push(LogCommand {
            log_seq: 3,
            request_id: "d".into(),
            has_outcome: true,
            hold: None,
        });
        tables.outcomes.insert("d".to_owned());
        Self {
            begun,
            exchanges,
            log,
            tables,
            refunds: Vec::new(),
            wipes: Vec::new(),
        }
    }

    fn rules(&self) -> Vec<&'static str> {
        let evidence = Evidence {
            begun: self.begun,
            exchanges: &self.exchanges,
            reads: &[],
            log: &self.log,
            tables: &self.tables,
            refunds: &self.refunds,
            wipes: &self.wipes,
            products: &[(1, 10)],
        };
        audit(&evidence).by_rule.into_keys().collect()
    }

    fn accept(&mut self, end: Option<End>) {
        let (customer, at) = ("customer-c".to_owned(), self.begun + Duration::from_secs(5));
        let body =
            json!({"status": "queued", "position": 3, "status_url": "/api/requests/c?seq=9"});
        let request = Request::Hold {
            product: 1,
            quantity: 1,
            customer,
        };
        let mut accepted = exchange(at, request, None, 202, body);
        accepted
            .ends
            .extend(end.map(|end| (at + Duration::from_secs(1), end)));
        self.exchanges.push(accepted);
    }
}

#[test]
fn correct_history_has_no_findings() {
    assert_eq!(TestRun::new().rules(), Vec::<&str>::new());
}

#[test]
fn lost_accepted_hold_is_found() {
    let mut run = TestRun::new();
    run.tables.holds.remove("b");
    assert!(run.rules().contains(&"I5: an accepted hold"));
    assert!(run.rules().contains(&"sequences without gaps"));
}

#[test]
fn units_sold_twice_are_found() {
    let mut run = TestRun::new();
    run.tables.products.get_mut(&1).unwrap().available_stock = 10;
    assert_eq!(run.rules(), ["I1: total, available, held, sold, holds"]);
}

#[test]
fn holds_out_of_order_are_found() {
    let mut run = TestRun::new();
    for (id, sequence) in [("a", 2), ("b", 1)] {
        run.tables.holds.get_mut(id).unwrap().sequence = sequence;
    }
    for exchange in &mut run.exchanges[..2] {
        let reply = exchange.reply.as_mut().unwrap();
        reply.body["sequence"] = json!(3 - reply.body["sequence"].as_i64().unwrap());
    }
    assert_eq!(run.rules(), ["I6: order of holds", "I6: order of the log"]);
}

#[test]
fn second_effect_of_one_request_is_found() {
    let mut run = TestRun::new();
    let twice = HoldRow {
        customer_id: Some("customer-b".into()),
        ..hold_row("c", 3, 3, "expired")
    };
    run.tables.products.get_mut(&1).unwrap().hold_sequence = 3;
    run.tables.holds.insert("c".into(), twice);
    assert_eq!(run.rules(), ["I4: one request, two holds"]);
}

#[test]
fn two_outcomes_under_one_key_are_found() {
    let mut run = TestRun::new();
    let mut repeat = run.exchanges[3].clone();
    repeat.reply.as_mut().unwrap().text.push(' ');
    repeat.reply.as_mut().unwrap().replayed = true;
    run.exchanges.push(repeat.clone());
    assert_eq!(run.rules(), ["I4: reply to a repeated webhook"]);
    repeat.reply.as_mut().unwrap().replayed = false;
    run.exchanges.push(repeat);
    assert!(run.rules().contains(&"I4: two originals under one key"));
}

#[test]
fn paid_order_that_becomes_unpaid_is_found() {
    let mut run = TestRun::new();
    let order = run.tables.orders.get_mut("a").unwrap();
    (order.status, order.payment_id) = ("cancelled".into(), None);
    assert!(run.rules().contains(&"I3: paid is final"));
}

#[test]
fn lost_accepted_payment_is_found() {
    let mut run = TestRun::new();
    run.tables.payments.clear();
    assert!(run.rules().contains(&"I8: an accepted payment"));
}

#[test]
fn accepted_request_must_end_unless_the_log_was_lost() {
    let mut run = TestRun::new();
    run.accept(None);
    assert_eq!(run.rules(), ["accepted request without an end"]);
    let mut run = TestRun::new();
    run.accept(Some(End::Gone));
    assert_eq!(run.rules(), ["accepted request got 404"]);
    let wiped = run.begun + Duration::from_secs(6);
    run.wipes.push((wiped, wiped));
    assert_eq!(run.rules(), Vec::<&str>::new());
}

#[test]
fn refund_without_a_reason_is_found() {
    let mut run = TestRun::new();
    let body = json!({"refund_id": "r", "order_id": "a", "payment_id": "p"}).to_string();
    run.refunds.push(RefundRequest {
        id: "r".into(),
        body,
        is_accepted: true,
    });
    assert_eq!(run.rules(), ["a refund that is not due"]);
}

#[test]
fn server_errors_and_bad_json_are_found() {
    let mut run = TestRun::new();
    let problem =
        json!({"type": "t", "title": "t", "detail": "d", "code": "internal_error", "status": 500});
    run.exchanges.push(exchange(
        run.begun,
        Request::Release { hold: "b".into() },
        None,
        500,
        problem,
    ));
    assert_eq!(run.rules(), ["failure"]);
    run.exchanges
        .last_mut()
        .unwrap()
        .reply
        .as_mut()
        .unwrap()
        .body = Value::Null;
    assert!(run.rules().contains(&"form of a reply"));
}

#[test]
fn order_without_its_parked_payment_is_found() {
    let mut run = TestRun::new();
    let Request::Pay(notice) = &mut run.exchanges[3].request else {
        panic!("no webhook")
    };
    notice.amount_minor = None;
    let reply = run.exchanges[3].reply.as_mut().unwrap();
    (reply.status, reply.body) = (202, json!({"result": "parked"}));
    assert_eq!(run.rules(), ["an order with a parked payment"]);
}

#[test]
fn skipped_and_dead_letter_commands_are_found() {
    let mut run = TestRun::new();
    run.tables.outcomes.remove("d");
    assert_eq!(run.rules(), ["I6: a command of the log without an outcome"]);
    let mut run = TestRun::new();
    let (request_id, action, error) = (
        "c".to_owned(),
        "create_hold".to_owned(),
        "a panic".to_owned(),
    );
    run.tables.dead_letters.push(DeadLetterRow {
        dead_letter_id: 1,
        request_id,
        log_seq: 3,
        action,
        error,
    });
    assert_eq!(run.rules(), ["a dead letter"]);
    let mut run = TestRun::new();
    run.tables.falls.push(PositionFall {
        partition: 0,
        from_epoch: 2,
        from_seq: 9,
        to_epoch: 2,
        to_seq: 7,
    });
    assert_eq!(run.rules(), ["I6: a partition went back"]);
}

#[test]
fn holds_not_in_log_order_are_found() {
    let mut run = TestRun::new();
    run.log.swap(0, 1);
    assert_eq!(run.rules(), ["I6: order of the log"]);
    // A repeat does not count, and neither does a log that replaced a lost one.
    run.log.insert(0, run.log[1].clone());
    assert_eq!(run.rules(), Vec::<&str>::new());
    run.log.remove(0);
    let wiped = run.begun + Duration::from_secs(6);
    run.wipes.push((wiped, wiped));
    assert_eq!(run.rules(), Vec::<&str>::new());
}

#[test]
fn unowned_and_unevenly_shared_partitions_are_found() {
    let partitions = |owners: &[Option<&str>]| -> Vec<PartitionRow> {
        let row = |(owner, partition): (&Option<&str>, i16)| PartitionRow {
            partition,
            owner: owner.map(str::to_owned),
            epoch: 1,
            is_live: true,
        };
        owners.iter().zip(0..).map(row).collect()
    };
    let even = partitions(&[Some("x"), Some("y"), Some("z"), Some("x")]);
    assert_eq!(uneven_shares(&even, 3), Vec::<String>::new());
    assert_eq!(uneven_shares(&even, 2).len(), 1, "more owners than workers");
    assert_eq!(
        uneven_shares(
            &partitions(&[Some("x"), Some("y"), Some("x"), Some("x")]),
            2
        )
        .len(),
        1
    );
    assert_eq!(
        uneven_shares(
            &partitions(&[Some("x"), Some("x"), Some("y"), Some("y")]),
            3
        )
        .len(),
        1,
        "one worker owns nothing"
    );
    assert_eq!(uneven_shares(&partitions(&[Some("x"), None]), 1).len(), 1);
    let mut lapsed = even;
    lapsed[2].is_live = false;
    assert_eq!(
        uneven_shares(&lapsed, 3).len(),
        2,
        "one lease has expired, so one worker owns nothing"
    );
}
