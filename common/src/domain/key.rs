//! Idempotency keys: the scope in which a key is unique, and its first use.

use crate::command::Endpoint;
use crate::id::{ProductId, RequestId, Slot};
use crate::time::Timestamp;

/// The scope of an idempotency key: one endpoint and one product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyScope {
    /// The product's slot.
    pub slot: Slot,
    pub endpoint: Endpoint,
    /// The hash of the key.
    pub hash: [u8; 16],
    /// 0 for the keys of webhooks, and when the request names a hold that does not exist.
    pub product_id: ProductId,
}

/// The first use of an idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyUse {
    /// The first request with the key. Its outcome is replayed.
    pub request_id: RequestId,
    /// The hash of that request.
    pub fingerprint: [u8; 16],
    pub used_at: Timestamp,
}
