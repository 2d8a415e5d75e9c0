//! The output of commands: tables and sentences for people, JSON for programs.

use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;
use comfy_table::Table;
use serde_json::Value;

/// `--json` of a command that prints a list.
#[derive(Args)]
pub(crate) struct ListOutput {
    /// Print JSON Lines: one JSON object per line. An empty list prints nothing
    #[arg(long)]
    pub(crate) json: bool,
}

impl ListOutput {
    /// Prints each row as a JSON object, or all rows as a table.
    pub(crate) fn print<T, const COLUMNS: usize>(
        &self,
        rows: &[T],
        document: impl Fn(&T) -> Value,
        headers: [&str; COLUMNS],
        cells: impl Fn(&T) -> [String; COLUMNS],
    ) {
        if self.json {
            rows.iter().for_each(|row| println!("{}", document(row)));
            return;
        }
        let mut table = Table::new();
        table.set_header(headers);
        rows.iter().for_each(|row| _ = table.add_row(cells(row)));
        println!("{table}");
    }
}

/// `--json` of a command that prints one result.
#[derive(Args)]
pub(crate) struct ResultOutput {
    /// Print the result as one JSON object on one line
    #[arg(long)]
    pub(crate) json: bool,
}

impl ResultOutput {
    pub(crate) fn print(&self, document: &Value, text: &str) {
        if self.json {
            println!("{document}");
        } else {
            println!("{text}");
        }
    }
}

/// A table's cell for a time, to the second.
pub(crate) fn seconds(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
