//! The units that customers already have of products with a limit per customer.

use std::collections::BTreeSet;

use holdfast_common::command::{Action, Command};
use holdfast_common::domain::State;
use holdfast_common::encryption::{Keyring, SealedKind};
use holdfast_common::id::ProductId;
use sqlx::PgConnection;

pub(super) async fn load<'a>(
    connection: &mut PgConnection,
    keys: &Keyring,
    commands: impl Iterator<Item = &'a Command> + Clone,
    state: &mut State,
) -> sqlx::Result<()> {
    // A command of the same batch may set a limit.
    let sets_limit = |command: &'a Command| match &command.action {
        Action::CreateProduct(new) => new.max_per_customer.map(|_| new.product_id),
        Action::ChangeProduct { product_id, change } => {
            change.max_per_customer.flatten().map(|_| *product_id)
        }
        _ => None,
    };
    let newly_limited: BTreeSet<ProductId> = commands.clone().filter_map(sets_limit).collect();
    let buyers = commands.filter_map(|command| match &command.action {
        Action::CreateHold {
            product_id,
            customer_id,
            ..
        } => Some((*product_id, customer_id.as_deref()?)),
        _ => None,
    });
    let is_limited = |id: ProductId| {
        newly_limited.contains(&id)
            || state
                .product(id)
                .is_some_and(|product| product.max_per_customer.is_some())
    };
    let counted: BTreeSet<(ProductId, &str)> = buyers
        .filter(|(product_id, _)| is_limited(*product_id))
        .collect();
    if counted.is_empty() {
        return Ok(());
    }
    let counted: Vec<_> = counted.into_iter().collect();
    let rows: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT place, coalesce(sum(holds.quantity) FILTER (WHERE holds.status = 'active' OR orders.status <> 'cancelled'), 0)
         FROM UNNEST($1::smallint[], $2::bigint[], $3::text[]) WITH ORDINALITY
             AS named (slot, product_id, customer_id, place)
         LEFT JOIN holds ON holds.slot = named.slot AND holds.product_id = named.product_id
             AND holds.customer_id = named.customer_id AND holds.status IN ('active', 'consumed')
         LEFT JOIN orders ON orders.slot = holds.slot AND orders.order_id = holds.hold_id
         GROUP BY place",
    )
    .bind(counted.iter().map(|(id, _)| id.slot().as_i16()).collect::<Vec<_>>())
    .bind(counted.iter().map(|(id, _)| id.0).collect::<Vec<_>>())
    .bind(counted.iter().map(|(_, customer)| keys.index(SealedKind::CustomerId, customer)).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    for (place, units) in rows {
        if let Some((product_id, customer)) = usize::try_from(place - 1)
            .ok()
            .and_then(|at| counted.get(at))
        {
            state.load_customer(*product_id, (*customer).to_owned(), units);
        }
    }
    Ok(())
}
