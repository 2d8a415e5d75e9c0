//! The write of batches as one statement: the fence, and a part for each table that has rows to write.
//!
//! One statement is one round trip and a transaction of its own, which a worker that hangs can't keep open. Each part is a
//! CTE that writes nothing unless the fence holds for every partition. The number of rows that each part wrote is compared
//! with the number expected; a difference is an error that undoes everything. There are few combinations of tables, so
//! there are few statement texts, and Postgres plans each once.

use std::borrow::Cow;

use holdfast_common::encryption::{Keyring, SealedKind};
use holdfast_common::id::HoldId;
use sqlx::postgres::Postgres;
use sqlx::{Encode, PgConnection, QueryBuilder, Type};

use crate::store::fence::Fence;

/// The statement, as far as it is built.
pub(super) struct Statement {
    query: QueryBuilder<Postgres>,
    /// The table of each part, and the number of rows that it must write.
    parts: Vec<(&'static str, usize)>,
}

impl Statement {
    /// Begins a statement that moves the partitions of the fence, and writes only if it moved all of them.
    pub(super) fn new(fence: &Fence<'_>) -> Self {
        let mut query = QueryBuilder::new("WITH moved AS (");
        fence.push_to(&mut query);
        query.push(" RETURNING 1), fence AS (SELECT FROM moved HAVING count(*) = ");
        query.push_bind(fence.moves.len() as i64).push(")");
        Self {
            query,
            parts: Vec::new(),
        }
    }

    /// Begins a part with rows of a table. A part without rows adds nothing.
    pub(super) fn rows<'r, R>(
        &mut self,
        table: &'static str,
        rows: &'r [R],
    ) -> StatementPart<'_, 'r, R> {
        if !rows.is_empty() {
            self.query.push(format_args!(
                ", new{} AS (SELECT * FROM UNNEST(",
                self.parts.len()
            ));
        }
        StatementPart {
            statement: self,
            table,
            rows,
            keys: Vec::new(),
            columns: Vec::new(),
        }
    }

    /// Adds a part with SQL of its own that inserts this many rows. It must write nothing when `fence` has no row.
    pub(super) fn insert(
        &mut self,
        table: &'static str,
        rows: usize,
        push: impl FnOnce(&mut QueryBuilder<Postgres>),
    ) {
        self.query.push(format_args!(
            ", part{} AS (INSERT INTO {table} ",
            self.parts.len()
        ));
        push(&mut self.query);
        self.query.push(" RETURNING 1)");
        self.parts.push((table, rows));
    }

    /// Writes everything, or nothing when the fence does not hold. Returns whether it held.
    ///
    /// # Errors
    /// When Postgres fails, a constraint is broken, or a part wrote another number of rows than expected.
    pub(super) async fn execute(mut self, connection: &mut PgConnection) -> sqlx::Result<bool> {
        // CASE evaluates in order. If the fence holds, each part must have written all its rows. If not, no part has written
        // anything, and the fence must not have moved some of several partitions: `expect_rows` raises an error then.
        self.query
            .push(" SELECT CASE WHEN EXISTS (SELECT FROM fence) THEN true");
        for (number, (table, rows)) in self.parts.iter().enumerate() {
            self.query
                .push(format_args!(" AND expect_rows('{table}', "))
                .push_bind(*rows as i64);
            self.query
                .push(format_args!(", (SELECT count(*) FROM part{number}))"));
        }
        self.query
            .push(" ELSE NOT expect_rows('partitions', 0, (SELECT count(*) FROM moved)) END");
        self.query.build_query_scalar().fetch_one(connection).await
    }
}

/// A part of the statement: rows of one table, given column by column.
#[must_use]
pub(super) struct StatementPart<'s, 'r, R> {
    statement: &'s mut Statement,
    table: &'static str,
    rows: &'r [R],
    keys: Vec<&'static str>,
    columns: Vec<&'static str>,
}

impl<'r, R> StatementPart<'_, 'r, R> {
    /// Adds a column of the primary key.
    pub(super) fn key<C>(
        mut self,
        name: &'static str,
        kind: &'static str,
        value: impl Fn(&'r R) -> C,
    ) -> Self
    where
        Vec<C>: Encode<'r, Postgres> + Type<Postgres>,
    {
        self.bind(kind, value);
        self.keys.push(name);
        self
    }

    /// Adds another column. Call it after the keys.
    pub(super) fn column<C>(
        mut self,
        name: &'static str,
        kind: &'static str,
        value: impl Fn(&'r R) -> C,
    ) -> Self
    where
        Vec<C>: Encode<'r, Postgres> + Type<Postgres>,
    {
        self.bind(kind, value);
        self.columns.push(name);
        self
    }

    /// Adds a column on a condition.
    pub(super) fn column_if<C>(
        self,
        is_written: bool,
        name: &'static str,
        kind: &'static str,
        value: impl Fn(&'r R) -> C,
    ) -> Self
    where
        Vec<C>: Encode<'r, Postgres> + Type<Postgres>,
    {
        if is_written {
            self.column(name, kind, value)
        } else {
            self
        }
    }

    /// Adds a column of texts that are sealed, each for the hold or order that it belongs to. Without keys it adds nothing.
    pub(super) fn sealed(
        self,
        name: &'static str,
        keys: &Keyring,
        value: impl Fn(&'r R) -> (SealedKind, HoldId, Option<&'r str>),
    ) -> Self {
        self.column_if(keys.is_on(), name, "text", |row| {
            let (kind, id, text) = value(row);
            keys.seal_text(kind, id.uuid(), text?)
        })
    }

    fn bind<C>(&mut self, kind: &'static str, value: impl Fn(&'r R) -> C)
    where
        Vec<C>: Encode<'r, Postgres> + Type<Postgres>,
    {
        if self.rows.is_empty() {
            return;
        }
        let comma = if self.keys.is_empty() { "" } else { ", " };
        self.statement.query.push(comma);
        self.statement
            .query
            .push_bind(self.rows.iter().map(value).collect::<Vec<C>>());
        self.statement.query.push(format_args!("::{kind}[]"));
    }

    /// Inserts the rows. A row that exists is an error.
    pub(super) fn insert(self) {
        self.end(|table, new, names, _| {
            format!(
                "INSERT INTO {table} ({names}) SELECT * FROM {new} WHERE EXISTS (SELECT FROM fence)"
            )
        });
    }

    /// Inserts the rows, or sets the columns of those that exist.
    pub(super) fn upsert(self) {
        self.end(|table, new, names, part| {
            let keys = part.keys.join(", ");
            let set = assignments(&part.columns, "excluded");
            format!(
                "INSERT INTO {table} ({names}) SELECT * FROM {new} WHERE EXISTS (SELECT FROM fence)
                 ON CONFLICT ({keys}) DO UPDATE SET {set}"
            )
        });
    }

    /// Sets the columns of rows that exist, where a condition holds. It refers to the new values as `new`. A row that does
    /// not exist, or does not meet the condition, makes the statement fail.
    pub(super) fn update_where(self, condition: &'static str) {
        self.end(|table, new, _, part| {
            let set = assignments(&part.columns, "new");
            let same = part.keys.iter().map(|key| format!("{table}.{key} = new.{key} AND ")).collect::<String>();
            format!("UPDATE {table} SET {set} FROM {new} AS new WHERE {same}{condition} AND EXISTS (SELECT FROM fence)")
        });
    }

    fn end(self, write: impl FnOnce(&str, &str, &str, &Self) -> String) {
        if self.rows.is_empty() {
            return;
        }
        let number = self.statement.parts.len();
        let names = self
            .keys
            .iter()
            .chain(&self.columns)
            .copied()
            .collect::<Vec<_>>()
            .join(", ");
        let write = write(self.table, &format!("new{number}"), &names, &self);
        self.statement.query.push(format_args!(
            ") AS new ({names})), part{number} AS ({write} RETURNING 1)"
        ));
        self.statement.parts.push((self.table, self.rows.len()));
    }
}

fn assignments(columns: &[&str], from: &str) -> String {
    columns
        .iter()
        .map(|column| format!("{column} = {from}.{column}"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// The form of a text by which rows are found: the text itself, or its blind index when values are sealed.
pub(super) fn index<'r>(
    keys: &Keyring,
    kind: SealedKind,
    text: Option<&'r str>,
) -> Option<Cow<'r, str>> {
    text.map(|text| keys.index(kind, text))
}
