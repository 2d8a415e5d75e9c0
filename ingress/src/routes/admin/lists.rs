//! What the administration is shown: payments that need somebody, refunds, and all of it at a glance.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, SecondsFormat, Utc};
use holdfast_common::rows::PAYMENT_STATES;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Admin;
use crate::App;
use crate::http::body::FieldError;
use crate::http::problem::Problem;
use crate::http::render;
use crate::http::views::ORDER_REFERENCE_PREFIX;
use crate::store::overview;
use crate::store::payments::{self, After, ListedPayment};

/// How many payments a page has, and how many it can have.
const PAGE: i64 = 50;
const PAGE_MAX: i64 = 200;
/// What is listed when no state is named: what waits for something.
const OPEN: &[&str] = &["parked", "unmatched", "refund_due"];
const REFUNDS: &[&str] = &["refund_due", "refund_requested"];

#[derive(Deserialize)]
pub(in crate::routes) struct Page {
    state: Option<String>,
    after: Option<String>,
    limit: Option<String>,
}

#[derive(Serialize)]
struct PaymentView {
    order_id: uuid::Uuid,
    order_reference: String,
    product_id: Option<i64>,
    payment_id: String,
    status: &'static str,
    amount_minor: Option<i64>,
    currency: Option<String>,
    state: String,
    refund_reason: Option<String>,
    received_at: String,
}

impl From<ListedPayment> for PaymentView {
    fn from(payment: ListedPayment) -> Self {
        Self {
            order_id: payment.order_id,
            order_reference: format!("{ORDER_REFERENCE_PREFIX}{}", payment.order_id),
            product_id: payment.product_id,
            payment_id: payment.payment_id,
            status: if payment.succeeded { "succeeded" } else { "failed" },
            amount_minor: payment.amount_minor,
            currency: payment.currency,
            state: payment.state,
            refund_reason: payment.refund_reason,
            received_at: rfc3339(payment.received_at),
        }
    }
}

fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// `GET /api/admin/payments`
pub(in crate::routes) async fn payments(
    _admin: Admin,
    State(app): State<Arc<App>>,
    Query(page): Query<Page>,
) -> Result<Response, Problem> {
    list(&app, "payments", page, OPEN, PAYMENT_STATES).await
}

/// `GET /api/admin/refunds`
pub(in crate::routes) async fn refunds(
    _admin: Admin,
    State(app): State<Arc<App>>,
    Query(page): Query<Page>,
) -> Result<Response, Problem> {
    list(&app, "refunds", page, REFUNDS, &["refund_due", "refund_requested", "refunded"]).await
}

async fn list(
    app: &App,
    name: &str,
    page: Page,
    default: &[&str],
    known: &[&'static str],
) -> Result<Response, Problem> {
    let mut errors = Vec::new();
    let state = page.state.as_deref();
    // A refund's state may be named as its order shows it.
    let is_named = |known: &&&'static str| {
        state.is_some_and(|state| **known == state || known.strip_prefix("refund_") == Some(state))
    };
    let states = match (state, known.iter().find(is_named)) {
        (None, _) => default.to_vec(),
        (Some(_), Some(known)) => vec![*known],
        (Some(_), None) => {
            errors.push(FieldError::new("state", format!("must be one of {}", known.join(", "))));
            Vec::new()
        }
    };
    let limit = page.limit.as_deref().map_or(Ok(PAGE), str::parse).ok().filter(|limit| (1..=PAGE_MAX).contains(limit));
    if limit.is_none() {
        errors.push(FieldError::new("limit", format!("must be a whole number from 1 to {PAGE_MAX}")));
    }
    let after = page.after.as_deref().map(read_cursor);
    if after == Some(None) {
        errors.push(FieldError::new("after", "must be the `next` of the page before"));
    }
    if !errors.is_empty() {
        return Err(Problem::invalid_request(errors));
    }
    let limit = limit.unwrap_or(PAGE);
    let mut found = payments::list(app.pool(), &states, after.flatten().as_ref(), limit + 1).await?;
    let has_next = found.len() as i64 > limit;
    found.truncate(limit as usize);
    let next = found.last().filter(|_| has_next).map(cursor);
    let views: Vec<_> = found.into_iter().map(PaymentView::from).collect();
    Ok(render::json(StatusCode::OK, &json!({name: views, "next": next})))
}

fn cursor(last: &ListedPayment) -> String {
    format!("{}.{}.{}", last.received_at.timestamp_micros(), last.order_id, last.payment_id)
}

fn read_cursor(text: &str) -> Option<After> {
    let (micros, rest) = text.split_once('.')?;
    let (order_id, payment_id) = rest.split_once('.').filter(|(_, id)| !id.chars().any(char::is_control))?;
    let received_at = DateTime::from_timestamp_micros(micros.parse().ok()?)?;
    Some(After { received_at, order_id: order_id.parse().ok()?, payment_id: payment_id.to_owned() })
}

/// `GET /api/admin/overview`
pub(in crate::routes) async fn overview(_admin: Admin, State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let totals = overview::totals(app.pool()).await?;
    let partitions = overview::partitions(app.pool()).await?;
    let partitions: Vec<Value> = partitions
        .into_iter()
        .map(|partition| {
            json!({
                "partition": partition.partition,
                "owner": partition.owner.filter(|_| partition.is_owned),
                "epoch": partition.epoch,
                "lease_until": partition.lease_until.map(rfc3339),
                "applied_seq": partition.applied_seq,
            })
        })
        .collect();
    let document = json!({
        "products": totals.products,
        "total_stock": totals.total_stock,
        "available_stock": totals.available_stock,
        "held_stock": totals.held_stock,
        "sold_stock": totals.sold_stock,
        "holds_count": totals.holds_count,
        "orders_pending_payment": totals.orders_pending,
        "payments_parked": totals.payments_parked,
        "payments_unmatched": totals.payments_unmatched,
        "refunds_due": totals.refunds_due,
        "refunds_requested": totals.refunds_requested,
        "partitions": partitions,
    });
    Ok(render::json(StatusCode::OK, &document))
}
