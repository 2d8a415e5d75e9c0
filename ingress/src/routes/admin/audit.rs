//! `GET /api/admin/audit`: every change of state, oldest first; of a product, of a hold and its order, or of all.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::SecondsFormat;
use holdfast_common::id::{HoldId, ProductId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::Admin;
use crate::App;
use crate::http::body::FieldError;
use crate::http::openapi;
use crate::http::parameters::Query;
use crate::http::problem::Problem;
use crate::http::render;
use crate::http::views::ORDER_REFERENCE_PREFIX;
use crate::routes::products::{PAGE, PAGE_MAX};
use crate::store::audit::{self, ListedChange, Of};

#[derive(Deserialize)]
pub(in crate::routes) struct Page {
    product_id: Option<String>,
    hold_id: Option<String>,
    order_id: Option<String>,
    after: Option<String>,
    limit: Option<String>,
}

/// A page of the audit.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditEntries)]
struct EntriesView {
    entries: Vec<EntryView>,
    /// Where the next page begins
    #[schema(required)]
    next: Option<String>,
    /// Behind which what is yet to come will be
    #[schema(required)]
    last: Option<String>,
}

/// A change of state.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditEntry)]
struct EntryView {
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
    /// An order has the id of the hold that it consumed
    #[schema(required)]
    order_id: Option<uuid::Uuid>,
    /// Units of the hold or order, or units added
    quantity: i32,
    before: SideView,
    after: SideView,
    /// The command, when it took one
    #[schema(required)]
    request_id: Option<uuid::Uuid>,
    /// That of the hold, or of the product's last one
    sequence: i64,
    log_seq: i64,
}

/// How things stood before a change, or after it.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditSide)]
struct SideView {
    /// Of the hold, order or payment
    #[schema(required)]
    state: Option<String>,
    #[schema(required)]
    stock: Option<CountsView>,
    /// What the product is sold as, when that is what changed
    #[schema(value_type = Option<Object>, required)]
    product: Option<Value>,
}

/// A product's units.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditStock)]
struct CountsView {
    total_stock: i64,
    available_stock: i32,
    held_stock: i32,
    sold_stock: i32,
}

/// Every change of state, oldest first
///
/// Of a product, of a hold and its order, or of all; those of different products are not quite in the order of their time.
#[utoipa::path(get, path = "/api/admin/audit", tag = "Administration", operation_id = "listAudit",
    params(openapi::AuditPage), responses((status = 200, description = "A page of the audit", body = EntriesView)))]
pub(in crate::routes) async fn list(
    _admin: Admin,
    State(app): State<Arc<App>>,
    Query(page): Query<Page>,
) -> Result<Response, Problem> {
    let mut errors = Vec::new();
    let limit = page.limit.as_deref().map_or(Ok(PAGE), str::parse).ok().filter(|limit| (1..=PAGE_MAX).contains(limit));
    if limit.is_none() {
        errors.push(FieldError::new("limit", format!("must be a whole number from 1 to {PAGE_MAX}")));
    }
    let after = page.after.as_deref().map_or(Some((0, 0)), read_cursor);
    if after.is_none() {
        errors.push(FieldError::new("after", "must be the `next` of the page before"));
    }
    let of = read_filter(&page).map_err(|error| errors.push(error)).ok();
    let (Some(limit), Some(after), Some(of)) = (limit, after, of) else {
        return Err(Problem::invalid_request(errors));
    };
    let mut found = audit::list(app.pool(), of, after, limit + 1).await?;
    let has_next = found.len() as i64 > limit;
    found.truncate(limit as usize);
    let next = found.last().map(cursor).filter(|_| has_next);
    let last = found.last().map(cursor);
    let entries = found.into_iter().map(EntryView::from).collect();
    Ok(render::json(StatusCode::OK, &EntriesView { entries, next, last }))
}

/// Whose changes are asked for: one filter, or none.
fn read_filter(page: &Page) -> Result<Of, FieldError> {
    let order_id = page.order_id.as_deref();
    let order_id = order_id.map(|id| id.strip_prefix(ORDER_REFERENCE_PREFIX).unwrap_or(id));
    match (page.product_id.as_deref(), page.hold_id.as_deref(), order_id) {
        (None, None, None) => Ok(Of::Everything),
        (Some(id), None, None) => {
            let id = id.parse().ok().filter(|id| *id > 0).map(ProductId);
            id.map(Of::Product).ok_or_else(|| FieldError::new("product_id", "must be a product's number"))
        }
        (None, Some(id), None) => {
            id.parse::<HoldId>().map(Of::Hold).map_err(|_| FieldError::new("hold_id", "must be a hold's id"))
        }
        (None, None, Some(id)) => {
            id.parse::<HoldId>().map(Of::Hold).map_err(|_| FieldError::new("order_id", "must be an order's id"))
        }
        _ => Err(FieldError::new("product_id", "must be the only filter: name a product, a hold or an order")),
    }
}

fn cursor(last: &ListedChange) -> String {
    format!("{}.{}", last.audit_id, last.entry)
}

fn read_cursor(text: &str) -> Option<(i64, i32)> {
    let (audit_id, entry) = text.split_once('.').unwrap_or((text, "0"));
    let numbers = audit_id.parse().ok().zip(entry.parse().ok());
    numbers.filter(|(audit_id, entry)| *audit_id >= 0_i64 && *entry >= 0_i32)
}

impl From<ListedChange> for EntryView {
    fn from(change: ListedChange) -> Self {
        let has_product = change.product_id != 0;
        let stock = |available: i32, held: i32, sold: i32| {
            let total_stock = i64::from(available) + i64::from(held) + i64::from(sold);
            let counts = CountsView { total_stock, available_stock: available, held_stock: held, sold_stock: sold };
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
                stock: stock(change.available_before, change.held_before, change.sold_before),
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
