//! The map of ARCHITECTURE.md has every source folder, and documents name only files that exist.

use std::path::Path;

use super::{prose, read, root};

const SOURCES: [&str; 7] = [
    "bench/src",
    "cli/src",
    "common/src",
    "ingress/src",
    "stack/src",
    "tests",
    "workers/src",
];

/// Adds all folders with Rust sources, as paths below the root.
fn collect_folders(folder: &Path, found: &mut Vec<String>) {
    let entries: Vec<_> = std::fs::read_dir(root().join(folder))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let is_source = |name: &Path| name.extension().is_some_and(|ending| ending == "rs");
    if entries.iter().any(|entry| is_source(&entry.path())) {
        found.push(folder.to_str().unwrap().to_owned());
    }
    for entry in entries {
        if entry.path().is_dir() {
            collect_folders(&folder.join(entry.file_name()), found);
        }
    }
}

#[test]
fn map_names_every_source_folder() {
    let map = read("ARCHITECTURE.md");
    let mut folders = Vec::new();
    for folder in SOURCES {
        collect_folders(Path::new(folder), &mut folders);
    }
    folders.retain(|folder| !map.contains(&format!("`{folder}`")));
    assert!(folders.is_empty(), "missing: {folders:#?}");
}

/// Whether a quoted text is the path of a file or folder of this repository.
fn is_path(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let folders = [
        "bench/",
        "cli/",
        "common/",
        "deploy/",
        "docs/",
        "ingress/",
        "migrations/",
        "stack/",
        "tests/",
        "workers/",
    ];
    text.chars().all(is_plain) && folders.iter().any(|folder| text.starts_with(folder))
}

#[test]
fn documents_name_only_existing_files() {
    let mut missing = Vec::new();
    for document in super::documents() {
        let text = prose(&read(&document)).collect::<Vec<_>>().join("\n");
        let quoted = text.split('`').skip(1).step_by(2);
        let paths = quoted.filter(|text| is_path(text) && !root().join(text).exists());
        missing.extend(paths.map(|path| format!("{document}: {path}")));
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// Each row of the map begins with a folder; names without a folder are files in it.
#[test]
fn map_rows_name_files_of_their_folder() {
    let is_file = |text: &&str| {
        let (stem, ending) = text.split_once('.').unwrap_or_default();
        let is_stem = stem.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        is_stem && !stem.is_empty() && ["js", "rs", "sql"].contains(&ending)
    };
    let mut missing = Vec::new();
    for row in read("ARCHITECTURE.md").lines() {
        if row.starts_with("| `") {
            let mut quoted = row.split('`').skip(1).step_by(2);
            let folder = root().join(quoted.next().unwrap());
            let files = quoted.filter(is_file).map(|file| folder.join(file));
            missing.extend(files.filter(|file| !file.exists()));
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}
