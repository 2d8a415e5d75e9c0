//! What makes the demo store more than a page: a stand-in for a payment provider, and a crowd of buyers. Both call the
//! ingress over HTTP like anybody else, so that what is seen is what real clients would see. There only with `DEMO_STORE`, and the
//! crowd only for `holdfast dev`.

pub mod routes;

pub mod crowd;
pub mod loopback;
pub mod payments;
