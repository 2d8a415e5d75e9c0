//! The table of docs/settings.md has every setting that the programs read, with its default, and no other setting.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_tests::program;
use tokio::process::Command;

use crate::source_tree::{root, rust_files};

/// Files that read the environment without an option of `--help`, and the variables that they read.
const OTHERWISE: [(&str, &[&str]); 6] = [
    ("common/src/telemetry.rs", &["RUST_LOG"]),
    (
        "common/src/traces.rs",
        &["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_SERVICE_NAME"],
    ),
    ("stack/src/postgres.rs", &["LC_ALL", "PG_VERSION"]),
    (
        "stack/src/programs.rs",
        &[
            "DATABASE_URL",
            "NATS_BIN",
            "NATS_URL",
            "PG_BIN",
            "XDG_CACHE_HOME",
        ],
    ),
    ("workers/src/apply/crash_points.rs", &["HOLDFAST_CRASH_AT"]),
    ("workers/src/lib.rs", &[]),
];
/// Names of `OTHERWISE` that are no settings of Holdfast: variables of the system, OpenTelemetry, cargo and a test, and a file's name.
const OF_OTHERS: [&str; 5] = [
    "HOLDFAST_CRASH_AT",
    "LC_ALL",
    "OTEL_SERVICE_NAME",
    "PG_VERSION",
    "XDG_CACHE_HOME",
];

async fn help(name: &str, command: &[String]) -> String {
    let output = Command::new(program(name))
        .args(command)
        .arg("-h")
        .env_clear()
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{name} {command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The settings of all programs and their commands, each with its default.
async fn taken() -> BTreeMap<String, Option<String>> {
    let mut taken = BTreeMap::new();
    let mut left = ["holdfast", "holdfast-ingress", "holdfast-workers"]
        .map(|name| (name, Vec::new()))
        .to_vec();
    while let Some((name, command)) = left.pop() {
        let text = help(name, &command).await;
        let commands = text
            .split_once("\nCommands:\n")
            .map_or("", |(_, rest)| rest.split("\n\n").next().unwrap());
        for line in commands
            .lines()
            .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        {
            let sub = line.split_whitespace().next().unwrap().to_owned();
            if sub != "help" {
                left.push((name, [command.clone(), vec![sub]].concat()));
            }
        }
        for option in text.split("[env: ").skip(1) {
            let setting = option.split(['=', ']']).next().unwrap().to_owned();
            let default = option
                .split_once("[default: ")
                .and_then(|(_, rest)| rest.split_once(']'));
            taken.insert(setting, default.map(|(default, _)| default.to_owned()));
        }
    }
    taken
}

/// The settings of the table, each with its default.
fn documented() -> BTreeMap<String, String> {
    let page = std::fs::read_to_string(root().join("docs/settings.md")).unwrap();
    let (_, table) = page
        .split_once("| setting | default | meaning |\n|---|---|---|\n")
        .unwrap();
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let rows = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
    let rows: Vec<_> = rows
        .map(|cells| (cells[1].trim_matches('`').to_owned(), cells[2].to_owned()))
        .collect();
    let names: BTreeMap<_, _> = rows.iter().cloned().collect();
    assert_eq!(names.len(), rows.len(), "a setting has two rows");
    names
}

#[tokio::test]
async fn settings_table_matches_the_programs() {
    let (taken, documented) = (taken().await, documented());
    let otherwise = OTHERWISE
        .iter()
        .flat_map(|(_, names)| *names)
        .filter(|name| !OF_OTHERS.contains(name));
    let read: BTreeSet<&str> = taken
        .keys()
        .map(String::as_str)
        .chain(otherwise.copied())
        .collect();
    let listed: BTreeSet<&str> = documented.keys().map(String::as_str).collect();
    assert_eq!(
        read.difference(&listed).collect::<Vec<_>>(),
        Vec::<&&str>::new(),
        "read by a program, but missing in docs/settings.md"
    );
    assert_eq!(
        listed.difference(&read).collect::<Vec<_>>(),
        Vec::<&&str>::new(),
        "in docs/settings.md, but read by no program"
    );
    for (name, default) in taken {
        // Skips defaults that are a sentence.
        let Some(default) = default.filter(|default| !default.contains([',', ' ', '"'])) else {
            continue;
        };
        assert!(
            documented[&name].replace('`', "").starts_with(&default),
            "{name} is {default:?} when it is not set"
        );
    }
}

#[test]
fn docker_compose_sets_only_known_settings() {
    let text = std::fs::read_to_string(root().join("docker-compose.yml")).unwrap();
    let variables = text
        .lines()
        .filter_map(|line| line.trim().split_once(": "))
        .map(|(name, _)| name);
    let is_variable = |name: &&str| name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    let of_images = ["POSTGRES_", "GF_"];
    let settings: Vec<_> = variables
        .filter(is_variable)
        .filter(|name| !of_images.iter().any(|prefix| name.starts_with(prefix)))
        .collect();
    assert!(settings.contains(&"DATABASE_URL"), "{settings:?}");
    let documented = documented();
    assert!(
        settings.iter().all(|name| documented.contains_key(*name)),
        "{settings:?}"
    );
}

/// The string literals of a file that look like names of variables. Names of one word, such as `PATH`, are not found.
fn variables(text: &str) -> BTreeSet<&str> {
    let is_name = |word: &&str| {
        word.contains('_') && word.chars().all(|c| c.is_ascii_uppercase() || c == '_')
    };
    text.split('"').skip(1).step_by(2).filter(is_name).collect()
}

#[test]
fn environment_is_read_only_in_listed_files() {
    let programs = [
        "cli/src",
        "common/src",
        "ingress/src",
        "stack/src",
        "workers/src",
    ];
    let mut readers = BTreeSet::new();
    for file in programs.iter().flat_map(|folder| rust_files(folder)) {
        let text = std::fs::read_to_string(&file).unwrap();
        if ["env::var", "from_default_env"]
            .iter()
            .any(|call| text.contains(call))
        {
            readers.insert(
                file.strip_prefix(root())
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned(),
            );
        }
    }
    assert_eq!(
        readers,
        OTHERWISE
            .iter()
            .map(|(file, _)| (*file).to_owned())
            .collect(),
        "read a setting as an option instead"
    );
    for (file, names) in OTHERWISE {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        // The library that reads `RUST_LOG` has its name.
        let expected: BTreeSet<_> = names
            .iter()
            .copied()
            .filter(|name| *name != "RUST_LOG")
            .collect();
        assert_eq!(
            variables(&text),
            expected,
            "{file}: list it here, and in docs/settings.md if it is a setting"
        );
    }
}
