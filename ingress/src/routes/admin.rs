//! `/api/admin`: calls that only the holder of `ADMIN_TOKEN` may make. Without `ADMIN_TOKEN` they are 404.

pub(super) mod audit;
pub(super) mod dead_letters;
pub(super) mod event_dead_letters;
pub(super) mod lists;
pub(super) mod products;
pub(super) mod refunds;
pub(super) mod stock;
pub(super) mod workers;
