//! `/api/admin/refunds`: requests a refund again, or records that a payment is refunded. Both are commands in the log.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use holdfast_common::command::Action;
use holdfast_common::domain::RefundStatus;
use holdfast_common::id::HoldId;
use holdfast_common::log::internal;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::app::App;
use crate::commands::not_published::NotPublished;
use crate::http::admin::Admin;
use crate::http::body::fields::{Body, Fields, RequestBody, impl_body_schema};
use crate::http::body::value_types::{OrderName, PAYMENT_ID_CHARS_MAX, ValueType, text};
use crate::http::problem::{Problem, codes};
use crate::http::render;
use crate::store::payments;

/// Names the payment of a refund.
pub(in crate::routes) struct RefundOf {
    order_id: HoldId,
    payment_id: String,
}

impl_body_schema!(RefundOf as "RefundOf");

impl RequestBody for RefundOf {
    const DESCRIPTION: &'static str = "The payment to refund.";

    fn example() -> Value {
        json!({"order_id": "01a20634-0c9b-8cc1-96dc-8d450eaf51d9", "payment_id": "pay_1"})
    }

    fn read(fields: &mut Fields) -> Option<Self> {
        let order_id = OrderName.about("The order's id or reference");
        let order_id = fields.required("order_id", order_id);
        let payment_id = text(PAYMENT_ID_CHARS_MAX).about("The provider's id of the payment");
        let payment_id = fields.required("payment_id", payment_id);
        Some(Self {
            order_id: order_id?,
            payment_id: payment_id?,
        })
    }
}

/// The state of a payment's refund.
#[derive(Serialize, ToSchema)]
#[schema(as = AdvancedRefund)]
struct RefundView {
    order_id: uuid::Uuid,
    payment_id: String,
    /// `refund_due`, `refund_requested` or `refunded`. `ignored` when the payment had failed and nothing matched it
    state: Option<String>,
}

/// Request a refund again
#[utoipa::path(post, path = "/api/admin/refunds/retry", tag = "Administration", operation_id = "retryRefund",
    request_body = RefundOf,
    responses(
        (status = 200, description = "The refund is due, or requested already", body = RefundView),
        (status = 404, description = "payment_not_found"),
        (status = 409, description = "already_refunded, no_refund_owed"),
    ))]
pub(in crate::routes) async fn retry(
    _admin: Admin,
    state: State<Arc<App>>,
    Body(payment): Body<RefundOf>,
) -> Result<Response, Problem> {
    advance(state, payment, RefundStatus::Due).await
}

/// Record that a payment was refunded by hand
///
/// The payment is a due refund, or an unmatched payment.
#[utoipa::path(post, path = "/api/admin/refunds/resolve", tag = "Administration", operation_id = "resolveRefund",
    request_body = RefundOf,
    responses(
        (status = 200, description = "The payment is refunded", body = RefundView),
        (status = 404, description = "payment_not_found"),
        (status = 409, description = "no_refund_owed"),
    ))]
pub(in crate::routes) async fn resolve(
    _admin: Admin,
    state: State<Arc<App>>,
    Body(payment): Body<RefundOf>,
) -> Result<Response, Problem> {
    advance(state, payment, RefundStatus::Refunded).await
}

async fn advance(
    State(app): State<Arc<App>>,
    RefundOf {
        order_id,
        payment_id,
    }: RefundOf,
    to: RefundStatus,
) -> Result<Response, Problem> {
    match payments::state(app.pool(), app.keys(), order_id, &payment_id)
        .await?
        .as_deref()
    {
        None => return Err(Problem::new(&codes::PAYMENT_NOT_FOUND)),
        Some("refunded") if to != RefundStatus::Refunded => {
            return Err(Problem::new(&codes::ALREADY_REFUNDED));
        }
        Some("refund_due" | "refund_requested" | "refunded") => {}
        // Holdfast requests no refund of an unmatched payment, but an operator may have refunded it by hand.
        Some("unmatched") if to == RefundStatus::Refunded => {}
        Some(_) => return Err(Problem::new(&codes::NO_REFUND_OWED)),
    }
    let action = Action::AdvanceRefund {
        order_id,
        payment_id: payment_id.clone(),
        to,
    };
    if !publish_and_wait(&app, order_id, action).await? {
        // The command is in the log. Sending it again is safe.
        return Err(Problem::from(NotPublished::Unavailable));
    }
    let state = payments::state(app.pool(), app.keys(), order_id, &payment_id).await?;
    Ok(render::json(
        StatusCode::OK,
        &RefundView {
            order_id: order_id.uuid(),
            payment_id,
            state,
        },
    ))
}

/// Publishes a command. Returns whether a worker has applied it within `REQUEST_WAIT_MS`.
async fn publish_and_wait(app: &App, order_id: HoldId, action: Action) -> Result<bool, Problem> {
    let (layout, slot) = (&app.settings.nats.layout, order_id.slot());
    let partition = layout.partitions.of(slot);
    let published = internal::publish_internal(
        &app.connections.jetstream,
        layout,
        app.keys(),
        &internal::command(slot, action),
        None,
    )
    .await;
    let seq = published.map_err(|error| {
        tracing::warn!(%error, "publishing an operator's command failed; the client gets 503");
        Problem::from(NotPublished::Unavailable)
    })?;
    let applied = async {
        loop {
            let progress = app.positions.progress();
            if app.positions.of(partition).applied_seq >= seq {
                return;
            }
            progress.await;
        }
    };
    Ok(tokio::time::timeout(app.settings.request_wait(), applied)
        .await
        .is_ok())
}
