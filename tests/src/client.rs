//! A client of the HTTP contract.

use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::Value;

/// An HTTP response.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// The body as JSON; null when it is not JSON.
    pub body: Value,
    /// The body as text.
    pub text: String,
}

impl Answer {
    /// The value of a header; empty when the header is missing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The `code` of a problem document.
    ///
    /// # Panics
    /// When the response is not a complete problem document.
    #[must_use]
    pub fn problem(&self) -> &str {
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{self:?}"
        );
        for member in ["type", "title", "detail"] {
            assert!(self.body[member].is_string(), "{member} in {self:?}");
        }
        assert_eq!(self.body["status"], self.status.as_u16(), "{self:?}");
        self.body["code"].as_str().unwrap_or_default()
    }
}

/// A client of one ingress.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: String,
}

impl Client {
    /// A client of the ingress at this URL.
    #[must_use]
    pub fn new(base: &str) -> Self {
        // Later calls in the same process return an error, which does not matter.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            http: reqwest::Client::new(),
            base: base.to_owned(),
        }
    }

    /// Sets the longest time of a request.
    ///
    /// # Errors
    /// When the TLS backend can't be initialized.
    pub fn with_timeout(self, timeout: Duration) -> reqwest::Result<Self> {
        Ok(Self {
            http: reqwest::Client::builder().timeout(timeout).build()?,
            ..self
        })
    }

    /// The host and port of the server.
    #[must_use]
    pub fn address(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    /// Sends a request.
    ///
    /// # Errors
    /// When there is no response.
    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> reqwest::Result<Answer> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = String::from_utf8_lossy(&response.bytes().await?).into_owned();
        let body = serde_json::from_str(&text).unwrap_or_default();
        Ok(Answer {
            status,
            headers,
            body,
            text,
        })
    }

    /// Sends a request.
    ///
    /// # Panics
    /// When there is no response.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Answer {
        match self.try_send(method, path, headers, body).await {
            Ok(answer) => answer,
            Err(error) => panic!("no response: {error:?}"),
        }
    }

    /// `GET`
    ///
    /// # Panics
    /// When there is no response.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], None).await
    }

    /// `DELETE`
    ///
    /// # Panics
    /// When there is no response.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, &[], None).await
    }

    /// `POST` of a JSON document.
    ///
    /// # Panics
    /// When there is no response.
    pub async fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        self.send(
            Method::POST,
            path,
            &all,
            Some(body.to_string().into_bytes()),
        )
        .await
    }

    /// `POST /api/holds`
    ///
    /// # Panics
    /// When there is no response.
    pub async fn hold(&self, product_id: i64, quantity: i64, headers: &[(&str, &str)]) -> Answer {
        let body = serde_json::json!({"product_id": product_id, "quantity": quantity});
        self.post("/api/holds", headers, &body).await
    }
}
