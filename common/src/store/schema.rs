//! The schema: the migrations that this build knows and the roles' grants, applied by `holdfast migrate`; everybody else
//! checks the former.

use sqlx::migrate::{Migrate, MigrateError, Migrator};
use sqlx::postgres::PgPool;

/// The migrations of this build.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// What the roles of ingress and worker may do.
const GRANTS: &str = include_str!("../../../migrations/grants.sql");
/// Names the lock under which grants are made: two at once would fail. Its own number, and no meaning.
const GRANTS_LOCK: i64 = 0x686f_6c64_6661_7374;
/// A database has no migrations yet.
const UNDEFINED_TABLE: &str = "42P01";

/// Says why the database is not what this build works with.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// Migrations are missing.
    #[error("the database lacks migration {version} ({description}): run `holdfast migrate` first")]
    Missing {
        /// The first one that is missing.
        version: i64,
        /// What it is for.
        description: String,
    },
    /// A migration differs from what was applied.
    #[error(
        "migration {version} was applied in another form than this build knows: use the build that belongs to the database"
    )]
    Changed {
        /// Which one.
        version: i64,
    },
    /// The roles or their grants could not be made.
    #[error(
        "the roles holdfast_ingress and holdfast_worker were not made or not granted their rights: {0}. Migrate as the \
         owner of the tables, with CREATEROLE, or have a superuser create both roles (NOLOGIN) first"
    )]
    Grants(#[source] sqlx::Error),
    /// Postgres failed.
    #[error("Postgres failed while the schema was checked: {0}")]
    Postgres(#[from] sqlx::Error),
    /// A migration failed.
    #[error("a migration failed: {0}")]
    Migrate(#[from] MigrateError),
}

/// Applies what is missing, and grants the roles their rights; several at once wait for each other.
///
/// # Errors
/// When a migration fails or was applied in another form, or the roles can't be made.
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

/// Checks that every migration of this build was applied as it is. Newer ones may be there: migrations only add.
///
/// # Errors
/// When one is missing or differs.
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
