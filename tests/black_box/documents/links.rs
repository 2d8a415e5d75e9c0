//! Every relative link of a document leads to a file, and every anchor to a heading.

use std::collections::BTreeSet;

use super::{documents, prose, read, root};

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = prose(page).filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = text
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.collect::<String>().replace(' ', "-")
    };
    headings.map(anchor).collect()
}

/// The targets of a page's links and pictures.
fn targets(page: &str) -> Vec<String> {
    let text = prose(page).collect::<Vec<_>>().join("\n");
    let mut targets = Vec::new();
    for (opening, closing) in [("](", ')'), ("src=\"", '"'), ("srcset=\"", '"')] {
        let parts = text.split(opening).skip(1);
        targets.extend(parts.map(|part| part.split(closing).next().unwrap().to_owned()));
    }
    targets
}

#[test]
fn relative_links_and_anchors_resolve() {
    let mut broken = Vec::new();
    for document in documents() {
        let page = read(&document);
        for target in targets(&page) {
            if target.starts_with("https://") || target.starts_with("http://") {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let linked = if path.is_empty() {
                root().join(&document)
            } else {
                root().join(&document).parent().unwrap().join(path)
            };
            let has_anchor = || {
                let linked = std::fs::read_to_string(&linked).unwrap_or_default();
                anchors(&linked).contains(anchor)
            };
            if !linked.exists() || !(anchor.is_empty() || has_anchor()) {
                broken.push(format!("{document}: {target}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}
