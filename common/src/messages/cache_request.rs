//! An operator's request to the product cache of every ingress, over core NATS.
//!
//! The cache shows products and refuses holds for sold-out ones; it grants nothing. So to clear or fill it is always safe. A
//! lost request does no harm: the operator sees fewer replies.

use serde::{Deserialize, Serialize};

use crate::id::ProductId;
use crate::messages::reply::IngressId;
use crate::messages::wire::Message;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CacheRequest {
    /// Remove every product. Each is read again on its next request.
    Clear,
    /// Read a product, or all products, before the first request.
    Warm(Option<ProductId>),
}

/// The result in one ingress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheReply {
    pub ingress: IngressId,
    /// The number of products that were removed or read; `None` when Postgres failed.
    pub products: Option<u64>,
}

impl Message for CacheRequest {
    const VERSION: u8 = 1;
}

impl Message for CacheReply {
    const VERSION: u8 = 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_cache_requests_and_replies_never_change() {
        for (request, golden) in [
            (CacheRequest::Clear, "0100"),
            (CacheRequest::Warm(None), "010100"),
            (CacheRequest::Warm(Some(ProductId(300))), "010101d804"),
        ] {
            assert_eq!(hex::encode(request.encode()), golden);
            assert_eq!(CacheRequest::decode(&request.encode()), Ok(request));
        }
        for (products, golden) in [(Some(300), "018486880801ac02"), (None, "018486880800")] {
            let done = CacheReply {
                ingress: IngressId(0x0102_0304),
                products,
            };
            assert_eq!(hex::encode(done.encode()), golden);
            assert_eq!(CacheReply::decode(&done.encode()), Ok(done));
        }
    }
}
