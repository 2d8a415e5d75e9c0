//! The schema: the migrations that this build knows, applied by `holdfast migrate` and checked by everybody else.

use sqlx::migrate::{Migrate, Migrator};
use sqlx::postgres::PgPool;

/// The migrations of this build.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

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
    /// Postgres failed.
    #[error("Postgres failed while the schema was checked: {0}")]
    Postgres(#[from] sqlx::Error),
    /// A migration failed.
    #[error("a migration failed: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

/// Applies what is missing; several at once wait for each other.
///
/// # Errors
/// When a migration fails or was applied in another form.
pub async fn migrate(pool: &PgPool) -> Result<(), SchemaError> {
    Ok(MIGRATIONS.run(pool).await?)
}

/// Checks that every migration of this build was applied as it is. Newer ones may be there: migrations only add.
///
/// # Errors
/// When one is missing or differs.
pub async fn check(pool: &PgPool) -> Result<(), SchemaError> {
    let mut connection = pool.acquire().await?;
    let table = MIGRATIONS.table_name.as_ref();
    connection.ensure_migrations_table(table).await?;
    let applied = connection.list_applied_migrations(table).await?;
    for known in MIGRATIONS.iter() {
        match applied.iter().find(|applied| applied.version == known.version) {
            None => {
                let description = known.description.to_string();
                return Err(SchemaError::Missing { version: known.version, description });
            }
            Some(found) if found.checksum != known.checksum => {
                return Err(SchemaError::Changed { version: known.version });
            }
            Some(_) => {}
        }
    }
    Ok(())
}
