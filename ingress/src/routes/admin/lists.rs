//! `/api/admin`: lists of payments and refunds, and the overview.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, SecondsFormat, Utc};
use holdfast_common::id::OrderReference;
use holdfast_common::store::rows::PAYMENT_STATES;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::http::admin::Admin;
use crate::http::openapi;
use crate::http::parameters::Query;
use crate::http::parameters::page::{self, PageQuery};
use crate::http::problem::{FieldError, Problem};
use crate::http::render;
use crate::store::overview::{self, ListedPartition, Totals};
use crate::store::payments::{self, ListedPayment, PaymentCursor, REFUND_STATES};

/// The states that are listed when the request has no `state`.
const OPEN: &[&str] = &["parked", "unmatched", "refund_due"];
const OPEN_REFUNDS: &[&str] = &["refund_due", "refund_requested"];

#[derive(Deserialize)]
pub(in crate::routes) struct StateQuery {
    state: Option<String>,
}

/// A payment.
#[derive(Serialize, ToSchema)]
#[schema(as = Payment)]
struct PaymentView {
    order_id: uuid::Uuid,
    order_reference: String,
    #[schema(required)]
    product_id: Option<i64>,
    payment_id: String,
    #[schema(pattern = "^(succeeded|failed)$")]
    status: &'static str,
    #[schema(required)]
    amount_minor: Option<i64>,
    #[schema(value_type = Option<openapi::CurrencyCode>, required)]
    currency: Option<String>,
    #[schema(value_type = openapi::StateOfPayment)]
    state: String,
    #[schema(value_type = Option<openapi::RefundCause>, required)]
    refund_reason: Option<String>,
    #[schema(format = DateTime)]
    received_at: String,
}

impl From<ListedPayment> for PaymentView {
    fn from(payment: ListedPayment) -> Self {
        Self {
            order_id: payment.order_id,
            order_reference: OrderReference::of_stored(payment.order_id).to_string(),
            product_id: payment.product_id,
            payment_id: payment.payment_id,
            status: if payment.succeeded {
                "succeeded"
            } else {
                "failed"
            },
            amount_minor: payment.amount_minor,
            currency: payment.currency,
            state: payment.state,
            refund_reason: payment.refund_reason,
            received_at: rfc3339(payment.received_at),
        }
    }
}

/// A page of payments.
#[derive(Serialize, ToSchema)]
#[schema(as = Payments)]
struct PaymentsView {
    payments: Vec<PaymentView>,
    /// Send it as `after` to get the next page
    #[schema(required)]
    next: Option<String>,
}

/// A page of payments that are or were refunded.
#[derive(Serialize, ToSchema)]
#[schema(as = Refunds)]
struct RefundsView {
    refunds: Vec<PaymentView>,
    /// Send it as `after` to get the next page
    #[schema(required)]
    next: Option<String>,
}

/// Totals over all products, and the partitions.
#[derive(Serialize, ToSchema)]
#[schema(as = Overview)]
struct OverviewView {
    products: i64,
    total_stock: i64,
    available_stock: i64,
    held_stock: i64,
    sold_stock: i64,
    holds_count: i64,
    orders_pending_payment: i64,
    payments_parked: i64,
    payments_unmatched: i64,
    refunds_due: i64,
    refunds_requested: i64,
    partitions: Vec<PartitionView>,
}

impl OverviewView {
    fn new(totals: &Totals, partitions: Vec<PartitionView>) -> Self {
        Self {
            products: totals.products,
            total_stock: totals.total_stock,
            available_stock: totals.available_stock,
            held_stock: totals.held_stock,
            sold_stock: totals.sold_stock,
            holds_count: totals.holds_count,
            orders_pending_payment: totals.orders_pending,
            payments_parked: totals.payments_parked,
            payments_unmatched: totals.payments_unmatched,
            refunds_due: totals.refunds_due,
            refunds_requested: totals.refunds_requested,
            partitions,
        }
    }
}

/// A partition's owner and position.
#[derive(Serialize, ToSchema)]
#[schema(as = Partition)]
struct PartitionView {
    partition: i16,
    /// The worker that owns the partition. Null when its lease has expired
    #[schema(required)]
    owner: Option<String>,
    epoch: i64,
    #[schema(format = DateTime, required)]
    lease_until: Option<String>,
    applied_seq: i64,
}

impl From<ListedPartition> for PartitionView {
    fn from(partition: ListedPartition) -> Self {
        Self {
            partition: partition.partition,
            owner: partition.owner.filter(|_| partition.is_owned),
            epoch: partition.epoch,
            lease_until: partition.lease_until.map(rfc3339),
            applied_seq: partition.applied_seq,
        }
    }
}

fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// List payments, oldest first
#[utoipa::path(get, path = "/api/admin/payments", tag = "Administration", operation_id = "listPayments",
    params(openapi::PaymentsPage), responses((status = 200, description = "A page of payments", body = PaymentsView)))]
pub(in crate::routes) async fn payments(
    _admin: Admin,
    State(app): State<Arc<App>>,
    Query(state): Query<StateQuery>,
    Query(page): Query<PageQuery>,
) -> Result<Response, Problem> {
    let (payments, next) = list(&app, &state, &page, OPEN, PAYMENT_STATES).await?;
    Ok(render::json(
        StatusCode::OK,
        &PaymentsView { payments, next },
    ))
}

/// List refunds, oldest first
#[utoipa::path(get, path = "/api/admin/refunds", tag = "Administration", operation_id = "listRefunds",
    params(openapi::RefundsPage), responses((status = 200, description = "A page of refunds", body = RefundsView)))]
pub(in crate::routes) async fn refunds(
    _admin: Admin,
    State(app): State<Arc<App>>,
    Query(state): Query<StateQuery>,
    Query(page): Query<PageQuery>,
) -> Result<Response, Problem> {
    let (refunds, next) = list(&app, &state, &page, OPEN_REFUNDS, &REFUND_STATES).await?;
    Ok(render::json(StatusCode::OK, &RefundsView { refunds, next }))
}

async fn list(
    app: &App,
    state: &StateQuery,
    page: &PageQuery,
    default: &[&'static str],
    known: &[&'static str],
) -> Result<(Vec<PaymentView>, Option<String>), Problem> {
    let mut errors = Vec::new();
    let states = parse_state(state, default, known, &mut errors);
    let limit = page.limit(&mut errors);
    let after = page.after(parse_cursor, &mut errors);
    page::check(&errors)?;
    let (pool, keys) = (app.pool(), app.keys());
    let mut found = payments::list(pool, keys, &states, after.as_ref(), limit.rows()).await?;
    let next = limit.cut(&mut found, cursor);
    Ok((found.into_iter().map(PaymentView::from).collect(), next))
}

/// The states to list. `due` means `refund_due`, because an order's `refund_status` has the short form.
fn parse_state(
    query: &StateQuery,
    default: &[&'static str],
    known: &[&'static str],
    errors: &mut Vec<FieldError>,
) -> Vec<&'static str> {
    let Some(state) = query.state.as_deref() else {
        return default.to_vec();
    };
    let is_named = |known: &&&str| **known == state || known.strip_prefix("refund_") == Some(state);
    let named = known.iter().find(is_named);
    if named.is_none() {
        let message = format!("must be one of {}", known.join(", "));
        errors.push(FieldError::new("state", message));
    }
    named.copied().into_iter().collect()
}

fn cursor(last: &ListedPayment) -> String {
    format!(
        "{}.{}.{}",
        last.received_at.timestamp_micros(),
        last.order_id,
        last.payment_id
    )
}

fn parse_cursor(text: &str) -> Option<PaymentCursor> {
    let (micros, rest) = text.split_once('.')?;
    let (order_id, payment_id) = rest
        .split_once('.')
        .filter(|(_, id)| !id.chars().any(char::is_control))?;
    let received_at = DateTime::from_timestamp_micros(micros.parse().ok()?)?;
    Some(PaymentCursor {
        received_at,
        order_id: order_id.parse().ok()?,
        payment_id: payment_id.to_owned(),
    })
}

/// Read totals of stock and open work, and each partition's owner
#[utoipa::path(get, path = "/api/admin/overview", tag = "Administration", operation_id = "getOverview",
    responses((status = 200, description = "The overview", body = OverviewView)))]
pub(in crate::routes) async fn overview(
    _admin: Admin,
    State(app): State<Arc<App>>,
) -> Result<Response, Problem> {
    let totals = overview::totals(app.pool()).await?;
    let partitions = overview::partitions(app.pool()).await?;
    let partitions = partitions.into_iter().map(PartitionView::from).collect();
    Ok(render::json(
        StatusCode::OK,
        &OverviewView::new(&totals, partitions),
    ))
}
