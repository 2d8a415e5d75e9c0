//! README's table of settings is what the programs read: no more, no less, with the same defaults.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use holdfast_tests::program;
use tokio::process::Command;

/// Who reads the environment by other means than the options that `--help` tells, and what.
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
/// What of that is no setting of Holdfast's: the system's, OpenTelemetry's, cargo's, a test's, and the name of a file.
const OF_OTHERS: [&str; 5] = [
    "HOLDFAST_CRASH_AT",
    "LC_ALL",
    "OTEL_SERVICE_NAME",
    "PG_VERSION",
    "XDG_CACHE_HOME",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

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

/// What all programs and their commands take from the environment, with what stands for it when it is not set.
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

/// README's table: what stands for each setting when it is not set.
fn documented() -> BTreeMap<String, String> {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let (_, table) = readme
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
async fn the_table_of_settings_has_what_programs_read_and_nothing_else() {
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
    let told: BTreeSet<&str> = documented.keys().map(String::as_str).collect();
    assert_eq!(
        read.difference(&told).collect::<Vec<_>>(),
        Vec::<&&str>::new(),
        "read, and not in README"
    );
    assert_eq!(
        told.difference(&read).collect::<Vec<_>>(),
        Vec::<&&str>::new(),
        "in README, and read by nobody"
    );
    for (name, default) in taken {
        // No text, or what a sentence of its own tells people.
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
fn docker_compose_sets_what_there_is() {
    let text = std::fs::read_to_string(root().join("docker-compose.yml")).unwrap();
    let variables = text
        .lines()
        .filter_map(|line| line.trim().split_once(": "))
        .map(|(name, _)| name);
    let is_variable = |name: &&str| name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    let of_images = ["POSTGRES_", "GF_"];
    let ours: Vec<_> = variables
        .filter(is_variable)
        .filter(|name| !of_images.iter().any(|prefix| name.starts_with(prefix)))
        .collect();
    assert!(ours.contains(&"DATABASE_URL"), "{ours:?}");
    let documented = documented();
    assert!(
        ours.iter().all(|name| documented.contains_key(*name)),
        "{ours:?}"
    );
}

/// The words of a file that look like variables' names. Those of the system that are one word are not told from others.
fn variables(text: &str) -> BTreeSet<&str> {
    let is_name = |word: &&str| {
        word.contains('_') && word.chars().all(|c| c.is_ascii_uppercase() || c == '_')
    };
    text.split('"').skip(1).step_by(2).filter(is_name).collect()
}

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn nobody_else_reads_the_environment() {
    let mut files = Vec::new();
    for room in [
        "cli/src",
        "common/src",
        "ingress/src",
        "stack/src",
        "workers/src",
    ] {
        sources(&root().join(room), &mut files);
    }
    let mut readers = BTreeSet::new();
    for file in files {
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
        "take a setting as an option"
    );
    for (file, names) in OTHERWISE {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        // A library knows the name of this one.
        let expected: BTreeSet<_> = names
            .iter()
            .copied()
            .filter(|name| *name != "RUST_LOG")
            .collect();
        assert_eq!(
            variables(&text),
            expected,
            "{file}: list it here, and in README's table if it is a setting"
        );
    }
}
