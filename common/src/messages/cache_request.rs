//! What an operator asks of every ingress's memory, over core NATS.
//!
//! Products in memory are only shown, and may say no; they grant nothing. So to forget or to read them is always safe, and a
//! request that is lost does no harm: who asked hears fewer answers.

use serde::{Deserialize, Serialize};

use crate::id::ProductId;
use crate::messages::reply::IngressId;
use crate::messages::wire::Message;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Forget every product; each is read again when somebody asks for it.
    Clear,
    /// Read a product, or all of them, ahead of those who will ask.
    Warm(Option<ProductId>),
}

/// What one ingress has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Which ingress.
    pub ingress: IngressId,
    /// How many products it has forgotten or read; `None` when Postgres failed.
    pub products: Option<u64>,
}

impl Message for Request {
    const VERSION: u8 = 1;
}

impl Message for Done {
    const VERSION: u8 = 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_requests_and_answers_never_change() {
        for (request, golden) in [
            (Request::Clear, "0100"),
            (Request::Warm(None), "010100"),
            (Request::Warm(Some(ProductId(300))), "010101d804"),
        ] {
            assert_eq!(hex::encode(request.encode()), golden);
            assert_eq!(Request::decode(&request.encode()), Ok(request));
        }
        for (products, golden) in [(Some(300), "018486880801ac02"), (None, "018486880800")] {
            let done = Done {
                ingress: IngressId(0x0102_0304),
                products,
            };
            assert_eq!(hex::encode(done.encode()), golden);
            assert_eq!(Done::decode(&done.encode()), Ok(done));
        }
    }
}
