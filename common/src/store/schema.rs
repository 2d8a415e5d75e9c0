//! The schema: the migrations of this build and the rights of the roles. `holdfast migrate` applies both; the other programs
//! check at their start that the migrations were applied.

use sqlx::migrate::{Migrate, MigrateError, Migrator};
use sqlx::postgres::PgPool;

/// The migrations of this build.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// The rights of the roles of ingress and worker.
const GRANTS: &str = include_str!("../../../migrations/grants.sql");
/// Number of the advisory lock around the grants, because two concurrent runs would fail. The number has no meaning.
const GRANTS_LOCK: i64 = 0x686f_6c64_6661_7374;
/// Error code of Postgres when the table of migrations does not exist yet.
const UNDEFINED_TABLE: &str = "42P01";

/// This build can't work with the schema of the database.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    #[error("the database lacks migration {version} ({description}): run `holdfast migrate` first")]
    Missing {
        /// Number of the first missing migration.
        version: i64,
        description: String,
    },
    #[error(
        "migration {version} of this build differs from the one that was applied: use the build that belongs to the database"
    )]
    Changed { version: i64 },
    #[error(
        "the roles holdfast_ingress and holdfast_worker could not be created or granted their rights: {0}. Migrate as the \
         owner of the tables, with CREATEROLE, or let a superuser create both roles (NOLOGIN) first"
    )]
    Grants(#[source] sqlx::Error),
    #[error("Postgres failed while the schema was checked: {0}")]
    Postgres(#[from] sqlx::Error),
    #[error("a migration failed: {0}")]
    Migrate(#[from] MigrateError),
}

/// Applies missing migrations and grants the roles their rights. Concurrent runs wait for each other.
///
/// # Errors
/// When a migration fails or differs from the applied one, or the roles can't be created.
pub async fn migrate(pool: &PgPool) -> Result<(), SchemaError> {
    MIGRATIONS.run(pool).await?;
    grant(pool).await.map_err(SchemaError::Grants)
}

async fn grant(pool: &PgPool) -> sqlx::Result<()> {
    let mut transaction = pool.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(GRANTS_LOCK)
        .execute(&mut *transaction)
        .await?;
    sqlx::raw_sql(GRANTS).execute(&mut *transaction).await?;
    transaction.commit().await
}

/// Checks that every migration of this build was applied unchanged. The database may have newer migrations, because they only
/// add to the schema.
///
/// # Errors
/// When a migration is missing or differs, or Postgres fails.
pub async fn check(pool: &PgPool) -> Result<(), SchemaError> {
    let mut connection = pool.acquire().await?;
    let applied = match connection
        .list_applied_migrations(MIGRATIONS.table_name.as_ref())
        .await
    {
        Err(MigrateError::Execute(sqlx::Error::Database(error)))
            if error.code().as_deref() == Some(UNDEFINED_TABLE) =>
        {
            Vec::new()
        }
        applied => applied?,
    };
    for known in MIGRATIONS.iter() {
        match applied
            .iter()
            .find(|applied| applied.version == known.version)
        {
            None => {
                let description = known.description.to_string();
                return Err(SchemaError::Missing {
                    version: known.version,
                    description,
                });
            }
            Some(found) if found.checksum != known.checksum => {
                return Err(SchemaError::Changed {
                    version: known.version,
                });
            }
            Some(_) => {}
        }
    }
    Ok(())
}
