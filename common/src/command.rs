//! Commands: what ingresses ask for and workers apply.
//!
//! A command is one wish, valid in form, about one product's slot. It is written to the log as it is here, so variants
//! and fields are only ever added at the end. Next: [`crate::messages::envelope`] for the way into the log,
//! [`crate::domain`] for what becomes of it.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::domain::payment::RefundStatus;
use crate::id::{HoldId, ProductId, RequestId, Slot};
use crate::money::Currency;
use crate::time::Timestamp;

/// The most units one hold can ask for.
pub const QUANTITY_MAX: u32 = 10_000;
/// The most units a product can have.
pub const STOCK_MAX: i64 = 1_000_000_000;
/// The longest product name, in characters.
pub const NAME_CHARS_MAX: usize = 200;
/// The longest customer id, in characters.
pub const CUSTOMER_CHARS_MAX: usize = 255;

/// One command of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Names the command: it has one effect and one outcome, however often it is read.
    pub request_id: RequestId,
    /// The client's idempotency key, when one was sent.
    pub key: Option<IdempotencyKey>,
    /// What is wished for.
    pub action: Action,
}

impl Command {
    /// The slot whose partition applies this command.
    #[must_use]
    pub fn slot(&self) -> Slot {
        self.request_id.slot()
    }
}

/// What a command wishes for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Put a new product on sale.
    CreateProduct(NewProduct),
    /// Add units to a product, or take back unsold ones when negative.
    Restock {
        /// The product.
        product_id: ProductId,
        /// Units to add, never 0.
        quantity: i64,
    },
    /// Set units aside for a buyer for a limited time.
    CreateHold {
        /// The product.
        product_id: ProductId,
        /// Units, `1..=10_000`.
        quantity: u32,
        /// Who buys, when the shop says so.
        customer_id: Option<String>,
    },
    /// Put a hold's units back on sale.
    ReleaseHold {
        /// The hold.
        hold_id: HoldId,
    },
    /// Change what a product is sold as; stock aside. `None` leaves a field as it is.
    ChangeProduct {
        /// The product.
        product_id: ProductId,
        /// The new values.
        change: ProductChange,
    },
    /// Turn a hold into an order.
    CreateOrder {
        /// The hold.
        hold_id: HoldId,
    },
    /// Settle an order by what a payment provider says.
    SettlePayment(PaymentNotice),
    /// End what is due in the partition of the command's slot. Holdfast says it to itself; there is no outcome.
    ExpireDue,
    /// Note how far the refund of a payment has come. There is no outcome.
    AdvanceRefund {
        /// The order.
        order_id: HoldId,
        /// The payment, as its provider names it.
        payment_id: String,
        /// How far it has come.
        to: RefundStatus,
    },
    /// Try a dead letter's command again, or drop it.
    SettleDeadLetter {
        /// The dead letter's number.
        id: i64,
        /// Whether to try it again.
        is_retry: bool,
    },
    /// Set a product's counts to what its holds and orders come to.
    RepairStock {
        /// The product.
        product_id: ProductId,
    },
    /// Take the customer off a hold that has ended, and off its order. There is no outcome.
    ForgetCustomer {
        /// The hold.
        hold_id: HoldId,
    },
}

/// What a payment provider says about a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentNotice {
    /// The order; it has the id of its hold.
    pub order_id: HoldId,
    /// The payment, as its provider names it.
    pub payment_id: String,
    /// Whether the payment succeeded; otherwise it failed.
    pub succeeded: bool,
    /// The amount that was paid, in minor units, when the provider says so.
    pub amount_minor: Option<i64>,
    /// The currency that was paid in, when the provider says so.
    pub currency: Option<Currency>,
}

/// A product as it is created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewProduct {
    /// The product's number, given out by the ingress.
    pub product_id: ProductId,
    /// Its name.
    pub name: String,
    /// The price of one unit, in minor units of the currency.
    pub price_minor: i64,
    /// The price's currency.
    pub currency: Currency,
    /// Units on sale at first.
    pub total_stock: i64,
    /// The most units that one customer may have held or ordered.
    pub max_per_customer: Option<u32>,
    /// Holds are refused before this.
    pub sale_starts_at: Option<Timestamp>,
    /// Holds are refused from this on.
    pub sale_ends_at: Option<Timestamp>,
}

/// What of a product is to change. For what can also be removed, the outer option says whether it is touched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductChange {
    /// A new name.
    pub name: Option<String>,
    /// A new price, in minor units; holds made before keep theirs.
    pub price_minor: Option<i64>,
    /// A new currency.
    pub currency: Option<Currency>,
    /// A new limit for each customer, or none.
    pub max_per_customer: Option<Option<u32>>,
    /// A new start of the sale, or none.
    pub sale_starts_at: Option<Option<Timestamp>>,
    /// A new end of the sale, or none.
    pub sale_ends_at: Option<Option<Timestamp>>,
}

/// Where an idempotency key was sent to: keys of different endpoints have nothing to do with each other. Stored by
/// number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i16)]
pub enum Endpoint {
    /// `POST /api/holds`
    CreateHold = 1,
    /// `DELETE /api/holds/{id}`
    ReleaseHold = 2,
    /// `POST /api/admin/products/{id}/restock`
    Restock = 3,
    /// `POST /api/orders`
    CreateOrder = 4,
    /// `POST /api/payments/webhook`
    SettlePayment = 5,
}

impl Endpoint {
    /// The endpoint that is stored as a number.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        let all = [
            Self::CreateHold,
            Self::ReleaseHold,
            Self::Restock,
            Self::CreateOrder,
            Self::SettlePayment,
        ];
        all.into_iter().find(|endpoint| *endpoint as i16 == number)
    }
}

impl Action {
    /// The endpoint that accepts this action with an idempotency key, if one does.
    #[must_use]
    pub fn endpoint(&self) -> Option<Endpoint> {
        match self {
            Self::CreateHold { .. } => Some(Endpoint::CreateHold),
            Self::ReleaseHold { .. } => Some(Endpoint::ReleaseHold),
            Self::Restock { .. } => Some(Endpoint::Restock),
            Self::CreateOrder { .. } => Some(Endpoint::CreateOrder),
            Self::SettlePayment(_) => Some(Endpoint::SettlePayment),
            Self::CreateProduct(_)
            | Self::ChangeProduct { .. }
            | Self::ExpireDue
            | Self::AdvanceRefund { .. }
            | Self::SettleDeadLetter { .. }
            | Self::RepairStock { .. }
            | Self::ForgetCustomer { .. } => None,
        }
    }

    /// Whether Holdfast says this to itself, so that nobody waits for an outcome.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        matches!(
            self,
            Self::ExpireDue | Self::AdvanceRefund { .. } | Self::ForgetCustomer { .. }
        )
    }

    /// The hold, or the order of that id, that this action names.
    #[must_use]
    pub fn named_hold(&self) -> Option<HoldId> {
        match self {
            Self::ReleaseHold { hold_id }
            | Self::CreateOrder { hold_id }
            | Self::ForgetCustomer { hold_id } => Some(*hold_id),
            Self::SettlePayment(notice) => Some(notice.order_id),
            Self::AdvanceRefund { order_id, .. } => Some(*order_id),
            Self::CreateHold { .. }
            | Self::CreateProduct(_)
            | Self::ChangeProduct { .. }
            | Self::Restock { .. }
            | Self::ExpireDue
            | Self::SettleDeadLetter { .. }
            | Self::RepairStock { .. } => None,
        }
    }

    /// The product that this action names itself.
    #[must_use]
    pub fn named_product(&self) -> Option<ProductId> {
        match self {
            Self::CreateProduct(new) => Some(new.product_id),
            Self::Restock { product_id, .. }
            | Self::CreateHold { product_id, .. }
            | Self::ChangeProduct { product_id, .. }
            | Self::RepairStock { product_id } => Some(*product_id),
            Self::ReleaseHold { .. }
            | Self::CreateOrder { .. }
            | Self::SettlePayment(_)
            | Self::ExpireDue
            | Self::AdvanceRefund { .. }
            | Self::SettleDeadLetter { .. }
            | Self::ForgetCustomer { .. } => None,
        }
    }

    /// What it is called in lists and logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::CreateProduct(_) => "create_product",
            Self::ChangeProduct { .. } => "change_product",
            Self::Restock { .. } => "restock",
            Self::CreateHold { .. } => "create_hold",
            Self::ReleaseHold { .. } => "release_hold",
            Self::CreateOrder { .. } => "create_order",
            Self::SettlePayment(_) => "settle_payment",
            Self::ExpireDue => "expire_due",
            Self::AdvanceRefund { .. } => "advance_refund",
            Self::SettleDeadLetter { .. } => "settle_dead_letter",
            Self::RepairStock { .. } => "repair_stock",
            Self::ForgetCustomer { .. } => "forget_customer",
        }
    }
}

/// A client's idempotency key, as a hash: what the client wrote in it is nobody's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotencyKey {
    /// The first half of the SHA-256 of the key's text.
    pub hash: [u8; 16],
    /// The first half of the SHA-256 of the parsed request: two requests with one key must have the same.
    pub fingerprint: [u8; 16],
}

impl IdempotencyKey {
    /// Takes the text of an `Idempotency-Key` header and the action it came with: requests are compared as parsed values.
    #[must_use]
    pub fn new(text: &str, action: &Action) -> Self {
        // Serialising an action to JSON fails for no value that it can have: all keys are strings.
        Self::with_body(text, &serde_json::to_vec(action).unwrap_or_default())
    }

    /// Takes a key and the raw body it came with: webhooks are compared byte for byte.
    #[must_use]
    pub fn with_body(text: &str, body: &[u8]) -> Self {
        Self {
            hash: half_sha256(text.as_bytes()),
            fingerprint: half_sha256(body),
        }
    }
}

fn half_sha256(bytes: &[u8]) -> [u8; 16] {
    let digest = Sha256::digest(bytes);
    std::array::from_fn(|i| digest[i])
}
