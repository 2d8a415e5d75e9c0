//! The operations of clients, drawn at random.
//!
//! An operation is a kind of request. Its hold or order is chosen when it runs, among the ids that clients have received
//! until then.

use rand::Rng;
use rand::rngs::StdRng;

/// The most units of a hold.
const QUANTITY_MAX: i64 = 4;
/// The most units that a restock removes, and adds.
const RESTOCK: (i64, i64) = (-4, 12);

/// The `Prefer` header of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefer {
    /// No header: the ingress waits for its own limit.
    Nothing,
    /// `wait=1`
    WaitOne,
    /// `respond-async`
    RespondAsync,
}

/// The webhooks of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payment {
    /// A successful payment.
    Success,
    /// A failed payment.
    Failure,
    /// A successful payment, sent twice at once under one key.
    Duplicate,
    /// A successful payment, sent twice under two keys.
    OtherKey,
    /// A success, then a failure of the same payment.
    Reordered,
    /// A success for a hold without an order; then the order.
    BeforeOrder,
    /// A success with another amount than the order's.
    WrongAmount,
}

/// The resource that a client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadTarget {
    Product,
    Hold,
    Order,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Hold {
        /// The index of the product in the run.
        product: usize,
        quantity: i64,
        /// With an idempotency key.
        keyed: bool,
        /// Sent to both ingresses at once, under one key.
        twice: bool,
        prefer: Prefer,
    },
    Release {
        /// With an idempotency key.
        keyed: bool,
    },
    Order {
        /// With an idempotency key.
        keyed: bool,
        prefer: Prefer,
    },
    Pay(Payment),
    /// Always with an idempotency key.
    Restock {
        /// The index of the product in the run.
        product: usize,
        /// Negative to remove units.
        quantity: i64,
    },
    /// Sends an earlier request again, with its key.
    Repeat,
    /// Sends another body with the key of an earlier request.
    RepeatOtherBody,
    /// Polls a request that got 202.
    Poll,
    Read(ReadTarget),
}

impl Operation {
    /// Draws an operation for a run with this number of products.
    pub fn draw(rng: &mut StdRng, products: usize) -> Self {
        let keyed = rng.random_bool(0.5);
        let product = rng.random_range(0..products);
        match rng.random_range(0..100) {
            0..30 => {
                let quantity = rng.random_range(1..=QUANTITY_MAX);
                let twice = keyed && rng.random_bool(0.2);
                Self::Hold {
                    product,
                    quantity,
                    keyed,
                    twice,
                    prefer: draw_prefer(rng),
                }
            }
            30..36 => Self::Release { keyed },
            36..52 => Self::Order {
                keyed,
                prefer: draw_prefer(rng),
            },
            52..68 => Self::Pay(draw_payment(rng)),
            68..70 => {
                let quantity = rng.random_range(RESTOCK.0..=RESTOCK.1);
                // The ingress rejects a quantity of 0.
                Self::Restock {
                    product,
                    quantity: if quantity == 0 { 1 } else { quantity },
                }
            }
            70..78 => Self::Repeat,
            78..80 => Self::RepeatOtherBody,
            80..90 => Self::Poll,
            90..93 => Self::Read(ReadTarget::Product),
            93..97 => Self::Read(ReadTarget::Hold),
            _ => Self::Read(ReadTarget::Order),
        }
    }
}

fn draw_prefer(rng: &mut StdRng) -> Prefer {
    match rng.random_range(0..10) {
        0..2 => Prefer::RespondAsync,
        2 => Prefer::WaitOne,
        _ => Prefer::Nothing,
    }
}

fn draw_payment(rng: &mut StdRng) -> Payment {
    match rng.random_range(0..100) {
        0..50 => Payment::Success,
        50..60 => Payment::Failure,
        60..70 => Payment::Duplicate,
        70..77 => Payment::OtherKey,
        77..84 => Payment::Reordered,
        84..93 => Payment::BeforeOrder,
        _ => Payment::WrongAmount,
    }
}
