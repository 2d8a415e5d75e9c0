//! One version of a product, with the documents that clients get, each serialised once.
//!
//! A popular product has many versions a second and thousands of readers, who share the same bytes. A document that no
//! client requests is never written.

use std::sync::OnceLock;

use axum::http::header::{CONTENT_TYPE, ETAG};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use holdfast_common::domain::Product;
use holdfast_common::outcome::{ProductAsOf, Refusal};

use crate::http::prefer::Preference;
use crate::http::problem::Problem;
use crate::http::render::{APPLICATION_JSON, APPLICATION_PROBLEM, has_version, with_preference};
use crate::http::views::ProductView;

/// One version of a product.
#[derive(Debug)]
pub struct ProductSnapshot {
    product: ProductAsOf,
    etag: OnceLock<HeaderValue>,
    document: OnceLock<Bytes>,
    event: OnceLock<Bytes>,
    sold_out: OnceLock<Bytes>,
}

impl From<ProductAsOf> for ProductSnapshot {
    fn from(product: ProductAsOf) -> Self {
        Self {
            product,
            etag: OnceLock::new(),
            document: OnceLock::new(),
            event: OnceLock::new(),
            sold_out: OnceLock::new(),
        }
    }
}

impl ProductSnapshot {
    #[must_use]
    pub fn product(&self) -> &Product {
        &self.product.product
    }

    /// The product, or 304 when the client has this version.
    #[must_use]
    pub fn response(&self, request: &HeaderMap) -> Response {
        let etag = self.etag();
        if has_version(request, etag) {
            return (StatusCode::NOT_MODIFIED, [(ETAG, etag.clone())]).into_response();
        }
        let headers = [(CONTENT_TYPE, APPLICATION_JSON), (ETAG, etag.clone())];
        (headers, self.document()).into_response()
    }

    /// The refusal of a hold for more units than are available: the same response as for a worker's refusal.
    #[must_use]
    pub fn sold_out_response(&self, preference: &Preference) -> Response {
        let headers = [(CONTENT_TYPE, APPLICATION_PROBLEM)];
        let response = (StatusCode::CONFLICT, headers, self.sold_out()).into_response();
        with_preference(response, preference)
    }

    /// The event `stock` of a stream (WHATWG HTML, section 9.2.5), with the version as its id.
    #[must_use]
    pub fn event(&self) -> Bytes {
        let write = || {
            // `serde_json` writes no line breaks, so the document is one line of data.
            let head = format!("event: stock\nid: {}\ndata: ", self.product().version);
            [head.as_bytes(), &self.document(), b"\n\n"].concat().into()
        };
        self.event.get_or_init(write).clone()
    }

    /// The version as an entity tag (RFC 9110, section 8.8.3).
    fn etag(&self) -> &HeaderValue {
        self.etag.get_or_init(|| {
            // Digits between quotes are valid in a header.
            #[expect(clippy::expect_used)]
            HeaderValue::try_from(format!("\"{}\"", self.product().version))
                .expect("digits between quotes are a valid header value")
        })
    }

    fn document(&self) -> Bytes {
        // Serialising strings and numbers can't fail.
        let write = || {
            serde_json::to_vec(&ProductView::from(&self.product))
                .unwrap_or_default()
                .into()
        };
        self.document.get_or_init(write).clone()
    }

    fn sold_out(&self) -> Bytes {
        let refusal = Refusal::InsufficientStock {
            available_stock: self.product().stock.available(),
        };
        // Serialising strings and numbers can't fail.
        let write = || {
            serde_json::to_vec(&Problem::from(refusal))
                .unwrap_or_default()
                .into()
        };
        self.sold_out.get_or_init(write).clone()
    }
}
