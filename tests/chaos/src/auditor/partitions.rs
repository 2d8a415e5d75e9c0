//! Partitions: each has one live owner, owners have equal shares, and a partition's position never goes back (I6).

use std::collections::BTreeMap;

use sqlx::{FromRow, PgPool};

use super::tables::PartitionRow;

/// An update that moved a partition's position or epoch back.
#[derive(Clone, Debug, FromRow)]
pub struct PositionFall {
    pub partition: i16,
    pub from_epoch: i64,
    pub from_seq: i64,
    pub to_epoch: i64,
    pub to_seq: i64,
}

/// Adds a trigger that records every update that moves a partition back. A replaced worker that still writes would do so,
/// and the rows at the end of a run would not show it.
///
/// # Errors
/// When Postgres fails.
pub async fn record_position_falls(pool: &PgPool) -> sqlx::Result<()> {
    sqlx::raw_sql(
        "CREATE SCHEMA IF NOT EXISTS chaos;
         CREATE TABLE IF NOT EXISTS chaos.falls
             (partition smallint, from_epoch bigint, from_seq bigint, to_epoch bigint, to_seq bigint);
         CREATE OR REPLACE FUNCTION chaos.record_fall() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             INSERT INTO chaos.falls VALUES (old.partition, old.epoch, old.applied_seq, new.epoch, new.applied_seq);
             RETURN NULL;
         END $$;
         CREATE OR REPLACE TRIGGER record_fall AFTER UPDATE ON partitions FOR EACH ROW
             WHEN (new.epoch < old.epoch OR new.applied_seq < old.applied_seq AND new.stream_created = old.stream_created)
             EXECUTE FUNCTION chaos.record_fall()",
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// The partitions without a live owner, and an uneven distribution over this number of workers.
#[must_use]
pub fn uneven_shares(partitions: &[PartitionRow], workers: usize) -> Vec<String> {
    let mut shares: BTreeMap<&str, usize> = BTreeMap::new();
    let mut found = Vec::new();
    for row in partitions {
        match &row.owner {
            Some(owner) if row.is_live => *shares.entry(owner).or_default() += 1,
            _ => found.push(format!("a partition without a worker: {row:?}")),
        }
    }
    let smallest = if shares.len() < workers {
        0
    } else {
        shares.values().min().copied().unwrap_or(0)
    };
    let largest = shares.values().max().copied().unwrap_or(0);
    if partitions.is_empty() {
        found.push("there are no partitions".to_owned());
    }
    if largest > smallest + 1 || shares.len() > workers {
        found.push(format!(
            "partitions are not spread evenly over {workers} workers: {shares:?}"
        ));
    }
    found
}
