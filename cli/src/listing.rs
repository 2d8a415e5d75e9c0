//! How a command shows a list: to people as a table, to programs as JSON, an object a line.

use chrono::{DateTime, SecondsFormat, Utc};
use comfy_table::Table;
use serde_json::Value;

/// Shows rows; each as JSON, or as cells below these heads.
pub(crate) fn show<T, const COLUMNS: usize>(
    rows: &[T],
    is_json: bool,
    document: impl Fn(&T) -> Value,
    heads: [&str; COLUMNS],
    cells: impl Fn(&T) -> [String; COLUMNS],
) {
    if is_json {
        rows.iter().for_each(|row| println!("{}", document(row)));
        return;
    }
    let mut table = Table::new();
    table.set_header(heads);
    rows.iter().for_each(|row| _ = table.add_row(cells(row)));
    println!("{table}");
}

/// A time in a cell, to the second.
pub(crate) fn seconds(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
