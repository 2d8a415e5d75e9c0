//! The documents have a part for each thing that they promise to describe.

use std::collections::BTreeSet;

use holdfast_tests::Sale;
use serde_json::Value;

use super::{prose, read};

/// The headings of the third level.
fn sections(page: &str) -> BTreeSet<String> {
    prose(page)
        .filter_map(|line| line.strip_prefix("### "))
        .map(str::to_owned)
        .collect()
}

/// Adds every `code` that a schema of the description lists.
fn collect_codes(value: &Value, codes: &mut BTreeSet<String>) {
    if let Some(listed) = value
        .pointer("/properties/code/enum")
        .and_then(Value::as_array)
    {
        codes.extend(listed.iter().filter_map(Value::as_str).map(str::to_owned));
    }
    match value {
        Value::Object(members) => members.values().for_each(|one| collect_codes(one, codes)),
        Value::Array(items) => items.iter().for_each(|one| collect_codes(one, codes)),
        _ => {}
    }
}

#[tokio::test]
async fn every_problem_code_has_a_section_in_the_api_page() {
    let sale = Sale::start().await;
    let description = sale.client().get("/openapi.json").await.body;
    let mut codes = BTreeSet::new();
    collect_codes(&description, &mut codes);
    assert!(codes.len() > 30, "{codes:?}");
    // Of paths that the description does not have.
    codes.insert("not_found".to_owned());
    codes.insert("method_not_allowed".to_owned());
    let page = read("docs/api.md");
    let (_, problems) = page.split_once("\n## Problem codes\n").unwrap();
    assert_eq!(sections(problems), codes);
}

#[test]
fn every_alert_has_a_section_in_the_operation_page() {
    let rules = read("deploy/prometheus/rules.yml");
    let alerts = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .map(str::to_owned);
    let page = read("docs/operate.md");
    let (_, described) = page.split_once("\n## Alerts\n").unwrap();
    assert_eq!(sections(described), alerts.collect());
}

#[test]
fn every_page_is_in_the_index() {
    let index = read("docs/README.md");
    for document in super::documents() {
        let name = document.strip_prefix("docs/").unwrap_or_default();
        if !name.is_empty() && !name.contains('/') && name != "README.md" {
            assert!(index.contains(&format!("]({name})")), "{name}");
        }
    }
}

#[test]
fn the_readme_is_short() {
    let readme = read("README.md");
    let (lines, words) = (readme.lines().count(), readme.split_whitespace().count());
    assert!(
        lines <= 120 && words <= 1000,
        "{lines} lines, {words} words"
    );
}
