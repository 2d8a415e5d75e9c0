//! The JSON documents of responses. The API contract fixes their field names.

use holdfast_common::domain::{Hold, HoldState, Order, OrderState};
use holdfast_common::id::OrderReference;
use holdfast_common::outcome::{ProductAsOf, Settlement};
use holdfast_common::store::rows::{cancel_reason, hold_status, order_status, refund_status};
use holdfast_common::time::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::commands::submit::QueuedRequest;
use crate::http::openapi::schemas::{
    CancelledFor, CurrencyCode, HoldStatus, PaymentResult, RefundProgress, StatusOfOrder,
};

fn rfc3339<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

fn optional_rfc3339<S: Serializer>(
    time: &Option<Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serializer.collect_str(time),
        None => serializer.serialize_none(),
    }
}

/// A product.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Product, examples(json!({"id": 1, "name": "Flash Sale Product", "price": 99.99, "price_minor": 9999, "currency": "USD",
    "total_stock": 100, "available_stock": 98, "held_stock": 2, "sold_stock": 0, "holds_count": 1, "max_per_customer": null,
    "sale_starts_at": null, "sale_ends_at": null, "version": 2, "as_of": "2026-11-23T02:20:04.124185Z"})))]
pub struct ProductView<'a> {
    pub id: i64,
    pub name: &'a str,
    /// The price of a unit as a decimal number, for display
    pub price: f64,
    /// The price of a unit, in minor units
    pub price_minor: i64,
    #[schema(value_type = CurrencyCode)]
    pub currency: &'static str,
    /// `available_stock`, `held_stock` and `sold_stock` together
    pub total_stock: i64,
    pub available_stock: i64,
    /// Units of active holds and unpaid orders
    pub held_stock: i64,
    /// Units of paid orders
    pub sold_stock: i64,
    /// The number of active holds
    pub holds_count: i64,
    #[schema(required)]
    pub max_per_customer: Option<u32>,
    #[serde(serialize_with = "optional_rfc3339")]
    #[schema(value_type = Option<DateTime<Utc>>, required)]
    pub sale_starts_at: Option<Timestamp>,
    #[serde(serialize_with = "optional_rfc3339")]
    #[schema(value_type = Option<DateTime<Utc>>, required)]
    pub sale_ends_at: Option<Timestamp>,
    /// Rises with every change
    pub version: i64,
    #[serde(serialize_with = "rfc3339")]
    #[schema(value_type = DateTime<Utc>)]
    pub as_of: Timestamp,
}

impl<'a> From<&'a ProductAsOf> for ProductView<'a> {
    fn from(ProductAsOf { product, as_of }: &'a ProductAsOf) -> Self {
        Self {
            id: product.id.0,
            name: &product.name,
            price: product.currency.decimal(product.price_minor),
            price_minor: product.price_minor,
            currency: product.currency.code(),
            total_stock: product.stock.total(),
            available_stock: product.stock.available(),
            held_stock: product.stock.held(),
            sold_stock: product.stock.sold(),
            holds_count: product.holds_count,
            max_per_customer: product.max_per_customer,
            sale_starts_at: product.sale_starts_at,
            sale_ends_at: product.sale_ends_at,
            version: product.version,
            as_of: *as_of,
        }
    }
}

/// A hold.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Hold, examples(json!({"hold_id": "01a20634-0c9b-8cc1-96dc-8d450eaf51d9", "product_id": 1, "quantity": 2,
    "customer_id": null, "status": "active", "expires_at": "2026-11-23T02:22:04.124185Z", "reserved_for_seconds": 120,
    "created_at": "2026-11-23T02:20:04.124185Z", "sequence": 1})))]
pub struct HoldView<'a> {
    pub hold_id: uuid::Uuid,
    pub product_id: i64,
    pub quantity: u32,
    #[schema(required)]
    pub customer_id: Option<&'a str>,
    #[schema(value_type = HoldStatus)]
    pub status: &'static str,
    #[serde(serialize_with = "rfc3339")]
    #[schema(value_type = DateTime<Utc>)]
    pub expires_at: Timestamp,
    /// The whole time from creation to expiry, not the remaining time
    pub reserved_for_seconds: i64,
    #[serde(serialize_with = "rfc3339")]
    #[schema(value_type = DateTime<Utc>)]
    pub created_at: Timestamp,
    /// Rises strictly for each product in the order in which holds took effect
    pub sequence: i64,
}

impl<'a> HoldView<'a> {
    /// The hold at the time of its outcome.
    #[must_use]
    pub fn as_decided(hold: &'a Hold) -> Self {
        Self {
            hold_id: hold.id.uuid(),
            product_id: hold.product_id.0,
            quantity: hold.quantity,
            customer_id: hold.customer_id.as_deref(),
            status: hold_status(&hold.state),
            expires_at: hold.expires_at,
            reserved_for_seconds: (hold.expires_at.0 - hold.created_at.0) / 1_000_000,
            created_at: hold.created_at,
            sequence: hold.sequence,
        }
    }

    /// The hold at `now`. It is expired after `expires_at`, also before a worker has processed the expiry.
    #[must_use]
    pub fn at(hold: &'a Hold, now: Timestamp) -> Self {
        let expired = hold_status(&HoldState::Expired { at: now });
        let view = Self::as_decided(hold);
        if hold.is_expired(now) {
            Self {
                status: expired,
                ..view
            }
        } else {
            view
        }
    }
}

/// An order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Order, examples(json!({"order_id": "01a20634-0c9b-8cc1-96dc-8d450eaf51d9",
    "order_reference": "order_01a20634-0c9b-8cc1-96dc-8d450eaf51d9", "hold_id": "01a20634-0c9b-8cc1-96dc-8d450eaf51d9",
    "product_id": 1, "quantity": 2, "amount": 199.98, "amount_minor": 19998, "currency": "USD", "status": "pending_payment",
    "cancel_reason": null, "payment_id": null, "payment_due_at": "2026-11-23T02:30:20.301125Z", "refund_status": "none",
    "created_at": "2026-11-23T02:20:20.301125Z"})))]
pub struct OrderView<'a> {
    pub order_id: uuid::Uuid,
    /// `order_` and the order's id
    pub order_reference: String,
    /// The hold that the order consumed. Both have the same id
    pub hold_id: uuid::Uuid,
    pub product_id: i64,
    pub quantity: u32,
    /// The amount as a decimal number, for display
    pub amount: f64,
    /// The amount, in minor units
    pub amount_minor: i64,
    #[schema(value_type = CurrencyCode)]
    pub currency: &'static str,
    #[schema(value_type = StatusOfOrder)]
    pub status: &'static str,
    #[schema(value_type = Option<CancelledFor>, required)]
    pub cancel_reason: Option<&'static str>,
    #[schema(required)]
    pub payment_id: Option<&'a str>,
    #[serde(serialize_with = "rfc3339")]
    #[schema(value_type = DateTime<Utc>)]
    pub payment_due_at: Timestamp,
    #[schema(value_type = RefundProgress)]
    pub refund_status: &'static str,
    #[serde(serialize_with = "rfc3339")]
    #[schema(value_type = DateTime<Utc>)]
    pub created_at: Timestamp,
}

impl<'a> From<&'a Order> for OrderView<'a> {
    fn from(order: &'a Order) -> Self {
        let (cancelled_for, payment_id) = match &order.state {
            OrderState::PendingPayment => (None, None),
            OrderState::Paid { payment_id, .. } => (None, Some(payment_id.as_str())),
            OrderState::Cancelled { reason, .. } => (Some(cancel_reason(*reason)), None),
        };
        Self {
            order_id: order.id.uuid(),
            order_reference: OrderReference::from(order.id).to_string(),
            hold_id: order.id.uuid(),
            product_id: order.product_id.0,
            quantity: order.quantity,
            amount: order.currency.decimal(order.amount_minor),
            amount_minor: order.amount_minor,
            currency: order.currency.code(),
            status: order_status(order.status()),
            cancel_reason: cancelled_for,
            payment_id,
            payment_due_at: order.payment_due_at,
            refund_status: refund_status(order.refund_status),
            created_at: order.created_at,
        }
    }
}

/// The effect of a payment.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Settlement, examples(json!({"result": "processed", "order_id": "01a20634-0c9b-8cc1-96dc-8d450eaf51d9",
    "order_status": "paid"})))]
pub struct SettlementView {
    #[schema(value_type = PaymentResult)]
    pub result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_id: Option<uuid::Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<StatusOfOrder>)]
    pub order_status: Option<&'static str>,
}

impl From<&Settlement> for SettlementView {
    fn from(settlement: &Settlement) -> Self {
        Self {
            result: settlement.result.name(),
            order_id: settlement.order.map(|(id, _)| id.uuid()),
            order_status: settlement.order.map(|(_, status)| order_status(status)),
        }
    }
}

/// A dead letter that an operator retried or dropped.
#[derive(Serialize, ToSchema)]
pub struct SettledLetter {
    pub id: i64,
    #[schema(pattern = "^(retried|dropped)$")]
    pub status: &'static str,
}

/// A queued request.
#[derive(Serialize, ToSchema)]
#[schema(as = QueuedRequest, examples(json!({"request_id": "01a20638-dcb4-8cc1-a6af-f23d1f129771", "status": "queued",
    "position": 412, "status_url": "/api/requests/01a20638-dcb4-8cc1-a6af-f23d1f129771?seq=90121"})))]
pub struct QueuedView {
    pub request_id: uuid::Uuid,
    #[schema(pattern = "^queued$")]
    pub status: &'static str,
    /// The number of log entries ahead of the request
    pub position: u64,
    /// The URL of the request's status
    pub status_url: String,
}

impl From<&QueuedRequest> for QueuedView {
    fn from(queued: &QueuedRequest) -> Self {
        let status_url = format!("/api/requests/{}?seq={}", queued.request_id, queued.seq);
        Self {
            request_id: queued.request_id.uuid(),
            status: "queued",
            position: queued.position,
            status_url,
        }
    }
}

/// The status of a request.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = RequestStatus)]
pub enum RequestView {
    Queued(QueuedView),
    Done(DoneView),
}

/// A request with an outcome.
#[derive(Serialize, ToSchema)]
#[schema(as = DoneRequest)]
pub struct DoneView {
    pub request_id: uuid::Uuid,
    #[schema(pattern = "^done$")]
    pub status: &'static str,
    pub response: ResponseView,
}

/// The response that the request would have got with a longer wait.
#[derive(Serialize, ToSchema)]
#[schema(as = ResponseOfRequest)]
pub struct ResponseView {
    pub status: u16,
    /// The resource, or a problem document
    #[schema(value_type = Object)]
    pub body: Box<RawValue>,
}
