//! Unit tests of `decide`.

use super::*;
use crate::command::{IdempotencyKey, NewProduct, PaymentNotice};
use crate::domain::{
    AuditKind, Changes, Counts, HoldState, OrderState, PaymentState, Product, Recount,
    RefundReason, RefundStatus, Stock, StockRepair, UNMATCHED_AFTER, expire_due,
};
use crate::id::{ProductId, RequestId};

const NOW: Timestamp = Timestamp(1_000_000_000);
const POLICY: Policy = Policy {
    hold_expiry_seconds: 120,
    order_payment_seconds: 600,
    reallocate_late_payments: true,
    idempotency_key_ttl_seconds: 600,
};
const PRODUCT: ProductId = ProductId(1);

fn request(number: u64) -> RequestId {
    RequestId::new(PRODUCT.slot(), 0, number)
}

fn hold_id(number: u64) -> HoldId {
    HoldId::of_request(request(number))
}

fn keyed(number: u64, key: &str, action: Action) -> Command {
    Command {
        request_id: request(number),
        key: Some(IdempotencyKey::new(key, &action)),
        action,
    }
}

fn plain(number: u64, action: Action) -> Command {
    Command {
        request_id: request(number),
        key: None,
        action,
    }
}

fn hold_of(quantity: u32) -> Action {
    Action::CreateHold {
        product_id: PRODUCT,
        quantity,
        customer_id: None,
    }
}

fn with_stock(total_stock: i64) -> State {
    let mut state = State::default();
    let new = NewProduct {
        product_id: PRODUCT,
        name: "Lamp".to_owned(),
        price_minor: 100,
        currency: "USD".parse().unwrap(),
        total_stock,
        max_per_customer: None,
        sale_starts_at: None,
        sale_ends_at: None,
    };
    state.load_product(Product::new(&new));
    state
}

fn apply(state: &mut State, command: &Command) -> Outcome {
    decide(state, command, NOW, &POLICY).outcome
}

fn available(state: &State) -> i64 {
    state.product(PRODUCT).unwrap().stock.available()
}

#[test]
fn holds_are_created_in_order_until_the_stock_is_gone() {
    let mut state = with_stock(3);
    let sequences: Vec<_> = (1..=4)
        .map(
            |number| match apply(&mut state, &plain(number, hold_of(1))) {
                Outcome::HoldCreated(hold) => Ok(hold.sequence),
                other => Err(other),
            },
        )
        .collect();
    let sold_out = Outcome::Refused(Refusal::InsufficientStock { available_stock: 0 });
    assert_eq!(sequences, [Ok(1), Ok(2), Ok(3), Err(sold_out)]);
}

#[test]
fn smaller_hold_succeeds_after_a_larger_one_was_refused() {
    let mut state = with_stock(5);
    let too_much = Outcome::Refused(Refusal::InsufficientStock { available_stock: 5 });
    assert_eq!(apply(&mut state, &plain(1, hold_of(6))), too_much);
    assert!(matches!(
        apply(&mut state, &plain(2, hold_of(5))),
        Outcome::HoldCreated(_)
    ));
}

#[test]
fn command_read_twice_has_one_effect_and_one_outcome() {
    let mut state = with_stock(1);
    let command = plain(1, hold_of(1));
    let first = apply(&mut state, &command);
    assert_eq!(apply(&mut state, &command), first);
    let refused = plain(2, hold_of(1));
    let first = apply(&mut state, &refused);
    apply(
        &mut state,
        &plain(
            3,
            Action::Restock {
                product_id: PRODUCT,
                quantity: 5,
            },
        ),
    );
    assert_eq!(
        apply(&mut state, &refused),
        first,
        "the refusal is repeated although stock is available again"
    );
    assert_eq!(available(&state), 5);
}

#[test]
fn key_replays_its_first_outcome_under_a_request_of_its_own() {
    let mut state = with_stock(10);
    let first = decide(&mut state, &keyed(1, "k", hold_of(2)), NOW, &POLICY);
    let second = decide(&mut state, &keyed(2, "k", hold_of(2)), NOW, &POLICY);
    assert!(!first.replayed && second.replayed);
    assert_eq!(first.outcome, second.outcome);
    assert_eq!(available(&state), 8);
    assert_eq!(
        state.decision(request(2)),
        Some(second),
        "polled by its own id"
    );
    let changes = Changes::from(state);
    assert_eq!(
        (
            changes.new_holds.len(),
            changes.decisions.len(),
            changes.keys.len()
        ),
        (1, 1, 1)
    );
}

#[test]
fn replayed_hold_is_shown_as_it_was_created() {
    let mut state = with_stock(10);
    let first = apply(&mut state, &keyed(1, "k", hold_of(2)));
    apply(
        &mut state,
        &plain(
            2,
            Action::ReleaseHold {
                hold_id: hold_id(1),
            },
        ),
    );
    assert_eq!(apply(&mut state, &keyed(3, "k", hold_of(2))), first);
}

#[test]
fn key_with_another_body_is_refused() {
    let mut state = with_stock(10);
    apply(&mut state, &keyed(1, "k", hold_of(2)));
    let reused = Outcome::Refused(Refusal::IdempotencyKeyReused);
    assert_eq!(apply(&mut state, &keyed(2, "k", hold_of(3))), reused);
    assert_eq!(available(&state), 8);
}

#[test]
fn key_is_unique_within_its_endpoint_and_product() {
    let mut state = with_stock(10);
    apply(&mut state, &keyed(1, "k", hold_of(2)));
    let release = keyed(
        2,
        "k",
        Action::ReleaseHold {
            hold_id: hold_id(1),
        },
    );
    assert!(matches!(
        apply(&mut state, &release),
        Outcome::HoldReleased(_)
    ));
    let elsewhere = Action::CreateHold {
        product_id: ProductId(99),
        quantity: 2,
        customer_id: None,
    };
    assert_eq!(
        apply(&mut state, &keyed(3, "k", elsewhere)),
        Outcome::Refused(Refusal::ProductNotFound)
    );
}

#[test]
fn key_is_forgotten_after_its_ttl() {
    let mut state = with_stock(10);
    apply(&mut state, &keyed(1, "k", hold_of(2)));
    let later = NOW.plus_seconds(POLICY.idempotency_key_ttl_seconds);
    let decision = decide(&mut state, &keyed(2, "k", hold_of(3)), later, &POLICY);
    assert!(matches!(decision.outcome, Outcome::HoldCreated(hold) if hold.quantity == 3));
}

#[test]
fn release_returns_units_once() {
    let mut state = with_stock(10);
    apply(&mut state, &plain(1, hold_of(4)));
    for number in [2, 3] {
        let outcome = apply(
            &mut state,
            &plain(
                number,
                Action::ReleaseHold {
                    hold_id: hold_id(1),
                },
            ),
        );
        assert!(matches!(outcome, Outcome::HoldReleased(_)), "{outcome:?}");
        assert_eq!(available(&state), 10);
    }
    assert_eq!(state.product(PRODUCT).unwrap().holds_count, 0);
}

#[test]
fn release_is_refused_from_the_instant_of_expiry_on() {
    let mut state = with_stock(10);
    apply(&mut state, &plain(1, hold_of(4)));
    let due = NOW.plus_seconds(POLICY.hold_expiry_seconds);
    let release = plain(
        2,
        Action::ReleaseHold {
            hold_id: hold_id(1),
        },
    );
    let mut just_before = state.clone();
    expire_due(&mut just_before, Timestamp(due.0 - 1));
    let just_before = decide(&mut just_before, &release, Timestamp(due.0 - 1), &POLICY);
    assert!(matches!(just_before.outcome, Outcome::HoldReleased(_)));
    expire_due(&mut state, due);
    let at_due = decide(&mut state, &release, due, &POLICY);
    assert_eq!(at_due.outcome, Outcome::Refused(Refusal::HoldExpired));
    assert_eq!(available(&state), 10);
}

#[test]
fn hold_is_refused_outside_the_sale_window() {
    let mut state = with_stock(10);
    let window = (Some(NOW.plus_seconds(10)), Some(NOW.plus_seconds(20)));
    state.change_product(PRODUCT, |product| {
        (product.sale_starts_at, product.sale_ends_at) = window
    });
    let granted = [9, 10, 19, 20].map(|seconds| {
        let command = plain(u64::from(seconds), hold_of(1));
        let decision = decide(&mut state, &command, NOW.plus_seconds(seconds), &POLICY);
        matches!(decision.outcome, Outcome::HoldCreated(_))
    });
    assert_eq!(granted, [false, true, true, false]);
}

#[test]
fn negative_restock_takes_only_available_units() {
    let mut state = with_stock(10);
    apply(&mut state, &plain(1, hold_of(4)));
    let take = |quantity| Action::Restock {
        product_id: PRODUCT,
        quantity,
    };
    let refused = Outcome::Refused(Refusal::InsufficientStock { available_stock: 6 });
    assert_eq!(apply(&mut state, &plain(2, take(-7))), refused);
    assert!(matches!(
        apply(&mut state, &plain(3, take(-6))),
        Outcome::ProductChanged(_)
    ));
    assert_eq!(available(&state), 0);
}

#[test]
fn batch_writes_only_its_changes() {
    let mut state = with_stock(0);
    apply(&mut state, &plain(1, hold_of(1)));
    let changes = Changes::from(state);
    assert!(changes.changed_products.is_empty() && changes.new_holds.is_empty());
    assert_eq!(changes.decisions.len(), 1, "the refusal is stored");
}

/// A state with a product whose counts differ from the sums over its holds and orders.
fn drifted(stored: [i64; 4], counted: Recount) -> State {
    let mut state = with_stock(0);
    let mut product = state.product(PRODUCT).unwrap().clone();
    let [total, available, held, sold] = stored;
    product.stock = Stock::from_stored(total, available, held, sold).unwrap();
    (product.holds_count, product.hold_sequence) = (9, 5);
    state.load_product(product);
    state.load_recount(PRODUCT, counted);
    state
}

fn repaired(state: &mut State, number: u64) -> StockRepair {
    match apply(
        state,
        &plain(
            number,
            Action::RepairStock {
                product_id: PRODUCT,
            },
        ),
    ) {
        Outcome::StockRepaired(repair) => *repair,
        other => panic!("{other:?}"),
    }
}

#[test]
fn repair_corrects_drift_after_other_commands_of_the_batch() {
    let mut state = drifted(
        [20, 8, 5, 7],
        Recount {
            held: 4,
            sold: 6,
            holds_count: 2,
            hold_sequence: 11,
        },
    );
    apply(&mut state, &plain(1, hold_of(3)));
    let StockRepair { before, after, .. } = repaired(&mut state, 2);
    let [is, was] = [after, before].map(|counts| {
        let Counts {
            total_stock,
            available_stock,
            held_stock,
            sold_stock,
            holds_count,
            hold_sequence,
        } = counts;
        [
            total_stock,
            available_stock,
            held_stock,
            sold_stock,
            holds_count,
            hold_sequence,
        ]
    });
    assert_eq!((was, is), ([20, 5, 8, 7, 10, 6], [20, 7, 7, 6, 3, 12]));
    let version = state.product(PRODUCT).unwrap().version;
    let again = repaired(&mut state, 3);
    assert_eq!((again.before, again.after), (after, after));
    assert_eq!(
        state.product(PRODUCT).unwrap().version,
        version,
        "without drift, the product does not change"
    );
}

#[test]
fn repair_keeps_promises_and_never_lowers_the_sequence() {
    let mut state = drifted(
        [10, 1, 2, 7],
        Recount {
            held: 6,
            sold: 7,
            holds_count: 9,
            hold_sequence: 3,
        },
    );
    let after = repaired(&mut state, 1).after;
    assert_eq!(
        (
            after.total_stock,
            after.available_stock,
            after.held_stock,
            after.sold_stock
        ),
        (13, 0, 6, 7)
    );
    assert_eq!(
        after.hold_sequence, 5,
        "holds with a sequence above 3 have ended and were removed"
    );
}

#[test]
fn repair_of_an_unknown_product_is_refused() {
    let elsewhere = Action::RepairStock {
        product_id: ProductId(99),
    };
    assert_eq!(
        apply(&mut with_stock(1), &plain(1, elsewhere)),
        Outcome::Refused(Refusal::ProductNotFound)
    );
}

/// The changes of a batch that forgets the customer of hold 1 twice, and the number of audit entries about it.
fn forgotten(mut state: State, now: Timestamp) -> (Changes, usize) {
    let asked = plain(
        90,
        Action::ForgetCustomer {
            hold_id: hold_id(1),
        },
    );
    expire_due(&mut state, now);
    for _ in 0..2 {
        decide(&mut state, &asked, now, &POLICY);
    }
    let changes = Changes::from(state);
    let entries = changes.audit.iter().flat_map(|group| &group.entries);
    let entries = entries
        .filter(|entry| entry.kind == AuditKind::CustomerForgotten)
        .count();
    (changes, entries)
}

/// The state after a batch in which a customer got hold 1.
fn with_customer(more: &[Command]) -> State {
    let mut state = with_stock(10);
    let customer_id = Some("c-1".to_owned());
    apply(
        &mut state,
        &plain(
            1,
            Action::CreateHold {
                product_id: PRODUCT,
                quantity: 2,
                customer_id,
            },
        ),
    );
    more.iter()
        .for_each(|command| _ = apply(&mut state, command));
    let changes = Changes::from(state);
    let mut state = State::default();
    changes
        .changed_products
        .into_iter()
        .for_each(|product| state.load_product(product));
    changes
        .new_holds
        .into_iter()
        .for_each(|hold| state.load_hold(hold));
    changes
        .new_orders
        .into_iter()
        .for_each(|order| state.load_order(order));
    state
}

#[test]
fn customer_is_forgotten_after_the_hold_has_ended() {
    let (active, entries) = forgotten(with_customer(&[]), NOW);
    assert!(active.forgotten_holds.is_empty() && active.changed_holds.is_empty() && entries == 0);
    let released = plain(
        2,
        Action::ReleaseHold {
            hold_id: hold_id(1),
        },
    );
    let (ended, entries) = forgotten(with_customer(&[released]), NOW);
    assert_eq!(
        (
            ended.forgotten_holds.len(),
            ended.changed_holds.len(),
            entries
        ),
        (1, 0, 1),
        "the second command changes nothing"
    );
    assert_eq!(ended.forgotten_holds[0].customer_id, None);
    let mut at_once = with_customer(&[]);
    apply(
        &mut at_once,
        &plain(
            2,
            Action::ReleaseHold {
                hold_id: hold_id(1),
            },
        ),
    );
    let (at_once, entries) = forgotten(at_once, NOW);
    assert_eq!(
        (
            at_once.forgotten_holds.len(),
            at_once.changed_holds.len(),
            entries
        ),
        (0, 1, 0),
        "a hold that this batch released waits for a later batch"
    );
    assert!(at_once.good_until().is_some() && ended.good_until().is_none());
    let (expired, entries) = forgotten(with_customer(&[]), NOW.plus_seconds(120));
    assert!(
        matches!(expired.forgotten_holds[0].state, HoldState::Expired { .. }),
        "expiry and removal in one batch"
    );
    assert_eq!(
        (
            expired.forgotten_holds.len(),
            expired.changed_holds.len(),
            entries
        ),
        (1, 0, 1)
    );
}

#[test]
fn customer_is_forgotten_after_the_order_has_ended() {
    let order = plain(
        2,
        Action::CreateOrder {
            hold_id: hold_id(1),
        },
    );
    let (unpaid, entries) = forgotten(with_customer(std::slice::from_ref(&order)), NOW);
    assert!(
        unpaid.forgotten_holds.is_empty() && unpaid.forgotten_orders.is_empty() && entries == 0
    );
    let (cancelled, entries) = forgotten(with_customer(&[order]), NOW.plus_seconds(600));
    assert_eq!(
        (
            cancelled.forgotten_holds.len(),
            cancelled.forgotten_orders.len(),
            entries
        ),
        (1, 1, 1)
    );
    assert!(cancelled.changed_orders.is_empty(), "a row is written once");
    let order = &cancelled.forgotten_orders[0];
    assert!(order.customer_id.is_none() && matches!(order.state, OrderState::Cancelled { .. }));
}

/// The state 24 hours after a payment without an order.
fn a_day_after(succeeded: bool) -> State {
    let mut state = with_stock(1);
    let payment_id = "pay_1".to_owned();
    let (order_id, amount_minor, currency) = (hold_id(9), None, None);
    let notice = PaymentNotice {
        order_id,
        payment_id,
        succeeded,
        amount_minor,
        currency,
    };
    apply(&mut state, &plain(1, Action::SettlePayment(notice)));
    expire_due(&mut state, NOW.plus(UNMATCHED_AFTER));
    state
}

fn payment_after(state: &mut State, to: RefundStatus) -> PaymentState {
    let advance = Action::AdvanceRefund {
        order_id: hold_id(9),
        payment_id: "pay_1".to_owned(),
        to,
    };
    apply(state, &plain(2, advance));
    state.payments(hold_id(9)).next().unwrap().state
}

#[test]
fn unmatched_payment_ends_when_it_is_refunded() {
    let mut state = a_day_after(true);
    for early in [RefundStatus::Due, RefundStatus::Requested] {
        assert_eq!(
            payment_after(&mut state, early),
            PaymentState::Unmatched,
            "no refund is requested"
        );
    }
    let back = PaymentState::Refund {
        status: RefundStatus::Refunded,
        reason: RefundReason::Unmatched,
    };
    for to in [
        RefundStatus::Refunded,
        RefundStatus::Refunded,
        RefundStatus::Due,
    ] {
        assert_eq!(payment_after(&mut state, to), back);
    }
    apply(&mut state, &plain(9, hold_of(1)));
    let Outcome::OrderCreated(order) = apply(
        &mut state,
        &plain(
            10,
            Action::CreateOrder {
                hold_id: hold_id(9),
            },
        ),
    ) else {
        panic!("no order");
    };
    assert_eq!(
        (&order.state, order.refund_status),
        (&OrderState::PendingPayment, RefundStatus::Refunded)
    );
    let changes = Changes::from(state);
    let entries = changes.audit.iter().flat_map(|group| &group.entries);
    assert_eq!(
        entries
            .filter(|entry| entry.kind == AuditKind::Refunded)
            .count(),
        1
    );
}

#[test]
fn unmatched_failure_is_ignored_after_an_operator_settles_it() {
    let mut state = a_day_after(false);
    assert_eq!(
        payment_after(&mut state, RefundStatus::Due),
        PaymentState::Unmatched
    );
    assert_eq!(
        payment_after(&mut state, RefundStatus::Refunded),
        PaymentState::Ignored
    );
}

#[test]
fn internal_command_has_its_own_outcome_and_no_record() {
    let mut state = with_stock(1);
    let internal = [
        Action::ExpireDue,
        Action::AdvanceRefund {
            order_id: hold_id(9),
            payment_id: "pay_1".to_owned(),
            to: RefundStatus::Requested,
        },
        Action::ForgetCustomer {
            hold_id: hold_id(9),
        },
    ];
    for action in internal {
        assert!(action.is_internal());
        assert_eq!(apply(&mut state, &plain(1, action)), Outcome::Internal);
    }
    let changes = Changes::from(state);
    assert!(changes.decisions.is_empty() && changes.audit.is_empty());
}
