//! What waits for a worker or for an operator: counted up to a bound, so that the look costs little however much it is.

use holdfast_common::partition::Partitions;
use sqlx::{FromRow, PgPool};

/// No count goes further.
const COUNT_MAX: i64 = 10_000;

/// The states in which payments wait, in the order of [`Waiting::payments`].
pub const PAYMENT_STATES: [&str; 4] = ["parked", "unmatched", "refund_due", "refund_requested"];

/// What waits.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Payments by state, as in [`PAYMENT_STATES`].
    pub payments: [i64; 4],
    /// For how many seconds the oldest refund has been due; 0 when none is.
    pub refund_due_age: f64,
    /// Dead letters that nobody has settled.
    pub dead_letters: i64,
    /// Partitions that no live worker has.
    pub unowned: i64,
}

#[derive(FromRow)]
struct Row {
    parked: i64,
    unmatched: i64,
    refund_due: i64,
    refund_requested: i64,
    refund_due_age: f64,
    dead_letters: i64,
    unowned: i64,
}

/// Looks at all of it at once.
///
/// # Errors
/// When Postgres fails.
pub async fn look(pool: &PgPool, partitions: Partitions) -> sqlx::Result<Waiting> {
    let row: Row = sqlx::query_as(
        "SELECT (SELECT count(*) FROM (SELECT FROM payments WHERE state = 'parked' LIMIT $1) p) AS parked,
             (SELECT count(*) FROM (SELECT FROM payments WHERE state = 'unmatched' LIMIT $1) p) AS unmatched,
             (SELECT count(*) FROM (SELECT FROM payments WHERE state = 'refund_due' LIMIT $1) p) AS refund_due,
             (SELECT count(*) FROM (SELECT FROM payments WHERE state = 'refund_requested' LIMIT $1) p) AS refund_requested,
             coalesce((SELECT extract(epoch FROM now() - received_at) FROM payments WHERE state = 'refund_due'
                 ORDER BY received_at LIMIT 1), 0)::float8 AS refund_due_age,
             (SELECT count(*) FROM (SELECT FROM dead_letters WHERE settled_at IS NULL LIMIT $1) d) AS dead_letters,
             $2 - (SELECT count(*) FROM partitions WHERE partition < $2 AND owner IS NOT NULL AND lease_until > now())
                 AS unowned",
    )
    .bind(COUNT_MAX)
    .bind(i64::from(partitions.count()))
    .fetch_one(pool)
    .await?;
    Ok(Waiting {
        payments: [
            row.parked,
            row.unmatched,
            row.refund_due,
            row.refund_requested,
        ],
        refund_due_age: row.refund_due_age,
        dead_letters: row.dead_letters,
        unowned: row.unowned,
    })
}
