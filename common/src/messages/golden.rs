//! Golden tests: the bytes of every command and every outcome in messages and tables.
//!
//! Programs of two versions run side by side, and rows are kept for years. When a test here fails, give the message a new
//! version. Never change a golden value.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::command::{Action, NewProduct, PaymentNotice, ProductChange};
use crate::domain::{
    CancelReason, Counts, Hold, HoldState, Order, OrderState, OrderStatus, Product, RefundStatus,
    Stock, StockRepair,
};
use crate::id::{HoldId, ProductId};
use crate::outcome::{
    DeadLetterSettled, Outcome, ProductAsOf, Refusal, Settlement, SettlementResult,
};
use crate::time::Timestamp;

const PRODUCT: ProductId = ProductId(1);

fn hold_id() -> HoldId {
    HoldId::new(PRODUCT.slot(), 0x0123_4567_89ab, 42)
}

fn actions() -> Vec<Action> {
    let (product_id, hold_id, order_id) = (PRODUCT, hold_id(), hold_id());
    let sale_starts_at = Some(Timestamp(7));
    vec![
        Action::CreateProduct(NewProduct {
            product_id,
            name: "Lamp".to_owned(),
            price_minor: 1999,
            currency: "EUR".parse().unwrap(),
            total_stock: 10,
            max_per_customer: Some(2),
            sale_starts_at,
            sale_ends_at: None,
        }),
        Action::Restock {
            product_id,
            quantity: -5,
        },
        Action::CreateHold {
            product_id,
            quantity: 2,
            customer_id: Some("c-1".to_owned()),
        },
        Action::ReleaseHold { hold_id },
        Action::ChangeProduct {
            product_id,
            change: ProductChange {
                price_minor: Some(1),
                sale_starts_at: Some(None),
                ..ProductChange::default()
            },
        },
        Action::CreateOrder { hold_id },
        Action::SettlePayment(PaymentNotice {
            order_id,
            payment_id: "p-1".to_owned(),
            succeeded: true,
            amount_minor: Some(3998),
            currency: Some("EUR".parse().unwrap()),
        }),
        Action::ExpireDue,
        Action::AdvanceRefund {
            order_id,
            payment_id: "p-1".to_owned(),
            to: RefundStatus::Requested,
        },
        Action::SettleDeadLetter {
            id: 300,
            is_retry: true,
        },
        Action::RepairStock { product_id },
        Action::ForgetCustomer { hold_id },
    ]
}

fn product() -> Box<ProductAsOf> {
    let product = Product {
        id: PRODUCT,
        name: "Lamp".to_owned(),
        price_minor: 1999,
        currency: "EUR".parse().unwrap(),
        stock: Stock::from_stored(10, 3, 5, 2).unwrap(),
        holds_count: 4,
        max_per_customer: Some(2),
        sale_starts_at: None,
        sale_ends_at: Some(Timestamp(7)),
        hold_sequence: 6,
        version: 9,
    };
    Box::new(ProductAsOf {
        product,
        as_of: Timestamp(1_000_000),
    })
}

fn hold(state: HoldState) -> Hold {
    Hold {
        id: hold_id(),
        product_id: PRODUCT,
        quantity: 2,
        customer_id: Some("c-1".to_owned()),
        price_minor: 1999,
        currency: "EUR".parse().unwrap(),
        state,
        created_at: Timestamp(8),
        expires_at: Timestamp(9),
        sequence: 3,
    }
}

fn order() -> Box<Order> {
    Box::new(Order {
        id: hold_id(),
        product_id: PRODUCT,
        quantity: 2,
        customer_id: None,
        amount_minor: 3998,
        currency: "EUR".parse().unwrap(),
        state: OrderState::Cancelled {
            reason: CancelReason::PaymentFailed,
            at: Timestamp(5),
        },
        refund_status: RefundStatus::Due,
        payment_due_at: Timestamp(6),
        created_at: Timestamp(4),
    })
}

fn outcomes() -> Vec<Outcome> {
    let counts = |held_stock| Counts {
        total_stock: 10,
        available_stock: 10 - held_stock,
        held_stock,
        sold_stock: 0,
        holds_count: 1,
        hold_sequence: 300,
    };
    vec![
        Outcome::ProductCreated(product()),
        Outcome::ProductChanged(product()),
        Outcome::HoldCreated(hold(HoldState::Active)),
        Outcome::HoldReleased(hold(HoldState::Released { at: Timestamp(5) })),
        Outcome::Refused(Refusal::ProductNotFound),
        Outcome::OrderCreated(order()),
        Outcome::PaymentSettled(Settlement {
            result: SettlementResult::Reallocated,
            order: Some((hold_id(), OrderStatus::Paid)),
        }),
        Outcome::Failed,
        Outcome::DeadLetterSettled(DeadLetterSettled {
            id: 300,
            is_applied: false,
        }),
        Outcome::StockRepaired(Box::new(StockRepair {
            product_id: PRODUCT,
            before: counts(4),
            after: counts(3),
        })),
        Outcome::Internal,
    ]
}

fn refusals() -> Vec<Refusal> {
    vec![
        Refusal::ProductNotFound,
        Refusal::InsufficientStock { available_stock: 3 },
        Refusal::SaleNotOpen {
            starts_at: Some(Timestamp(1)),
            ends_at: None,
        },
        Refusal::HoldNotFound,
        Refusal::HoldConsumed,
        Refusal::HoldExpired,
        Refusal::IdempotencyKeyReused,
        Refusal::ProductExists,
        Refusal::StockLimitExceeded,
        Refusal::SaleWindowInvalid,
        Refusal::HoldReleased,
        Refusal::PurchaseLimitReached {
            max_per_customer: 4,
            units: 3,
        },
        Refusal::DeadLetterNotFound,
    ]
}

/// Compares the bytes of one value of each variant, in order, and checks that no variant is missing.
#[track_caller]
fn assert_bytes<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(
    values: &[T],
    golden: &[&str],
) {
    let written: Vec<_> = values
        .iter()
        .map(|value| postcard::to_allocvec(value).unwrap())
        .collect();
    assert_eq!(written.iter().map(hex::encode).collect::<Vec<_>>(), golden);
    for (number, (value, bytes)) in values.iter().zip(&written).enumerate() {
        assert_eq!(
            usize::from(bytes[0]),
            number,
            "a variant is missing or has moved"
        );
        assert_eq!(postcard::from_bytes::<T>(bytes).as_ref(), Ok(value));
    }
    let next = [&[values.len() as u8][..], &[0; 256]].concat();
    assert!(
        postcard::take_from_bytes::<T>(&next).is_err(),
        "a new variant has no golden value"
    );
}

#[test]
fn bytes_of_actions_never_change() {
    assert_bytes(
        &actions(),
        &[
            "0002044c616d709e1f03455552140102010e00",
            "010209",
            "0202020103632d31",
            "03100123456789ab8cc1800000000000002a",
            "04020001020000010000",
            "05100123456789ab8cc1800000000000002a",
            "06100123456789ab8cc1800000000000002a03702d310101bc3e0103455552",
            "07",
            "08100123456789ab8cc1800000000000002a03702d3102",
            "09d80401",
            "0a02",
            "0b100123456789ab8cc1800000000000002a",
        ],
    );
}

#[test]
fn bytes_of_outcomes_never_change() {
    assert_bytes(
        &outcomes(),
        &[
            "0002044c616d709e1f0345555214060a0408010200010e0c1280897a",
            "0102044c616d709e1f0345555214060a0408010200010e0c1280897a",
            "02100123456789ab8cc1800000000000002a02020103632d319e1f0345555200101206",
            "03100123456789ab8cc1800000000000002a02020103632d319e1f03455552020a101206",
            "0400",
            "05100123456789ab8cc1800000000000002a020200bc3e0345555202000a030c08",
            "060301100123456789ab8cc1800000000000002a01",
            "07",
            "08d80400",
            "0902140c080002d804140e060002d804",
            "0a",
        ],
    );
}

#[test]
fn bytes_of_refusals_never_change() {
    let golden = [
        "00", "0106", "02010200", "03", "04", "05", "06", "07", "08", "09", "0a", "0b0406", "0c",
    ];
    assert_bytes(&refusals(), &golden);
}

#[test]
fn json_of_outcomes_never_changes() {
    let stored: Vec<_> = outcomes()
        .iter()
        .map(|outcome| serde_json::to_string(outcome).unwrap())
        .collect();
    assert_eq!(
        stored,
        include_str!("golden/outcomes.jsonl")
            .lines()
            .collect::<Vec<_>>()
    );
}
