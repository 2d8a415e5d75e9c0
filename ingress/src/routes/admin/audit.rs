//! `GET /api/admin/audit`: changes of state, oldest first: of a product, of a hold and its order, or of everything.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use holdfast_common::id::{HoldId, OrderReference, ProductId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::http::admin::Admin;
use crate::http::audit_view::{EntryView, cursor};
use crate::http::openapi;
use crate::http::parameters::Query;
use crate::http::parameters::page::{self, PageQuery};
use crate::http::problem::{FieldError, Problem};
use crate::http::render;
use crate::store::audit::{self, AuditFilter};

#[derive(Deserialize)]
pub(in crate::routes) struct AuditQuery {
    product_id: Option<String>,
    hold_id: Option<String>,
    order_id: Option<String>,
}

/// A page of the audit.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditEntries)]
struct EntriesView {
    entries: Vec<EntryView>,
    /// Send it as `after` to get the next page
    #[schema(required)]
    next: Option<String>,
    /// The cursor of the last entry. Send it as `after` later to get newer entries
    #[schema(required)]
    last: Option<String>,
}

/// List changes of state, oldest first
///
/// The changes of a product, of a hold and its order, or of everything. Changes of different products may not be in exact
/// order of time.
#[utoipa::path(get, path = "/api/admin/audit", tag = "Administration", operation_id = "listAudit",
    params(openapi::AuditPage), responses((status = 200, description = "A page of the audit", body = EntriesView)))]
pub(in crate::routes) async fn list(
    _admin: Admin,
    State(app): State<Arc<App>>,
    Query(query): Query<AuditQuery>,
    Query(page): Query<PageQuery>,
) -> Result<Response, Problem> {
    let mut errors = Vec::new();
    let limit = page.limit(&mut errors);
    let after = page.after(parse_cursor, &mut errors).unwrap_or((0, 0));
    let filter = parse_filter(&query).unwrap_or_else(|error| {
        errors.push(error);
        AuditFilter::Everything
    });
    page::check(&errors)?;
    let mut found = audit::list(app.pool(), filter, after, limit.rows()).await?;
    let next = limit.cut(&mut found, cursor);
    let last = found.last().map(cursor);
    let entries = found.into_iter().map(EntryView::from).collect();
    Ok(render::json(
        StatusCode::OK,
        &EntriesView {
            entries,
            next,
            last,
        },
    ))
}

/// A request has at most one filter.
fn parse_filter(query: &AuditQuery) -> Result<AuditFilter, FieldError> {
    match (
        query.product_id.as_deref(),
        query.hold_id.as_deref(),
        query.order_id.as_deref(),
    ) {
        (None, None, None) => Ok(AuditFilter::Everything),
        (Some(id), None, None) => {
            let id = id.parse().ok().filter(|id| *id > 0).map(ProductId);
            id.map(AuditFilter::Product)
                .ok_or_else(|| FieldError::new("product_id", "must be a product's number"))
        }
        (None, Some(id), None) => id
            .parse::<HoldId>()
            .map(AuditFilter::Hold)
            .map_err(|_| FieldError::new("hold_id", "must be a hold's id")),
        (None, None, Some(id)) => id
            .parse()
            .map(|order: OrderReference| AuditFilter::Hold(order.order_id()))
            .map_err(|_| FieldError::new("order_id", "must be an order's id")),
        _ => Err(FieldError::new(
            "product_id",
            "must be the only filter: name a product, a hold or an order",
        )),
    }
}

fn parse_cursor(text: &str) -> Option<(i64, i32)> {
    let (audit_id, entry) = text.split_once('.').unwrap_or((text, "0"));
    let numbers = audit_id.parse().ok().zip(entry.parse().ok());
    numbers.filter(|(audit_id, entry)| *audit_id >= 0_i64 && *entry >= 0_i32)
}
