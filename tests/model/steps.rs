//! What happens in a random sale: its terms, and steps that stay valid whatever is left out of them.
//!
//! Steps name holds and earlier commands by number, modulo how many there are, so that a failing script can be shrunk
//! step by step. Nothing in here knows a rule. Next: [`crate::random`], which makes them, and [`crate::commands`].

use std::fmt;

use holdfast_common::domain::{Policy, RefundStatus};

/// How many products are put on sale before the first step, by a command each.
const PRODUCTS: usize = 2;
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
    pub(crate) products: [(i64, Option<u32>); PRODUCTS],
    /// What happens.
    pub(crate) steps: Vec<Step>,
}

/// One step. All but [`Step::Wait`] and [`Step::Batch`] send a command. Earlier commands are numbered from 0, and the
/// first two put the products on sale.
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
    /// The same script with one step less. Steps that name a hold or a command go on naming it, when it is not the one
    /// that is gone.
    pub(crate) fn without(&self, place: usize) -> Self {
        let count = |steps: &[Step], wanted: fn(&Step) -> bool| {
            steps.iter().filter(|step| wanted(step)).count()
        };
        let (before, gone) = (&self.steps[..place], &self.steps[place]);
        let holds = count(&self.steps, Step::is_hold).max(1);
        let mut shorter = self.clone();
        for (number, step) in shorter.steps.iter_mut().enumerate() {
            let sent = PRODUCTS + count(&self.steps[..number], Step::is_sent);
            if let Some(hold) = step.hold_mut() {
                *hold %= holds;
                *hold -= usize::from(gone.is_hold() && count(before, Step::is_hold) < *hold);
            }
            if let Step::Again { step } | Step::Repeat { step } = step {
                *step %= sent;
                *step -=
                    usize::from(gone.is_sent() && PRODUCTS + count(before, Step::is_sent) < *step);
            }
        }
        shorter.steps.remove(place);
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

    fn is_hold(&self) -> bool {
        matches!(self.command(), Self::Hold { .. })
    }

    fn is_sent(&self) -> bool {
        !matches!(self, Self::Batch | Self::Wait { .. })
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
        let Self {
            policy,
            same_slot,
            products,
            steps,
        } = self;
        writeln!(
            f,
            "{policy:?}\nsame_slot: {same_slot}, products (units, limit): {products:?}"
        )?;
        steps
            .iter()
            .try_for_each(|step| writeln!(f, "    {step:?}"))
    }
}
