//! The auditor: whether anything was oversold. A measurement that fails it has no number.
//!
//! It asks the tables alone, by statements that share nothing with what wrote them, and compares them with what buyers
//! were told.

use anyhow::{bail, ensure};
use sqlx::PgPool;

/// What buyers of some products were told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told<'a> {
    pub(crate) product_ids: &'a [i64],
    /// Holds that were there before, such as those of the same products' earlier measurements.
    pub(crate) before: u64,
    /// Holds that were answered 201.
    pub(crate) accepted: u64,
    /// Requests that may have become holds though their buyers were not told.
    pub(crate) unknown: u64,
}

/// I1, and that counts are those of the rows they count. One statement sees one state of the tables.
const FALSE_PRODUCTS: &str = "
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
/// When something is wrong, or Postgres fails.
pub(crate) async fn sale(pool: &PgPool, told: Told<'_>) -> anyhow::Result<()> {
    let wrong: i64 = sqlx::query_scalar(FALSE_PRODUCTS).fetch_one(pool).await?;
    ensure!(
        wrong == 0,
        "the stock of {wrong} products is not what their holds and orders say"
    );
    let rows: i64 = sqlx::query_scalar(HOLDS)
        .bind(told.product_ids)
        .fetch_one(pool)
        .await?;
    compare(rows, told)
}

/// The same for the tables of what Holdfast is compared with.
///
/// # Errors
/// When something is wrong, or Postgres fails.
pub(crate) async fn baseline(pool: &PgPool, told: Told<'_>) -> anyhow::Result<()> {
    let wrong = "SELECT count(*) FROM stock s
        LEFT JOIN (SELECT product_id, sum(quantity) AS units FROM holds GROUP BY 1) h USING (product_id)
        WHERE total <> available + held OR least(available, held) < 0 OR held <> coalesce(h.units, 0)";
    let wrong: i64 = sqlx::query_scalar(wrong).fetch_one(pool).await?;
    ensure!(wrong == 0, "the stock is not what the holds say");
    let rows: i64 = sqlx::query_scalar(HOLDS)
        .bind(told.product_ids)
        .fetch_one(pool)
        .await?;
    compare(rows, told)
}

fn compare(rows: i64, told: Told<'_>) -> anyhow::Result<()> {
    let Told {
        before,
        accepted,
        unknown,
        ..
    } = told;
    let rows = rows.cast_unsigned().saturating_sub(before);
    if rows < accepted || rows > accepted + unknown {
        bail!("{accepted} holds were promised, {unknown} more may be, and {rows} are there");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_without_a_row_and_a_row_without_a_promise_are_found() {
        let told = Told {
            product_ids: &[],
            before: 5,
            accepted: 10,
            unknown: 2,
        };
        for (rows, is_right) in [(14, false), (15, true), (17, true), (18, false)] {
            assert_eq!(compare(rows, told).is_ok(), is_right, "{rows} rows");
        }
    }
}
