//! `holdfast customers export`: prints all data of a customer. Only reads.

use std::collections::BTreeMap;

use clap::Args;
use holdfast_common::encryption::Keyring;
use holdfast_common::id::HoldId;
use holdfast_ingress::http::audit_view::EntryView;
use holdfast_ingress::store::audit::{self, AuditFilter};
use holdfast_ingress::store::dead_letters::ListedLetter;
use serde_json::{Value, json};
use sqlx::types::Uuid;

use super::rows::CustomerRows;
use crate::exit::Verdict;
use crate::options::EncryptedStore;
use crate::store::customers::{self, CustomerHold};

/// Maximum number of audit rows that are exported for one hold.
const CHANGES_MAX: i64 = 1000;

#[derive(Args)]
pub(super) struct Options {
    /// The `customer_id` of the customer's requests
    customer: String,
    #[command(flatten)]
    store: EncryptedStore,
}

pub(super) async fn run(options: Options) -> anyhow::Result<Verdict> {
    let (pool, keys) = options.store.open("holdfast-customers").await?;
    let rows = CustomerRows::new(&pool, &keys, &options.customer)?;
    let holds = rows.holds().await?;
    let (mut orders, mut payments, mut changes) = (Vec::new(), Vec::new(), Vec::new());
    for (slot, holds) in by_slot(&holds) {
        orders.extend(customers::orders(&pool, &keys, slot, &holds).await?);
        payments.extend(customers::payments(&pool, &keys, slot, &holds).await?);
        for hold in holds {
            let hold = AuditFilter::Hold(HoldId::from_uuid(hold)?);
            let of_hold = audit::list(&pool, hold, (0, 0), CHANGES_MAX).await?;
            changes.extend(of_hold.into_iter().map(EntryView::from));
        }
    }
    let outcomes = rows.outcomes().await?.into_iter().map(
        |(stored, _, outcome)| json!({"request_id": stored.request_id, "replayed": stored.replayed, "outcome": outcome}),
    );
    let outcomes: Vec<Value> = outcomes.collect();
    let letters = rows.letters().await?;
    let document = json!({
        "customer_id": options.customer,
        "holds": holds.into_iter().map(|hold| hold.document).collect::<Vec<_>>(),
        "orders": orders,
        "payments": payments,
        "outcomes": outcomes,
        "dead_letters": letters.iter().map(|letter| letter_document(letter, &keys)).collect::<Vec<_>>(),
        "audit": changes,
    });
    println!("{document:#}");
    Ok(Verdict::Ok)
}

fn by_slot(holds: &[CustomerHold]) -> BTreeMap<i16, Vec<Uuid>> {
    let mut slots: BTreeMap<i16, Vec<Uuid>> = BTreeMap::new();
    for hold in holds {
        slots.entry(hold.slot).or_default().push(hold.hold_id);
    }
    slots
}

fn letter_document(letter: &ListedLetter, keys: &Keyring) -> Value {
    json!({
        "id": letter.dead_letter_id, "status": letter.status(), "failed_at": letter.failed_at,
        "command": letter.command(keys).map(|command| command.action),
    })
}
