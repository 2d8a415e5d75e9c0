//! Commands: ingresses publish them, and workers apply them.
//!
//! A command is valid in form, and belongs to the slot of one product. The log stores commands in postcard, so new variants
//! and fields go to the end only. Next: [`crate::messages::envelope`] takes commands into the log, and [`crate::domain`]
//! decides them.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::domain::payment::RefundStatus;
use crate::id::{HoldId, ProductId, RequestId, Slot};
use crate::money::Currency;
use crate::time::Timestamp;

/// The most units of one hold.
pub const QUANTITY_MAX: u32 = 10_000;
/// The most units of one product.
pub const STOCK_MAX: i64 = 1_000_000_000;
/// The longest product name, in characters.
pub const NAME_CHARS_MAX: usize = 200;
/// The longest customer id, in characters.
pub const CUSTOMER_CHARS_MAX: usize = 255;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// A command with this id has one effect and one outcome, however often workers read it.
    pub request_id: RequestId,
    /// The client's idempotency key, when the client sent one.
    pub key: Option<IdempotencyKey>,
    pub action: Action,
}

impl Command {
    /// The slot whose partition applies this command.
    #[must_use]
    pub fn slot(&self) -> Slot {
        self.request_id.slot()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    CreateProduct(NewProduct),
    Restock {
        product_id: ProductId,
        /// Units to add, or to remove from the available ones when negative; never 0.
        quantity: i64,
    },
    CreateHold {
        product_id: ProductId,
        /// Units, `1..=10_000`.
        quantity: u32,
        /// The customer, when the shop sent one.
        customer_id: Option<String>,
    },
    ReleaseHold {
        hold_id: HoldId,
    },
    /// Change a product's fields, except for its stock.
    ChangeProduct {
        product_id: ProductId,
        change: ProductChange,
    },
    /// Create the order of a hold.
    CreateOrder {
        hold_id: HoldId,
    },
    /// Apply a payment provider's notice.
    SettlePayment(PaymentNotice),
    /// End the holds and orders that are due in the partition of the command's slot. Internal.
    ExpireDue,
    /// Record the progress of a payment's refund. Internal.
    AdvanceRefund {
        order_id: HoldId,
        /// The provider's id of the payment.
        payment_id: String,
        to: RefundStatus,
    },
    SettleDeadLetter {
        /// The number of the dead letter.
        id: i64,
        /// Whether to apply the command again; otherwise the dead letter is dropped.
        is_retry: bool,
    },
    /// Set a product's counts to the sums over its holds and orders.
    RepairStock {
        product_id: ProductId,
    },
    /// Remove the customer from an ended hold and its order. Internal.
    ForgetCustomer {
        hold_id: HoldId,
    },
}

/// A payment provider's notice about a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentNotice {
    /// The id of the order, which is the id of its hold.
    pub order_id: HoldId,
    /// The provider's id of the payment.
    pub payment_id: String,
    /// Whether the payment succeeded; otherwise it failed.
    pub succeeded: bool,
    /// The amount in minor units, when the provider sent it.
    pub amount_minor: Option<i64>,
    /// The currency, when the provider sent it.
    pub currency: Option<Currency>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewProduct {
    /// The ingress draws the number from a sequence in Postgres.
    pub product_id: ProductId,
    pub name: String,
    /// The price of one unit, in minor units of the currency.
    pub price_minor: i64,
    pub currency: Currency,
    /// Units at the start.
    pub total_stock: i64,
    /// The most units that one customer may have in active holds and in orders that are not cancelled.
    pub max_per_customer: Option<u32>,
    /// Holds are refused before this time.
    pub sale_starts_at: Option<Timestamp>,
    /// Holds are refused from this time on.
    pub sale_ends_at: Option<Timestamp>,
}

/// New values of a product's fields; `None` leaves a field as it is. For a field that can be removed, `Some(None)` removes
/// it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductChange {
    pub name: Option<String>,
    /// The price in minor units. Existing holds keep their price.
    pub price_minor: Option<i64>,
    pub currency: Option<Currency>,
    pub max_per_customer: Option<Option<u32>>,
    pub sale_starts_at: Option<Option<Timestamp>>,
    pub sale_ends_at: Option<Option<Timestamp>>,
}

/// The endpoint of an idempotency key. The same key at two endpoints is two keys. Stored by number.
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
    /// Reads a stored number.
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
    /// The endpoint that accepts this action with an idempotency key.
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

    /// Whether Holdfast publishes this action for itself. Nobody waits for its outcome.
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

    /// The product that this action names.
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

    /// The name in lists, logs and metrics.
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

/// A client's idempotency key, as a hash, because its text may be personal data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotencyKey {
    /// The first half of the SHA-256 of the key's text.
    pub hash: [u8; 16],
    /// The first half of the SHA-256 of the parsed request. Two requests with one key must have the same fingerprint.
    pub fingerprint: [u8; 16],
}

impl IdempotencyKey {
    /// From the text of an `Idempotency-Key` header and the action of the request: requests are compared as parsed values.
    #[must_use]
    pub fn new(text: &str, action: &Action) -> Self {
        // This can't fail: JSON only refuses maps whose keys are not strings, and no action has one.
        Self::with_body(text, &serde_json::to_vec(action).unwrap_or_default())
    }

    /// From a key and the raw body of the request: webhooks are compared byte for byte.
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
