//! The script of a random sale: its policy, its products and its steps.
//!
//! Steps name holds and earlier commands by number, modulo their count. So a script stays valid when a step is removed, and a
//! failing script can be shrunk. This module contains no rule. Next: [`crate::random`] draws scripts, [`crate::commands`]
//! translates steps.

use std::fmt;

use holdfast_common::domain::{Policy, RefundStatus};

/// Products that are created before the first step, by one command each.
const PRODUCTS: usize = 2;
/// The number of a product that is never created.
pub(crate) const UNKNOWN_PRODUCT: u8 = 2;

/// A random sale.
#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) policy: Policy,
    /// Whether both products have the same slot.
    pub(crate) same_slot: bool,
    /// Units and purchase limit of each product.
    pub(crate) products: [(i64, Option<u32>); PRODUCTS],
    pub(crate) steps: Vec<Step>,
}

/// One step. All but [`Step::Wait`] and [`Step::Batch`] send a command. Earlier commands are numbered from 0, and the
/// first two create the products.
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
    /// A worker reads an earlier command from the log again.
    Again {
        step: usize,
    },
    /// A client repeats an earlier request: same key and body, another request id.
    Repeat {
        step: usize,
    },
    /// The batch ends here.
    Batch,
    /// The batch ends here, and the next one begins after this time.
    Wait {
        seconds: u32,
    },
}

/// The amount and currency in a payment notice.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Amount {
    Right,
    Less,
    OtherCurrency,
    Missing,
}

/// A change of a product. Times are in seconds from the start of the script.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    Price(i64),
    Currency(&'static str),
    Limit(Option<u32>),
    Window(Option<u32>, Option<u32>),
}

impl Script {
    /// The script without one step. The other steps name the same holds and commands as before, except for those of the
    /// removed step.
    pub(crate) fn without(&self, place: usize) -> Self {
        let count = |steps: &[Step], wanted: fn(&Step) -> bool| {
            steps.iter().filter(|step| wanted(step)).count()
        };
        let (before, removed) = (&self.steps[..place], &self.steps[place]);
        let holds = count(&self.steps, Step::is_hold).max(1);
        let mut shorter = self.clone();
        for (number, step) in shorter.steps.iter_mut().enumerate() {
            let sent = PRODUCTS + count(&self.steps[..number], Step::is_sent);
            if let Some(hold) = step.hold_mut() {
                *hold %= holds;
                *hold -= usize::from(removed.is_hold() && count(before, Step::is_hold) < *hold);
            }
            if let Step::Again { step } | Step::Repeat { step } = step {
                *step %= sent;
                *step -= usize::from(
                    removed.is_sent() && PRODUCTS + count(before, Step::is_sent) < *step,
                );
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

/// One step a line, for the person who reads a failing script.
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
