//! What happens in a random sale: its terms, and steps that stay valid whatever is left out of them.
//!
//! Steps name holds and earlier commands by number, modulo how many there are, so that a failing script can be shrunk
//! step by step. Nothing in here knows a rule. Next: [`crate::sale`], which turns steps into commands.

use std::fmt;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any};
use proptest::prop_oneof;
use proptest::sample::select;

use holdfast_common::domain::{Policy, RefundStatus};

/// The most steps of one script.
const STEPS_MAX: usize = 40;
/// The number of a product that is never put on sale, after those that are.
pub(crate) const UNKNOWN_PRODUCT: u8 = 2;

/// A random sale.
#[derive(Clone)]
pub(crate) struct Script {
    /// What an operator has chosen.
    pub(crate) policy: Policy,
    /// Whether both products live in one slot.
    pub(crate) same_slot: bool,
    /// Units and purchase limit of each product.
    pub(crate) products: [(i64, Option<u32>); 2],
    /// What happens.
    pub(crate) steps: Vec<Step>,
}

/// One step. All but [`Step::Wait`] and [`Step::Batch`] send a command.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Hold {
        product: u8,
        quantity: u32,
        customer: Option<u8>,
    },
    Release {
        hold: usize,
    },
    Order {
        hold: usize,
    },
    Pay {
        hold: usize,
        payment: u8,
        succeeded: bool,
        amount: Amount,
    },
    AdvanceRefund {
        hold: usize,
        payment: u8,
        to: RefundStatus,
    },
    Restock {
        product: u8,
        quantity: i64,
    },
    Change {
        product: u8,
        to: Change,
    },
    ExpireDue,
    /// The step's command, with an idempotency key.
    Keyed(u8, Box<Step>),
    /// An earlier command is read from the log once more.
    Again {
        step: usize,
    },
    /// A client asks once more for what it asked for: same key, same body, another request id.
    Repeat {
        step: usize,
    },
    /// The batch ends here.
    Batch,
    /// The batch ends here, and the next one comes so much later.
    Wait {
        seconds: u32,
    },
}

/// What a provider says was paid.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Amount {
    Right,
    Less,
    OtherCurrency,
    Unsaid,
}

/// A change of a product. Times are in seconds from the beginning of the script.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    Price(i64),
    Currency(&'static str),
    Limit(Option<u32>),
    Window(Option<u32>, Option<u32>),
}

impl Script {
    /// The same script with one step less. Steps that name a hold go on naming it, when it is not the one that is gone.
    pub(crate) fn without(&self, place: usize) -> Self {
        let is_hold = |step: &Step| matches!(step.command(), Step::Hold { .. });
        let holds = self.steps.iter().filter(|step| is_hold(step)).count().max(1);
        let gone = is_hold(&self.steps[place]).then(|| self.steps[..place].iter().filter(|s| is_hold(s)).count());
        let mut shorter = self.clone();
        shorter.steps.remove(place);
        for number in shorter.steps.iter_mut().filter_map(Step::hold_mut) {
            *number %= holds;
            *number -= usize::from(gone.is_some_and(|gone| gone < *number));
        }
        shorter
    }
}

impl Step {
    /// The step itself, without its idempotency key.
    pub(crate) fn command(&self) -> &Self {
        match self {
            Self::Keyed(_, step) => step,
            step => step,
        }
    }

    /// The number of the hold that the step names.
    fn hold_mut(&mut self) -> Option<&mut usize> {
        match self {
            Self::Keyed(_, step) => step.hold_mut(),
            Self::Release { hold } | Self::Order { hold } => Some(hold),
            Self::Pay { hold, .. } | Self::AdvanceRefund { hold, .. } => Some(hold),
            _ => None,
        }
    }
}

/// One step a line: what a person reads when a script fails.
impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { policy, same_slot, products, steps } = self;
        writeln!(f, "{policy:?}\nsame_slot: {same_slot}, products (units, limit): {products:?}")?;
        steps.iter().try_for_each(|step| writeln!(f, "    {step:?}"))
    }
}

/// Random sales: few units, few buyers, few holds, and times that fall on, just before and just after what is due.
pub(crate) fn scripts() -> impl Strategy<Value = Script> {
    let product = || (0..=6_i64, option::weighted(0.4, 1..=4_u32));
    (policies(), any::<bool>(), [product(), product()], vec(step(), 1..=STEPS_MAX))
        .prop_map(|(policy, same_slot, products, steps)| Script { policy, same_slot, products, steps })
}

fn policies() -> impl Strategy<Value = Policy> {
    (select(vec![120, 30, 86_400]), select(vec![600, 60]), any::<bool>(), select(vec![604_800, 100])).prop_map(
        |(hold_expiry_seconds, order_payment_seconds, reallocate_late_payments, idempotency_key_ttl_seconds)| Policy {
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

/// Around the times of [`policies`], and of unmatched payments.
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
    let product = prop_oneof![6 => Just(0), 2 => Just(1), 1 => Just(UNKNOWN_PRODUCT)];
    (product, 1..=3_u32, option::of(0..2_u8)).prop_map(|(product, quantity, customer)| Step::Hold {
        product,
        quantity,
        customer,
    })
}

/// Mostly the first ones, so that much happens to one hold.
fn some_hold() -> impl Strategy<Value = usize> {
    prop_oneof![3 => 0..2_usize, 1 => 2..6_usize]
}

fn pay() -> impl Strategy<Value = Step> {
    let amount = prop_oneof![
        3 => Just(Amount::Right),
        2 => Just(Amount::Unsaid),
        1 => Just(Amount::Less),
        1 => Just(Amount::OtherCurrency),
    ];
    (some_hold(), 0..3_u8, any::<bool>(), amount).prop_map(|(hold, payment, failed, amount)| Step::Pay {
        hold,
        payment,
        succeeded: !failed,
        amount,
    })
}

fn refund() -> impl Strategy<Value = RefundStatus> {
    select(vec![RefundStatus::Requested, RefundStatus::Refunded, RefundStatus::Due])
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
