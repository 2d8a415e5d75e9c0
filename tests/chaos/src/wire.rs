//! Sends requests over HTTP. Equal requests have equal bytes, except for the time and signature of a webhook.

use anyhow::Context;
use holdfast_tests::{ADMIN_TOKEN, Client, WEBHOOK_SECRET, Webhook};
use reqwest::Method;
use serde_json::{Value, json};

use crate::history::{PaymentNotice, Reply, Request};
use crate::operations::Prefer;

struct HttpRequest {
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Option<Value>,
}

/// Sends a request to an ingress.
///
/// # Errors
/// When the connection broke, or no response came in time.
pub async fn send(
    client: &Client,
    request: &Request,
    key: Option<&str>,
    prefer: Prefer,
) -> anyhow::Result<Reply> {
    let HttpRequest {
        method,
        path,
        mut headers,
        body,
    } = http_request(request, key);
    match prefer {
        Prefer::Nothing => {}
        Prefer::WaitOne => headers.push(("prefer", "wait=1".to_owned())),
        Prefer::RespondAsync => headers.push(("prefer", "respond-async".to_owned())),
    }
    if body.is_some() {
        headers.push(("content-type", "application/json".to_owned()));
    }
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let body = body.map(|body| body.to_string().into_bytes());
    let response = client
        .try_send(method, &path, &headers, body)
        .await
        .context("no response")?;
    Ok(response.into())
}

/// Sends a GET.
///
/// # Errors
/// When the connection broke, or no response came in time.
pub async fn get(client: &Client, path: &str) -> anyhow::Result<Reply> {
    Ok(client
        .try_send(Method::GET, path, &[], None)
        .await
        .context("no response")?
        .into())
}

fn http_request(request: &Request, key: Option<&str>) -> HttpRequest {
    let mut headers = Vec::new();
    if let Request::Pay(notice) = request {
        let webhook = webhook(notice, key.unwrap_or_default());
        headers.extend(webhook.headers(WEBHOOK_SECRET, 0));
        let path = "/api/payments/webhook".to_owned();
        return HttpRequest {
            method: Method::POST,
            path,
            headers,
            body: Some(webhook.body),
        };
    }
    headers.extend(key.map(|key| ("idempotency-key", key.to_owned())));
    let (method, path, body) = match request {
        Request::Hold {
            product,
            quantity,
            customer,
        } => {
            let body =
                json!({"product_id": product, "quantity": quantity, "customer_id": customer});
            (Method::POST, "/api/holds".to_owned(), Some(body))
        }
        Request::Release { hold } => (Method::DELETE, format!("/api/holds/{hold}"), None),
        Request::Order { hold } => (
            Method::POST,
            "/api/orders".to_owned(),
            Some(json!({"hold_id": hold})),
        ),
        Request::Restock { product, quantity } => {
            headers.push(("authorization", format!("Bearer {ADMIN_TOKEN}")));
            (
                Method::POST,
                format!("/api/admin/products/{product}/restock"),
                Some(json!({"quantity": quantity})),
            )
        }
        Request::Pay(_) => (Method::POST, String::new(), None),
    };
    HttpRequest {
        method,
        path,
        headers,
        body,
    }
}

fn webhook(notice: &PaymentNotice, key: &str) -> Webhook {
    let status = if notice.succeeded {
        "succeeded"
    } else {
        "failed"
    };
    let webhook = Webhook::new(key, &notice.order, &notice.payment, status);
    match notice.amount_minor {
        Some(amount) => webhook
            .with("amount_minor", amount.into())
            .with("currency", "EUR".into()),
        None => webhook,
    }
}
