//! Counts of each ingress's responses to `POST /api/holds`, for operators who watch a sale. They travel over core NATS.
//!
//! The request is an empty message, and every ingress replies. Counts start with the ingress process and only rise, so the
//! next reply makes up for a lost one.

use serde::{Deserialize, Serialize};

use crate::messages::reply::IngressId;
use crate::messages::wire::Message;

/// One ingress's responses to `POST /api/holds`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldResponseCounts {
    pub ingress: IngressId,
    /// Status codes, each with the number of responses since the start of the process.
    pub holds: Vec<(u16, u64)>,
}

impl Message for HoldResponseCounts {
    const VERSION: u8 = 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_hold_response_counts_never_change() {
        let counts = HoldResponseCounts {
            ingress: IngressId(0x0102_0304),
            holds: vec![(201, 300), (409, 5)],
        };
        assert_eq!(hex::encode(counts.encode()), "018486880802c901ac02990305");
        assert_eq!(HoldResponseCounts::decode(&counts.encode()), Ok(counts));
    }
}
