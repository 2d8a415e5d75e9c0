//! What each ingress has answered to those who wanted a hold, for operators who watch a sale, over core NATS.
//!
//! An empty message asks; every ingress answers. Counts run from the ingress's beginning, so an answer that is lost loses
//! nothing.

use serde::{Deserialize, Serialize};

use crate::messages::reply::IngressId;
use crate::messages::wire::Message;

/// What one ingress has answered to `POST /api/holds`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers {
    /// Which ingress.
    pub ingress: IngressId,
    /// How often it answered each status that it has answered.
    pub holds: Vec<(u16, u64)>,
}

impl Message for Answers {
    const VERSION: u8 = 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_answers_never_change() {
        let answers = Answers {
            ingress: IngressId(0x0102_0304),
            holds: vec![(201, 300), (409, 5)],
        };
        assert_eq!(hex::encode(answers.encode()), "018486880802c901ac02990305");
        assert_eq!(Answers::decode(&answers.encode()), Ok(answers));
    }
}
