//! A batch as one statement: the fence, and a part for each table that has rows to write.
//!
//! One statement is one round trip and a transaction of its own, which no worker can hold open. Each part is a CTE that
//! writes nothing unless the fence holds for every partition, and counts the rows it wrote; a number other than expected
//! is an error that undoes all of it. There are few kinds of batches, so there are few texts, and Postgres plans each once.

use holdfast_common::encryption::{Keyring, Kind};
use holdfast_common::id::HoldId;
use sqlx::postgres::Postgres;
use sqlx::{Encode, PgConnection, QueryBuilder, Type};

use crate::store::lease::Fence;

/// The statement as far as it is written.
pub(in crate::store) struct Statement {
    query: QueryBuilder<Postgres>,
    /// The table of each part, and how many rows it has to write.
    parts: Vec<(&'static str, usize)>,
}

impl Statement {
    /// A statement that writes only where the fence holds, and moves its partitions then.
    pub(in crate::store) fn new(fence: &Fence<'_>) -> Self {
        let mut query = QueryBuilder::new("WITH moved AS (");
        fence.push_to(&mut query);
        query.push(" RETURNING 1), fence AS (SELECT FROM moved HAVING count(*) = ");
        query.push_bind(fence.moves.len() as i64).push(")");
        Self {
            query,
            parts: Vec::new(),
        }
    }

    /// Begins a part about rows of a table. One without rows leaves no trace.
    pub(in crate::store) fn rows<'r, R>(
        &mut self,
        table: &'static str,
        rows: &'r [R],
    ) -> Part<'_, 'r, R> {
        if !rows.is_empty() {
            self.query.push(format_args!(
                ", new{} AS (SELECT * FROM UNNEST(",
                self.parts.len()
            ));
        }
        Part {
            statement: self,
            table,
            rows,
            keys: Vec::new(),
            columns: Vec::new(),
        }
    }

    /// A part that inserts so many rows, in words of its own. They have to write nothing unless there is a row in `fence`.
    pub(in crate::store) fn insert(
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

    /// Writes everything, or nothing when the fence does not hold, and says which.
    ///
    /// # Errors
    /// When Postgres fails, a constraint is broken, or a part wrote another number of rows than it has.
    pub(in crate::store) async fn execute(
        mut self,
        connection: &mut PgConnection,
    ) -> sqlx::Result<bool> {
        // CASE decides in order: when the fence does not hold, no part has written, and none should have. Nor may it have
        // moved some of several partitions.
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

/// A part of the statement: rows of one table, told column by column.
#[must_use]
pub(in crate::store) struct Part<'s, 'r, R> {
    statement: &'s mut Statement,
    table: &'static str,
    rows: &'r [R],
    keys: Vec<&'static str>,
    columns: Vec<&'static str>,
}

impl<'r, R> Part<'_, 'r, R> {
    /// A column of the primary key.
    pub(in crate::store) fn key<C>(
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

    /// Another column. Keys come first.
    pub(in crate::store) fn column<C>(
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

    /// A column that is written only where that makes sense.
    pub(in crate::store) fn column_if<C>(
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

    /// A column of texts that are sealed, each with the hold or order that it belongs to. Without keys it is not written.
    pub(in crate::store) fn sealed(
        self,
        name: &'static str,
        keys: &Keyring,
        value: impl Fn(&'r R) -> (Kind, HoldId, Option<&'r str>),
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

    /// Inserts the rows. One that is there is an error.
    pub(in crate::store) fn insert(self) {
        self.end(|table, new, names, _| {
            format!(
                "INSERT INTO {table} ({names}) SELECT * FROM {new} WHERE EXISTS (SELECT FROM fence)"
            )
        });
    }

    /// Inserts the rows, or sets the columns of those that are there.
    pub(in crate::store) fn upsert(self) {
        self.end(|table, new, names, part| {
            let keys = part.keys.join(", ");
            let set = assignments(&part.columns, "excluded");
            format!(
                "INSERT INTO {table} ({names}) SELECT * FROM {new} WHERE EXISTS (SELECT FROM fence)
                 ON CONFLICT ({keys}) DO UPDATE SET {set}"
            )
        });
    }

    /// Sets the columns of rows that are there, where a condition holds. It tells the new values as `new`.
    pub(in crate::store) fn update_where(self, condition: &'static str) {
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
