//! The audit, for operators: oldest first, a page at a time.

use chrono::{DateTime, Utc};
use holdfast_common::id::{HoldId, ProductId};
use serde_json::Value;
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

/// One change of state.
#[derive(Clone, Debug, FromRow)]
pub struct ListedChange {
    pub audit_id: i64,
    pub entry: i32,
    /// 0 when it belongs to none that is known.
    pub product_id: i64,
    pub at: DateTime<Utc>,
    pub log_seq: i64,
    pub actor: String,
    pub kind: String,
    pub state_before: Option<String>,
    pub state_after: Option<String>,
    pub reason: Option<String>,
    pub request_id: Option<Uuid>,
    pub subject: Option<Uuid>,
    pub quantity: i32,
    pub sequence: i64,
    pub available_before: i32,
    pub held_before: i32,
    pub sold_before: i32,
    pub available_after: i32,
    pub held_after: i32,
    pub sold_after: i32,
    pub detail: Option<Value>,
}

/// Whose changes are asked for.
#[derive(Clone, Copy, Debug)]
pub enum AuditFilter {
    /// All products'. Those of different products are not quite in the order of their time.
    Everything,
    /// A product's.
    Product(ProductId),
    /// A hold's, and of the order of that id.
    Hold(HoldId),
}

/// A page of the trail from the rows that it can be in. The rows are found by an index and only as many are taken apart
/// as the page needs, since one may have hundreds of changes.
macro_rules! page_of {
    ($rows:literal) => {
        concat!(
            "WITH rows AS (",
            $rows,
            "), next AS (
                 SELECT slot, product_id, audit_id,
                     sum(cardinality(kind)) OVER (ORDER BY audit_id) - cardinality(kind) AS changes_before FROM rows)
             SELECT audit_trail.* FROM next JOIN audit_trail USING (slot, product_id, audit_id)
             WHERE ($4::uuid IS NOT NULL OR changes_before <= $2 + $3) AND (audit_id, entry) > ($1, $2) AND ($4::uuid IS NULL OR subject = $4)
             ORDER BY audit_id, entry LIMIT $3"
        )
    };
}

/// Changes after one, in the order in which they were made.
///
/// # Errors
/// When Postgres fails.
pub async fn list(
    pool: &PgPool,
    of: AuditFilter,
    after: (i64, i32),
    limit: i64,
) -> sqlx::Result<Vec<ListedChange>> {
    let statement = match of {
        AuditFilter::Everything => page_of!(
            "SELECT found.* FROM partitions CROSS JOIN LATERAL (
                 SELECT slot, product_id, audit_id, kind FROM audit
                 WHERE audit.partition = partitions.partition AND audit_id >= $1 ORDER BY audit_id LIMIT $3 + 1) AS found
             ORDER BY audit_id LIMIT $3 + 1"
        ),
        AuditFilter::Product(_) => page_of!(
            "SELECT slot, product_id, audit_id, kind FROM audit
             WHERE slot = $5 AND product_id = $6 AND audit_id >= $1 ORDER BY audit_id LIMIT $3 + 1"
        ),
        AuditFilter::Hold(_) => page_of!(
            "SELECT slot, product_id, audit_id, kind FROM audit
             WHERE slot = $5 AND audit_id >= $1 AND $4 = ANY (subject)"
        ),
    };
    let changes = sqlx::query_as(statement)
        .bind(after.0)
        .bind(after.1)
        .bind(limit);
    let changes = match of {
        AuditFilter::Everything => changes.bind(None::<Uuid>),
        AuditFilter::Product(id) => changes
            .bind(None::<Uuid>)
            .bind(id.slot().as_i16())
            .bind(id.0),
        AuditFilter::Hold(id) => changes.bind(Some(id.uuid())).bind(id.slot().as_i16()),
    };
    changes.fetch_all(pool).await
}
