//! Ownership: when all workers have been there for a while, each partition has one that lives, and each its share.

use std::collections::BTreeMap;

use super::tables::PartitionRow;

/// What is not as it should be among so many workers.
#[must_use]
pub fn uneven(partitions: &[PartitionRow], workers: usize) -> Vec<String> {
    let mut shares: BTreeMap<&str, usize> = BTreeMap::new();
    let mut found = Vec::new();
    for row in partitions {
        match &row.owner {
            Some(owner) if row.is_live => *shares.entry(owner).or_default() += 1,
            _ => found.push(format!("a partition without a worker: {row:?}")),
        }
    }
    let least = if shares.len() < workers {
        0
    } else {
        shares.values().min().copied().unwrap_or(0)
    };
    let most = shares.values().max().copied().unwrap_or(0);
    if partitions.is_empty() {
        found.push("there are no partitions".to_owned());
    }
    if most > least + 1 || shares.len() > workers {
        found.push(format!(
            "partitions are not spread evenly over {workers} workers: {shares:?}"
        ));
    }
    found
}
