//! The JSON document of a change of state, for the audit over HTTP and in the CLI.

use chrono::SecondsFormat;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::store::audit::ListedChange;

/// The cursor of the page that follows a change.
#[must_use]
pub fn cursor(last: &ListedChange) -> String {
    format!("{}.{}", last.audit_id, last.entry)
}

/// A change of state.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub struct EntryView {
    id: String,
    #[schema(format = DateTime)]
    at: String,
    #[schema(pattern = "^(customer|operator|payment_provider|holdfast)$")]
    actor: String,
    #[schema(examples("hold.created"))]
    what: String,
    #[schema(required)]
    reason: Option<String>,
    #[schema(required)]
    product_id: Option<i64>,
    #[schema(required)]
    hold_id: Option<uuid::Uuid>,
    /// An order has the id of its hold
    #[schema(required)]
    order_id: Option<uuid::Uuid>,
    /// Units of the hold or order, or units that were added
    quantity: i32,
    before: SideView,
    after: SideView,
    /// The request whose command made the change. Null when no command did
    #[schema(required)]
    request_id: Option<uuid::Uuid>,
    /// The sequence of the hold, or of the product's last hold
    sequence: i64,
    log_seq: i64,
}

/// The state before or after a change.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditSide)]
pub struct SideView {
    /// The state of the hold, order or payment
    #[schema(required)]
    state: Option<String>,
    #[schema(required)]
    stock: Option<CountsView>,
    /// The terms of the product, when the change was of these
    #[schema(value_type = Option<Object>, required)]
    product: Option<Value>,
}

/// The stock of a product, in units.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditStock)]
pub struct CountsView {
    total_stock: i64,
    available_stock: i32,
    held_stock: i32,
    sold_stock: i32,
}

impl From<ListedChange> for EntryView {
    fn from(change: ListedChange) -> Self {
        let has_product = change.product_id != 0;
        let stock = |available: i32, held: i32, sold: i32| {
            let total_stock = i64::from(available) + i64::from(held) + i64::from(sold);
            let counts = CountsView {
                total_stock,
                available_stock: available,
                held_stock: held,
                sold_stock: sold,
            };
            has_product.then_some(counts)
        };
        let terms = |side: &str| change.detail.as_ref().map(|detail| detail[side].clone());
        Self {
            id: cursor(&change),
            at: change.at.to_rfc3339_opts(SecondsFormat::Micros, true),
            product_id: has_product.then_some(change.product_id),
            hold_id: change.subject,
            order_id: change.subject.filter(|_| !change.kind.starts_with("hold.")),
            before: SideView {
                stock: stock(
                    change.available_before,
                    change.held_before,
                    change.sold_before,
                ),
                product: terms("before"),
                state: change.state_before,
            },
            after: SideView {
                stock: stock(change.available_after, change.held_after, change.sold_after),
                product: terms("after"),
                state: change.state_after,
            },
            actor: change.actor,
            what: change.kind,
            reason: change.reason,
            quantity: change.quantity,
            request_id: change.request_id,
            sequence: change.sequence,
            log_seq: change.log_seq,
        }
    }
}
