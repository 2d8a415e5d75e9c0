//! I1: stock, recomputed from holds, orders and restocks. No unit is sold twice or lost.

use std::collections::{BTreeSet, HashMap, HashSet};

use sha2::{Digest, Sha256};

use super::{Evidence, Findings};
use crate::history::Request;

/// The start of a stored outcome that changed the product.
const CHANGED: &str = "{\"ProductChanged\"";

pub(super) fn check(evidence: &Evidence<'_>, findings: &mut Findings) {
    let Restocked { certain, leeway } = restocked(evidence, findings);
    for (product, initial) in evidence.products {
        let Some(row) = evidence.tables.products.get(product) else {
            findings.add("I1: a product", format!("{product} has no row"));
            continue;
        };
        let holds = evidence
            .tables
            .holds
            .values()
            .filter(|hold| hold.product_id == *product && hold.status == "active");
        let active: Vec<i64> = holds.map(|hold| hold.quantity).collect();
        let orders = |status: &str| -> i64 {
            let orders = evidence.tables.orders.values();
            orders
                .filter(|order| order.product_id == *product && order.status == status)
                .map(|order| order.quantity)
                .sum()
        };
        let total = initial + certain.get(product).copied().unwrap_or(0);
        let is_near = (row.total_stock - total).abs() <= leeway.get(product).copied().unwrap_or(0);
        let total = if is_near { row.total_stock } else { total };
        let held = active.iter().sum::<i64>() + orders("pending_payment");
        let sold = orders("paid");
        let expected = (total, total - held - sold, held, sold, active.len() as i64);
        let found = (
            row.total_stock,
            row.available_stock,
            row.held_stock,
            row.sold_stock,
            row.holds_count,
        );
        findings.check(
            expected == found,
            "I1: total, available, held, sold, holds",
            || format!("product {product}: recomputed {expected:?}, found {found:?}"),
        );
        let is_positive = [found.0, found.1, found.2, found.3, found.4]
            .iter()
            .all(|count| *count >= 0);
        findings.check(is_positive, "I1: counts of at least 0", || {
            format!("product {product}: {found:?}")
        });
    }
}

/// The units that restocks added, by product.
#[derive(Default)]
struct Restocked {
    /// Units of restocks with an outcome, and of restocks without a reply whose key has a stored outcome.
    certain: HashMap<i64, i64>,
    /// The possible error of `certain`, when two bodies under one key got no reply.
    leeway: HashMap<i64, i64>,
}

fn restocked(evidence: &Evidence<'_>, findings: &mut Findings) -> Restocked {
    let mut restocked = Restocked::default();
    let mut counted: HashSet<&str> = HashSet::new();
    let mut open: HashMap<&str, BTreeSet<(i64, i64)>> = HashMap::new();
    for exchange in evidence.exchanges {
        let (Request::Restock { product, quantity }, Some(key)) =
            (&exchange.request, &exchange.key)
        else {
            continue;
        };
        let is_stored = stored(evidence, key).is_some_and(|outcome| outcome.starts_with(CHANGED));
        match exchange.outcome() {
            Some(outcome) if outcome.status == 200 => {
                findings.check(is_stored, "I5: an accepted restock", || {
                    format!("{:?} {key}", exchange.request)
                });
                if counted.insert(key) {
                    *restocked.certain.entry(*product).or_default() += quantity;
                }
            }
            None if is_stored => {
                open.entry(key).or_default().insert((*product, *quantity));
            }
            _ => {}
        }
    }
    for (_, request) in open.into_iter().filter(|(key, _)| !counted.contains(key)) {
        let (Some((product, min)), Some((_, max))) = (request.first(), request.last()) else {
            continue;
        };
        *restocked.certain.entry(*product).or_default() += min;
        *restocked.leeway.entry(*product).or_default() += max - min;
    }
    restocked
}

fn stored<'a>(evidence: &Evidence<'a>, key: &str) -> Option<&'a String> {
    evidence
        .tables
        .restocks
        .get(&hex::encode(&Sha256::digest(key)[..16]))
}
