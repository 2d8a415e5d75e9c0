//! Writes the audit: a row for each product of the batch, with an array element for each change.
//!
//! Each column is sent as one array with the elements of all rows, and Postgres slices each row's part out of it. So the
//! number of parameters does not grow with the changes and products.

use holdfast_common::domain::{AuditEntry, AuditGroup, Product};
use holdfast_common::partition::Partitions;
use serde_json::{Map, Value, json};
use sqlx::postgres::Postgres;
use sqlx::types::Uuid;
use sqlx::{Encode, QueryBuilder, Type};

use crate::store::fence::PartitionMove;
use crate::store::write::statement::Statement;

/// Inserts the entries of batches that move their partitions. The column `at` has Postgres's time as its default.
pub(super) fn insert(
    write: &mut Statement,
    groups: &[AuditGroup],
    moves: &[PartitionMove],
    partitions: Partitions,
) {
    if groups.is_empty() {
        return;
    }
    let entries: Vec<&AuditEntry> = groups.iter().flat_map(|group| &group.entries).collect();
    let moved = |group: &AuditGroup| {
        let partition = partitions.of(group.entries[0].slot);
        moves
            .iter()
            .find(|row| row.to.partition == partition)
            .map(|row| (partition.0, row.to.applied_seq))
    };
    write.insert("audit", groups.len(), |query| {
        query.push(
            "(slot, product_id, available_before, held_before, sold_before, detail, partition, log_seq, kind, actor,
                 request_id, subject, quantity, sequence, available_after, held_after, sold_after)
             SELECT slot, product_id, available, held, sold, detail::jsonb, partition, log_seq",
        );
        slice(query, "smallint", column(&entries, |entry| entry.kind as i16));
        slice(query, "smallint", column(&entries, |entry| entry.actor as i16));
        slice(query, "uuid", column(&entries, |entry| entry.request_id.map_or(Uuid::nil(), |id| id.uuid())));
        slice(query, "uuid", column(&entries, |entry| entry.subject.map_or(Uuid::nil(), |id| id.uuid())));
        slice(query, "integer", column(&entries, |entry| entry.quantity));
        slice(query, "bigint", column(&entries, |entry| entry.sequence));
        slice(query, "integer", column(&entries, |entry| units(entry.stock.available())));
        slice(query, "integer", column(&entries, |entry| units(entry.stock.held())));
        slice(query, "integer", column(&entries, |entry| units(entry.stock.sold())));
        query.push(" FROM UNNEST(");
        query.push_bind(column(groups, |group| group.entries[0].slot.as_i16())).push("::smallint[], ");
        query.push_bind(column(groups, |group| group.entries[0].product_id.map_or(0, |id| id.0))).push("::bigint[], ");
        query.push_bind(column(groups, |group| units(group.before.available()))).push("::integer[], ");
        query.push_bind(column(groups, |group| units(group.before.held()))).push("::integer[], ");
        query.push_bind(column(groups, |group| units(group.before.sold()))).push("::integer[], ");
        query.push_bind(column(groups, detail)).push("::text[], ");
        query.push_bind(column(groups, |group| Some(moved(group)?.0.cast_signed()))).push("::smallint[], ");
        query.push_bind(column(groups, |group| Some(moved(group)?.1.cast_signed()))).push("::bigint[], ");
        query.push_bind(ends(groups)).push("::integer[], ");
        query.push_bind(column(groups, |group| group.entries.len() as i32)).push(
            "::integer[]) AS new (slot, product_id, available, held, sold, detail, partition, log_seq, last, entries)
             WHERE EXISTS (SELECT FROM fence)",
        );
    });
}

/// One column of all entries, sliced for each row.
fn slice<C>(query: &mut QueryBuilder<Postgres>, kind: &str, values: Vec<C>)
where
    Vec<C>: Encode<'static, Postgres> + Type<Postgres> + 'static,
{
    query
        .push(", (")
        .push_bind(values)
        .push(format_args!("::{kind}[])[last - entries + 1:last]"));
}

fn column<'r, R, C>(rows: &'r [R], value: impl Fn(&'r R) -> C) -> Vec<C> {
    rows.iter().map(value).collect()
}

/// The number of each group's last entry among all entries, from 1. A batch has at most a few thousand entries.
fn ends(groups: &[AuditGroup]) -> Vec<i32> {
    let lengths = groups.iter().map(|group| group.entries.len() as i32);
    lengths
        .scan(0, |end, length| Some((*end += length, *end).1))
        .collect()
}

/// A count of units. It fits, since it is at most `STOCK_MAX`.
fn units(count: i64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// The terms of changed products before and after, by the number of the entry.
fn detail(group: &AuditGroup) -> Option<String> {
    let changed =
        group
            .entries
            .iter()
            .zip(1..)
            .filter_map(|(entry, number): (&AuditEntry, u32)| {
                let (before, after) = entry.change.as_deref()?;
                Some((
                    number.to_string(),
                    json!({"before": terms(before), "after": terms(after)}),
                ))
            });
    let changed: Map<String, Value> = changed.collect();
    (!changed.is_empty()).then(|| Value::from(changed).to_string())
}

fn terms(product: &Product) -> Value {
    json!({
        "name": product.name,
        "price_minor": product.price_minor,
        "currency": product.currency.code(),
        "max_per_customer": product.max_per_customer,
        "sale_starts_at": product.sale_starts_at.map(|time| time.to_string()),
        "sale_ends_at": product.sale_ends_at.map(|time| time.to_string()),
    })
}
