//! Tests that routes, description and the documented list of calls agree.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::http::openapi;
use crate::routes::{description, limited_by_address, unlimited};

/// Paths of pages, which other clients do not need. axum shows the fallback as `/`.
const UNDESCRIBED: [&str; 6] = [
    "/docs/{file}",
    "/",
    "/console",
    "/console/session",
    "/demo/payments",
    "/assets/{hash}/{*file}",
];

fn document() -> Value {
    serde_json::to_value(description()).unwrap()
}

/// The paths of the router. axum shows them only in its `Debug` output.
fn routed() -> BTreeSet<String> {
    let shown = format!("{:?}", super::joined(limited_by_address()));
    let texts = shown.split('"').skip(1).step_by(2);
    texts
        .filter(|text| text.starts_with('/') && !text.contains("__private"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn routed_paths_are_described() {
    let mut described: BTreeSet<String> = description()
        .paths
        .paths
        .into_iter()
        .map(|(path, _)| path)
        .collect();
    described.extend(UNDESCRIBED.map(str::to_owned));
    assert_eq!(routed(), described);
}

#[test]
fn table_of_calls_has_every_described_call() {
    let page = include_str!("../../../docs/api.md");
    let mut listed = BTreeSet::new();
    for row in page.lines().filter(|line| {
        ["GET", "POST", "PATCH", "DELETE"]
            .iter()
            .any(|method| line.starts_with(&format!("| `{method} /")))
    }) {
        let cell = row.split('|').nth(1).unwrap_or_default();
        let mut last = String::new();
        for call in cell.split('`').skip(1).step_by(2) {
            let call = match call.strip_prefix("…/") {
                Some(end) => format!("{}/{end}", last.rsplit_once('/').unwrap().0),
                None => call
                    .split('?')
                    .next()
                    .unwrap_or_default()
                    .replace("{id or reference}", "{id}"),
            };
            last.clone_from(&call);
            listed.insert(call);
        }
    }
    assert_eq!(listed, openapi::calls(&description()));
}

#[test]
fn codes_of_annotations_match_their_status() {
    for api in [
        limited_by_address().into_openapi(),
        unlimited().into_openapi(),
    ] {
        let api = serde_json::to_value(api).unwrap();
        for (path, item) in api["paths"].as_object().unwrap() {
            for operation in item.as_object().unwrap().values() {
                for (status, response) in operation["responses"].as_object().unwrap() {
                    if status.starts_with(['2', '3']) {
                        continue;
                    }
                    for code in response["description"].as_str().unwrap().split(", ") {
                        let known = openapi::status_of(code).map(|status| status.to_string());
                        assert_eq!(known.as_ref(), Some(status), "{code} of {path}");
                    }
                }
            }
        }
    }
}

#[test]
fn references_resolve_and_components_are_used() {
    let document = document();
    let text = document.to_string();
    let used: BTreeSet<&str> = text
        .split("\"$ref\":\"#")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap_or_default())
        .collect();
    for reference in &used {
        assert!(document.pointer(reference).is_some(), "{reference}");
    }
    for kind in ["schemas", "responses", "headers"] {
        for name in document["components"][kind].as_object().unwrap().keys() {
            let reference = format!("/components/{kind}/{name}");
            assert!(used.contains(reference.as_str()), "{reference}");
        }
    }
}

#[test]
fn operations_have_a_unique_id_a_summary_and_a_tag() {
    let document = document();
    let tags: BTreeSet<_> = document["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| tag["name"].as_str())
        .collect();
    let mut names = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for operation in item.as_object().unwrap().values() {
            assert!(
                names.insert(operation["operationId"].as_str().unwrap().to_owned()),
                "not unique: {operation}"
            );
            assert!(
                operation["summary"]
                    .as_str()
                    .is_some_and(|summary| !summary.is_empty()),
                "{path}"
            );
            assert!(tags.contains(&operation["tags"][0].as_str()), "{path}");
        }
    }
}
