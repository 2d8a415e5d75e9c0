//! Random sales: few units, few customers, few holds, and times just before, at and just after due times.
//!
//! The simplest value comes first in every choice, because proptest shrinks failing scripts towards it.

use holdfast_common::domain::{Policy, RefundStatus};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any};
use proptest::prop_oneof;
use proptest::sample::select;

use crate::steps::{Amount, Change, Script, Step, UNKNOWN_PRODUCT};

/// The most steps of one script.
const STEPS_MAX: usize = 40;

/// Sales with different policies, products and steps.
pub(crate) fn scripts() -> impl Strategy<Value = Script> {
    let units = || prop_oneof![4 => 3..=8_i64, 1 => 0..=2_i64];
    let product = || (units(), option::weighted(0.3, 1..=4_u32));
    // Most sales begin with a hold, because most steps name one.
    let steps = (option::weighted(0.8, hold()), vec(step(), 1..STEPS_MAX));
    let steps = steps.prop_map(|(first, others)| first.into_iter().chain(others).collect());
    (policies(), any::<bool>(), [product(), product()], steps).prop_map(
        |(policy, same_slot, products, steps)| Script {
            policy,
            same_slot,
            products,
            steps,
        },
    )
}

fn policies() -> impl Strategy<Value = Policy> {
    (
        select(vec![120, 30, 86_400]),
        select(vec![600, 60]),
        any::<bool>(),
        select(vec![604_800, 100]),
    )
        .prop_map(
            |(
                hold_expiry_seconds,
                order_payment_seconds,
                reallocate_late_payments,
                idempotency_key_ttl_seconds,
            )| Policy {
                hold_expiry_seconds,
                order_payment_seconds,
                reallocate_late_payments,
                idempotency_key_ttl_seconds,
            },
        )
}

fn step() -> impl Strategy<Value = Step> {
    let earlier = || 0..STEPS_MAX;
    prop_oneof![
        20 => command(),
        5 => (0..2_u8, command()).prop_map(|(key, command)| Step::Keyed(key, Box::new(command))),
        1 => earlier().prop_map(|step| Step::Again { step }),
        2 => earlier().prop_map(|step| Step::Repeat { step }),
        3 => Just(Step::Batch),
        3 => wait().prop_map(|seconds| Step::Wait { seconds }),
    ]
}

/// Times near those of [`policies`], and near the time after which payments are unmatched.
fn wait() -> impl Strategy<Value = u32> {
    prop_oneof![
        4 => select(vec![1, 29, 30, 31, 59, 60, 61, 99, 100, 101, 119, 120, 121]),
        2 => select(vec![300, 599, 600, 601]),
        1 => select(vec![86_399, 86_400, 604_800]),
    ]
}

fn command() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => hold(),
        2 => some_hold().prop_map(|hold| Step::Release { hold }),
        5 => some_hold().prop_map(|hold| Step::Order { hold }),
        7 => pay(),
        2 => (some_hold(), 0..3_u8, refund()).prop_map(|(hold, payment, to)| Step::AdvanceRefund { hold, payment, to }),
        1 => (0..=UNKNOWN_PRODUCT, units()).prop_map(|(product, quantity)| Step::Restock { product, quantity }),
        1 => (0..=UNKNOWN_PRODUCT, change()).prop_map(|(product, to)| Step::Change { product, to }),
        1 => Just(Step::ExpireDue),
    ]
}

fn hold() -> impl Strategy<Value = Step> {
    let product = prop_oneof![14 => Just(0), 5 => Just(1), 1 => Just(UNKNOWN_PRODUCT)];
    (product, 1..=3_u32, option::of(0..2_u8)).prop_map(|(product, quantity, customer)| Step::Hold {
        product,
        quantity,
        customer,
    })
}

/// Mostly the first holds, so that many steps name the same hold.
fn some_hold() -> impl Strategy<Value = usize> {
    prop_oneof![3 => 0..2_usize, 1 => 2..6_usize]
}

fn pay() -> impl Strategy<Value = Step> {
    let amount = prop_oneof![
        3 => Just(Amount::Right),
        2 => Just(Amount::Missing),
        1 => Just(Amount::Less),
        1 => Just(Amount::OtherCurrency),
    ];
    (some_hold(), 0..3_u8, any::<bool>(), amount).prop_map(|(hold, payment, failed, amount)| {
        Step::Pay {
            hold,
            payment,
            succeeded: !failed,
            amount,
        }
    })
}

fn refund() -> impl Strategy<Value = RefundStatus> {
    select(vec![
        RefundStatus::Requested,
        RefundStatus::Refunded,
        RefundStatus::Due,
    ])
}

fn units() -> impl Strategy<Value = i64> {
    select(vec![1, 3, -1, -2, -5, 999_999_997])
}

fn change() -> impl Strategy<Value = Change> {
    let second = || option::of(select(vec![0, 1, 60, 120, 1_000]));
    prop_oneof![
        (1..=3_i64).prop_map(|units| Change::Price(units * 100)),
        select(vec!["USD", "EUR"]).prop_map(Change::Currency),
        option::weighted(0.8, 1..=4_u32).prop_map(Change::Limit),
        (second(), second()).prop_map(|(starts, ends)| Change::Window(starts, ends)),
    ]
}
