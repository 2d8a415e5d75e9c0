//! The auditor: checks that nothing was oversold. A measurement that fails the audit is not reported.
//!
//! It reads the tables with statements that share no code with Holdfast, and compares them with the responses that buyers
//! received.

use anyhow::{bail, ensure};
use sqlx::PgPool;

/// The responses that buyers of some products received.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HoldCounts<'a> {
    pub(crate) product_ids: &'a [i64],
    /// Holds that existed before, for example from earlier measurements of the same products.
    pub(crate) before: u64,
    /// Number of responses 201.
    pub(crate) accepted: u64,
    /// Requests without a response, which may have become holds.
    pub(crate) unknown: u64,
}

/// Products that break I1, or whose counts differ from their holds and orders. One statement reads one state of the tables.
const DRIFTED_PRODUCTS: &str = "
    SELECT count(*) FROM products p
    LEFT JOIN (SELECT slot, product_id, count(*) AS holds, sum(quantity) AS units
               FROM holds WHERE status = 'active' GROUP BY 1, 2) h USING (slot, product_id)
    LEFT JOIN (SELECT slot, product_id,
                      sum(quantity) FILTER (WHERE status = 'pending_payment') AS pending,
                      sum(quantity) FILTER (WHERE status = 'paid') AS paid
               FROM orders GROUP BY 1, 2) o USING (slot, product_id)
    WHERE total_stock <> available_stock + held_stock + sold_stock
       OR least(available_stock, held_stock, sold_stock) < 0
       OR holds_count <> coalesce(h.holds, 0)
       OR held_stock <> coalesce(h.units, 0) + coalesce(o.pending, 0)
       OR sold_stock <> coalesce(o.paid, 0)";
const HOLDS: &str = "SELECT count(*) FROM holds WHERE product_id = ANY($1)";

/// Audits a sale of Holdfast.
///
/// # Errors
/// When a check or Postgres fails.
pub(crate) async fn sale(pool: &PgPool, counts: HoldCounts<'_>) -> anyhow::Result<()> {
    let wrong: i64 = sqlx::query_scalar(DRIFTED_PRODUCTS).fetch_one(pool).await?;
    ensure!(
        wrong == 0,
        "the stock of {wrong} products differs from their holds and orders"
    );
    let rows: i64 = sqlx::query_scalar(HOLDS)
        .bind(counts.product_ids)
        .fetch_one(pool)
        .await?;
    compare(rows, counts)
}

/// Audits the tables of a baseline.
///
/// # Errors
/// When a check or Postgres fails.
pub(crate) async fn baseline(pool: &PgPool, counts: HoldCounts<'_>) -> anyhow::Result<()> {
    let wrong = "SELECT count(*) FROM stock s
        LEFT JOIN (SELECT product_id, sum(quantity) AS units FROM holds GROUP BY 1) h USING (product_id)
        WHERE total <> available + held OR least(available, held) < 0 OR held <> coalesce(h.units, 0)";
    let wrong: i64 = sqlx::query_scalar(wrong).fetch_one(pool).await?;
    ensure!(wrong == 0, "the stock differs from the holds");
    let rows: i64 = sqlx::query_scalar(HOLDS)
        .bind(counts.product_ids)
        .fetch_one(pool)
        .await?;
    compare(rows, counts)
}

fn compare(rows: i64, counts: HoldCounts<'_>) -> anyhow::Result<()> {
    let HoldCounts {
        before,
        accepted,
        unknown,
        ..
    } = counts;
    let rows = rows.cast_unsigned().saturating_sub(before);
    if rows < accepted || rows > accepted + unknown {
        bail!(
            "{rows} holds exist; {accepted} were accepted, and {unknown} requests had no response"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compare_finds_missing_and_surplus_holds() {
        let counts = HoldCounts {
            product_ids: &[],
            before: 5,
            accepted: 10,
            unknown: 2,
        };
        for (rows, is_right) in [(14, false), (15, true), (17, true), (18, false)] {
            assert_eq!(compare(rows, counts).is_ok(), is_right, "{rows} rows");
        }
    }
}
