//! The counts of products' holds and orders, for commands that repair stock. Few batches have one.

use std::collections::BTreeSet;

use holdfast_common::command::{Action, Command};
use holdfast_common::domain::{Recount, State};
use holdfast_common::id::ProductId;
use sqlx::PgConnection;

/// Counts the holds and orders of the products to repair. Only this partition's worker changes them, so the counts fit the
/// rows that were loaded before. If another worker has taken the partition meanwhile, the fence stops this batch.
pub(super) async fn load<'a>(
    connection: &mut PgConnection,
    commands: impl Iterator<Item = &'a Command>,
    state: &mut State,
) -> sqlx::Result<()> {
    let to_repair: BTreeSet<ProductId> = commands
        .filter_map(|command| match command.action {
            Action::RepairStock { product_id } => Some(product_id),
            _ => None,
        })
        .collect();
    if to_repair.is_empty() {
        return Ok(());
    }
    let rows: Vec<(i64, i64, i64, i64, i64)> = sqlx::query_as(
        "SELECT named.product_id, held.units + ordered.pending, ordered.paid, held.holds, held.last
         FROM UNNEST($1::smallint[], $2::bigint[]) AS named (slot, product_id)
         CROSS JOIN LATERAL (
             SELECT coalesce(sum(quantity) FILTER (WHERE status = 'active'), 0) AS units,
                 count(*) FILTER (WHERE status = 'active') AS holds, coalesce(max(sequence), 0) AS last
             FROM holds WHERE holds.slot = named.slot AND holds.product_id = named.product_id) AS held
         CROSS JOIN LATERAL (
             SELECT coalesce(sum(quantity) FILTER (WHERE status = 'pending_payment'), 0) AS pending,
                 coalesce(sum(quantity) FILTER (WHERE status = 'paid'), 0) AS paid
             FROM orders WHERE orders.slot = named.slot AND orders.product_id = named.product_id) AS ordered",
    )
    .bind(to_repair.iter().map(|id| id.slot().as_i16()).collect::<Vec<_>>())
    .bind(to_repair.iter().map(|id| id.0).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    for (product_id, held, sold, holds_count, hold_sequence) in rows {
        state.load_recount(
            ProductId(product_id),
            Recount {
                held,
                sold,
                holds_count,
                hold_sequence,
            },
        );
    }
    Ok(())
}
