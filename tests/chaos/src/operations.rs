//! What clients do, drawn at random.
//!
//! An operation is a kind of request; which hold or order it is about is found out when it is done, among what clients
//! were told until then.

use rand::Rng;
use rand::rngs::StdRng;

/// The most units a hold asks for.
const QUANTITY_MAX: i64 = 4;
/// What a restock takes back at most, and adds at most.
const RESTOCK: (i64, i64) = (-4, 12);

/// How a client would like to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefer {
    /// As long as the ingress does.
    Nothing,
    /// A second.
    WaitOne,
    /// Not at all.
    RespondAsync,
}

/// What a payment provider does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payment {
    /// Says that an order was paid.
    Success,
    /// Says that paying an order failed.
    Failure,
    /// Says the same twice at once, under one key.
    Duplicate,
    /// Says the same twice, under two keys.
    OtherKey,
    /// Says first that it succeeded, then that it failed.
    Reordered,
    /// Says that a hold was paid which nobody has ordered; then it is ordered.
    BeforeOrder,
    /// Says that another amount was paid than the order costs.
    WrongAmount,
}

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// A product.
    Product,
    /// A hold.
    Hold,
    /// An order.
    Order,
}

/// Something that a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Sets units aside.
    Hold {
        /// The number of the product among those of the run.
        product: usize,
        /// How many units.
        quantity: i64,
        /// With an idempotency key.
        keyed: bool,
        /// To both ingresses at once, as an impatient client does; only with a key.
        twice: bool,
        /// How to wait.
        prefer: Prefer,
    },
    /// Gives a hold back.
    Release {
        /// With an idempotency key.
        keyed: bool,
    },
    /// Orders a hold.
    Order {
        /// With an idempotency key.
        keyed: bool,
        /// How to wait.
        prefer: Prefer,
    },
    /// Speaks as a payment provider.
    Pay(Payment),
    /// Adds units to a product, or takes unsold ones back; always with a key.
    Restock {
        /// The number of the product among those of the run.
        product: usize,
        /// How many units.
        quantity: i64,
    },
    /// Sends an earlier request again, with its key, to either ingress.
    Repeat,
    /// Sends another body with an earlier request's key.
    RepeatOtherBody,
    /// Asks what became of an accepted request.
    Poll,
    /// Looks at something.
    Get(Look),
}

impl Operation {
    /// Draws an operation for a run with so many products.
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
                // A restock of nothing is bad form.
                Self::Restock {
                    product,
                    quantity: if quantity == 0 { 1 } else { quantity },
                }
            }
            70..78 => Self::Repeat,
            78..80 => Self::RepeatOtherBody,
            80..90 => Self::Poll,
            90..93 => Self::Get(Look::Product),
            93..97 => Self::Get(Look::Hold),
            _ => Self::Get(Look::Order),
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
