//! The documents have a part for each thing that they promise to describe.

use std::collections::BTreeSet;

use holdfast_ingress::http::problem::codes::ALL;
use holdfast_tests::program;
use tokio::process::Command;

use super::{prose, read};

/// The headings of the third level.
fn sections(page: &str) -> BTreeSet<String> {
    prose(page)
        .filter_map(|line| line.strip_prefix("### "))
        .map(str::to_owned)
        .collect()
}

#[test]
fn problem_codes_have_sections_in_the_api_page() {
    let page = read("docs/api.md");
    let (_, problems) = page.split_once("\n## Problem codes\n").unwrap();
    let codes = ALL.iter().map(|code| code.name.to_owned());
    assert_eq!(sections(problems), codes.collect());
    for code in ALL {
        let beginning = format!("\n### {}\n\n{}", code.name, code.status.as_u16());
        assert!(
            page.contains(&beginning),
            "{} has another status",
            code.name
        );
    }
}

#[test]
fn alerts_have_sections_in_the_operation_page() {
    let rules = read("deploy/prometheus/rules.yml");
    let alerts = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .map(str::to_owned);
    let page = read("docs/operate.md");
    let (_, described) = page.split_once("\n## Alerts\n").unwrap();
    assert_eq!(sections(described), alerts.collect());
}

#[tokio::test]
async fn operation_page_lists_every_command() {
    let help = Command::new(program("holdfast")).arg("-h").output().await;
    let help = String::from_utf8(help.unwrap().stdout).unwrap();
    let (_, commands) = help.split_once("\nCommands:\n").unwrap();
    let commands = commands.lines().take_while(|line| !line.is_empty());
    let page = read("docs/operate.md");
    for command in commands.filter_map(|line| line.split_whitespace().next()) {
        let is_listed = page.contains(&format!("\n| `holdfast {command}"));
        assert!(is_listed || command == "help", "{command}");
    }
}

#[test]
fn index_has_every_page() {
    let index = read("docs/README.md");
    for document in super::documents() {
        let name = document.strip_prefix("docs/").unwrap_or_default();
        if !name.is_empty() && !name.contains('/') && name != "README.md" {
            assert!(index.contains(&format!("]({name})")), "{name}");
        }
    }
}

#[test]
fn readme_is_short() {
    let readme = read("README.md");
    let (lines, words) = (readme.lines().count(), readme.split_whitespace().count());
    assert!(
        lines <= 120 && words <= 1000,
        "{lines} lines, {words} words"
    );
}
