//! A product as clients are shown it, written once for all who look at this version.
//!
//! A hot product has many versions a second and thousands of readers, who share the same bytes. What nobody asks for is
//! never written.

use std::sync::OnceLock;

use axum::http::HeaderValue;
use bytes::Bytes;
use holdfast_common::domain::Product;
use holdfast_common::outcome::{ProductAsOf, Refusal};

use crate::http::problem::Problem;
use crate::http::views::ProductView;

/// One version of a product.
#[derive(Debug)]
pub struct Shown {
    product: ProductAsOf,
    etag: OnceLock<HeaderValue>,
    document: OnceLock<Bytes>,
    event: OnceLock<Bytes>,
    sold_out: OnceLock<Bytes>,
}

impl From<ProductAsOf> for Shown {
    fn from(product: ProductAsOf) -> Self {
        let (etag, document) = (OnceLock::new(), OnceLock::new());
        Self {
            product,
            etag,
            document,
            event: OnceLock::new(),
            sold_out: OnceLock::new(),
        }
    }
}

impl Shown {
    /// The product itself.
    #[must_use]
    pub fn product(&self) -> &Product {
        &self.product.product
    }

    /// Its version, as an entity tag (RFC 9110, section 8.8.3).
    #[must_use]
    pub fn etag(&self) -> &HeaderValue {
        self.etag.get_or_init(|| {
            // Digits between quotes are a header's text.
            #[expect(clippy::expect_used)]
            HeaderValue::try_from(format!("\"{}\"", self.product().version))
                .expect("a header's text")
        })
    }

    /// Its document.
    #[must_use]
    pub fn document(&self) -> Bytes {
        // Serialising our own strings and numbers can't fail; here as below.
        let write = || {
            serde_json::to_vec(&ProductView::from(&self.product))
                .unwrap_or_default()
                .into()
        };
        self.document.get_or_init(write).clone()
    }

    /// The event `stock` of a stream (WHATWG HTML, section 9.2.5), with the version as its id.
    #[must_use]
    pub fn event(&self) -> Bytes {
        let write = || {
            // JSON has no line breaks of its own, so it is one line of data.
            let head = format!("event: stock\nid: {}\ndata: ", self.product().version);
            [head.as_bytes(), &self.document(), b"\n\n"].concat().into()
        };
        self.event.get_or_init(write).clone()
    }

    /// The refusal of whoever asks for more than there is, word for word as when a worker refuses.
    #[must_use]
    pub fn sold_out(&self) -> Bytes {
        let refusal = Refusal::InsufficientStock {
            available_stock: self.product().stock.available(),
        };
        let write = || {
            serde_json::to_vec(&Problem::from(refusal))
                .unwrap_or_default()
                .into()
        };
        self.sold_out.get_or_init(write).clone()
    }
}
