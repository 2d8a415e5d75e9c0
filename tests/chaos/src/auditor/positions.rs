//! Positions: a partition's only moves forward in its log, and its epoch too (I6). Whoever is replaced and does not know it
//! would move it back; what the rows say at the end does not show that, so Postgres is asked to write it down.

use sqlx::{FromRow, PgPool};

/// A partition that went back.
#[derive(Clone, Debug, FromRow)]
#[allow(missing_docs)]
pub struct Fall {
    pub partition: i16,
    pub from_epoch: i64,
    pub from_seq: i64,
    pub to_epoch: i64,
    pub to_seq: i64,
}

/// Has Postgres write down every partition that goes back, from now on.
///
/// # Errors
/// When Postgres fails.
pub async fn watch(pool: &PgPool) -> sqlx::Result<()> {
    sqlx::raw_sql(
        "CREATE SCHEMA IF NOT EXISTS chaos;
         CREATE TABLE IF NOT EXISTS chaos.falls
             (partition smallint, from_epoch bigint, from_seq bigint, to_epoch bigint, to_seq bigint);
         CREATE OR REPLACE FUNCTION chaos.note_fall() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             INSERT INTO chaos.falls VALUES (old.partition, old.epoch, old.applied_seq, new.epoch, new.applied_seq);
             RETURN NULL;
         END $$;
         CREATE OR REPLACE TRIGGER note_fall AFTER UPDATE ON partitions FOR EACH ROW
             WHEN (new.epoch < old.epoch OR new.applied_seq < old.applied_seq AND new.stream_created = old.stream_created)
             EXECUTE FUNCTION chaos.note_fall()",
    )
    .execute(pool)
    .await?;
    Ok(())
}
