//! `/api/holds`: set units aside, look at a hold, give it back.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRef, FromRequest, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use holdfast_common::command::{Action, CUSTOMER_CHARS_MAX, Command, QUANTITY_MAX};
use holdfast_common::id::{HoldId, ProductId, Slot};
use serde::Deserialize;

use crate::app::App;
use crate::host_clock::new_request_id;
use crate::http::body::{self, BodyTimeout, Fields, integer, is_text, text};
use crate::http::idempotency;
use crate::http::openapi;
use crate::http::parameters::Path;
use crate::http::prefer::Preference;
use crate::http::problem::{Problem, codes};
use crate::http::render;
use crate::http::views::HoldView;
use crate::metrics::METRICS;
use crate::rate_limits::told;
use crate::routes::requests::answer;
use crate::store;

/// What a hold is asked for with.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewHold {
    product_id: i64,
    quantity: u32,
    customer_id: Option<String>,
}

impl FromRequest<Arc<App>> for NewHold {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        Self::parse(&body::json(request, BodyTimeout::from_ref(app)).await?)
    }
}

impl NewHold {
    /// Most requests are in form, and read straight away. Another is read field by field, to say what is wrong with it.
    fn parse(body: &[u8]) -> Result<Self, Problem> {
        // serde would read an array, too.
        let is_object = body.trim_ascii_start().first() == Some(&b'{');
        match serde_json::from_slice::<Self>(body) {
            Ok(hold) if is_object && hold.is_in_form() => Ok(hold),
            _ => Self::parse_by_field(Fields::parse(body)?),
        }
    }

    fn is_in_form(&self) -> bool {
        let is_customer = |text: &String| is_text(text, CUSTOMER_CHARS_MAX);
        self.product_id >= 1
            && (1..=QUANTITY_MAX).contains(&self.quantity)
            && self.customer_id.as_ref().is_none_or(is_customer)
    }

    fn parse_by_field(mut fields: Fields) -> Result<Self, Problem> {
        let product_id = fields.required("product_id", integer(1, i64::MAX));
        let quantity = fields.required("quantity", integer(1, QUANTITY_MAX.into())) as u32;
        let customer_id = fields.optional("customer_id", text(CUSTOMER_CHARS_MAX));
        fields.finish()?;
        Ok(Self {
            product_id,
            quantity,
            customer_id,
        })
    }
}

/// Sets units aside
#[utoipa::path(post, path = "/api/holds", tag = "Holds", operation_id = "createHold",
    params(openapi::IdempotencyKey, openapi::Prefer), request_body = openapi::NewHold,
    responses(
        (status = 201, description = "The hold", body = HoldView),
        (status = 404, description = "product_not_found"),
        (status = 409, description = "insufficient_stock, purchase_limit_reached, sale_not_open"),
    ))]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    hold: NewHold,
) -> Result<Response, Problem> {
    let NewHold {
        product_id,
        quantity,
        customer_id,
    } = hold;
    let product_id = ProductId(product_id);
    let left = app.rate_limits.check_customer(customer_id.as_deref())?;
    // With a key it may be a repeat, and that gets the first outcome. Who does not wait is promised a place in line.
    let preference = Preference::of(&headers);
    if !idempotency::is_keyed(&headers)
        && !preference.wait(Duration::MAX).is_zero()
        && let Some(product) = app.products.sold_out(product_id, quantity).await
    {
        METRICS.sold_out.increment(1);
        return Ok(told(product.sold_out_response(&preference), left));
    }
    let action = Action::CreateHold {
        product_id,
        quantity,
        customer_id,
    };
    let response = command(&app, &headers, product_id.slot(), action).await?;
    if response.status() == StatusCode::CONFLICT {
        tokio::spawn(async move { app.products.refresh(product_id).await });
    }
    Ok(told(response, left))
}

/// A hold
#[utoipa::path(get, path = "/api/holds/{id}", tag = "Holds", operation_id = "getHold", params(openapi::HoldNumber),
    responses(
        (status = 200, description = "The hold as it stands", body = HoldView),
        (status = 404, description = "hold_not_found"),
    ))]
pub(super) async fn show(State(app): State<Arc<App>>, Path(id): Path) -> Result<Response, Problem> {
    let id = read_id(&id)?;
    let found = store::hold(&app.connections.pool, app.keys(), id).await?;
    let (hold, now) = found.ok_or(&codes::HOLD_NOT_FOUND)?;
    // Who is told that a hold has expired will find its units on sale.
    app.products.freshness.record_time(now);
    Ok(render::json(StatusCode::OK, &HoldView::at(&hold, now)))
}

/// Gives a hold back
///
/// Doing it again is 200, too.
#[utoipa::path(delete, path = "/api/holds/{id}", tag = "Holds", operation_id = "releaseHold",
    params(openapi::HoldNumber, openapi::IdempotencyKey, openapi::Prefer),
    responses(
        (status = 200, description = "The hold, released", body = HoldView),
        (status = 404, description = "hold_not_found"),
        (status = 409, description = "hold_consumed"),
        (status = 410, description = "hold_expired"),
    ))]
pub(super) async fn release(
    State(app): State<Arc<App>>,
    Path(id): Path,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let hold_id = read_id(&id)?;
    command(
        &app,
        &headers,
        hold_id.slot(),
        Action::ReleaseHold { hold_id },
    )
    .await
}

fn read_id(text: &str) -> Result<HoldId, Problem> {
    text.parse()
        .map_err(|_| Problem::new(&codes::HOLD_NOT_FOUND))
}

/// Sends an action that may come with an idempotency key.
pub(super) async fn command(
    app: &App,
    headers: &HeaderMap,
    slot: Slot,
    action: Action,
) -> Result<Response, Problem> {
    let key = idempotency::key(headers, app.keys(), &action)?;
    answer(
        app,
        headers,
        &Command {
            request_id: new_request_id(slot),
            key,
            action,
        },
    )
    .await
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn both_ways_to_read_a_hold_agree() {
        let by_field = |body: &Value| {
            Fields::parse(body.to_string().as_bytes()).and_then(NewHold::parse_by_field)
        };
        let values = [
            json!(1),
            json!(0),
            json!(10_000),
            json!(10_001),
            json!(-1),
            json!(1.0),
            json!(1e3),
            json!("1"),
            json!(null),
            json!(i64::MAX),
            json!(u64::MAX),
            json!("c-1"),
            json!(""),
            json!("a\nb"),
            json!("ü".repeat(255)),
            json!("x".repeat(256)),
            json!([]),
            json!({}),
        ];
        let mut in_form = 0;
        for (field, value) in ["product_id", "quantity", "customer_id", "colour"]
            .iter()
            .flat_map(|field| values.iter().map(move |value| (field, value)))
        {
            let mut body = json!({"product_id": 1, "quantity": 1, "customer_id": "c-1"});
            body[field] = value.clone();
            let told = |read: Result<NewHold, Problem>| {
                read.map_err(|problem| serde_json::to_value(problem).unwrap())
            };
            let read = told(NewHold::parse(body.to_string().as_bytes()));
            assert_eq!(read, told(by_field(&body)), "{body}");
            let is_in_form =
                serde_json::from_value::<NewHold>(body.clone()).is_ok_and(|hold| hold.is_in_form());
            // 1.0 and 1e3 are whole numbers, too, and are read field by field.
            let is_fraction = [json!(1.0), json!(1e3)].contains(value);
            assert!(is_in_form == read.is_ok() || is_fraction, "{body}");
            in_form += usize::from(is_in_form);
        }
        assert!(in_form > 5);
    }

    #[test]
    fn a_hold_without_a_customer_is_read() {
        let hold = NewHold {
            product_id: 7,
            quantity: 2,
            customer_id: None,
        };
        for body in [
            r#"{"product_id":7,"quantity":2}"#,
            r#"{"quantity":2,"customer_id":null,"product_id":7}"#,
        ] {
            assert_eq!(NewHold::parse(body.as_bytes()).unwrap(), hold);
        }
        // As any reader of JSON objects has it, the last of two counts.
        assert_eq!(
            NewHold::parse(br#"{"product_id":1,"product_id":7,"quantity":2}"#).unwrap(),
            hold
        );
    }
}
