//! Requests as they go over the wire. Equal requests have equal bytes, but for a webhook's time and signature.

use anyhow::Context;
use holdfast_tests::{ADMIN_TOKEN, Client, WEBHOOK_SECRET, Webhook};
use reqwest::Method;
use serde_json::{Value, json};

use crate::operations::Prefer;
use crate::record::{Asked, Notice, Reply};

struct Request {
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Option<Value>,
}

/// Sends a request to an ingress. An error is that no answer came.
///
/// # Errors
/// When the connection broke, or the time for an answer ran out.
pub async fn send(
    client: &Client,
    asked: &Asked,
    key: Option<&str>,
    prefer: Prefer,
) -> anyhow::Result<Reply> {
    let Request {
        method,
        path,
        mut headers,
        body,
    } = request(asked, key);
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
    let answer = client
        .try_send(method, &path, &headers, body)
        .await
        .context("no answer")?;
    Ok(answer.into())
}

/// Reads a path.
///
/// # Errors
/// When the connection broke, or the time for an answer ran out.
pub async fn get(client: &Client, path: &str) -> anyhow::Result<Reply> {
    Ok(client
        .try_send(Method::GET, path, &[], None)
        .await
        .context("no answer")?
        .into())
}

fn request(asked: &Asked, key: Option<&str>) -> Request {
    let mut headers = Vec::new();
    if let Asked::Pay(notice) = asked {
        let webhook = webhook(notice, key.unwrap_or_default());
        headers.extend(webhook.headers(WEBHOOK_SECRET, 0));
        let path = "/api/payments/webhook".to_owned();
        return Request {
            method: Method::POST,
            path,
            headers,
            body: Some(webhook.body),
        };
    }
    headers.extend(key.map(|key| ("idempotency-key", key.to_owned())));
    let (method, path, body) = match asked {
        Asked::Hold {
            product,
            quantity,
            customer,
        } => {
            let body =
                json!({"product_id": product, "quantity": quantity, "customer_id": customer});
            (Method::POST, "/api/holds".to_owned(), Some(body))
        }
        Asked::Release { hold } => (Method::DELETE, format!("/api/holds/{hold}"), None),
        Asked::Order { hold } => (
            Method::POST,
            "/api/orders".to_owned(),
            Some(json!({"hold_id": hold})),
        ),
        Asked::Restock { product, quantity } => {
            headers.push(("authorization", format!("Bearer {ADMIN_TOKEN}")));
            (
                Method::POST,
                format!("/api/admin/products/{product}/restock"),
                Some(json!({"quantity": quantity})),
            )
        }
        Asked::Pay(_) => (Method::POST, String::new(), None),
    };
    Request {
        method,
        path,
        headers,
        body,
    }
}

fn webhook(notice: &Notice, key: &str) -> Webhook {
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
