//! Rules for the source tree: the length of test names, and the number of files in a folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const TEST_NAME_CHARS_MAX: usize = 60;
/// A crate's root may have more files: it is the folder with `lib.rs` or `main.rs`.
const FOLDER_FILES_MAX: usize = 12;
/// The folders with source files. `target` and other generated folders are not listed.
const SOURCES: [&str; 7] = [
    "bench", "cli", "common", "ingress", "stack", "tests", "workers",
];

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All Rust files below a folder of the repository.
pub(crate) fn rust_files(folder: &str) -> Vec<PathBuf> {
    let (mut folders, mut files) = (vec![root().join(folder)], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}

/// The names of the test functions in a source text.
fn test_names(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim_start) {
        is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        let function = line.strip_prefix("async ").unwrap_or(line);
        if let Some(function) = function.strip_prefix("fn ")
            && std::mem::take(&mut is_test)
        {
            names.push(function.split(['(', '<']).next().unwrap());
        }
    }
    names
}

#[test]
fn test_names_have_at_most_60_characters() {
    let (mut count, mut too_long) = (0, Vec::new());
    for file in SOURCES.iter().flat_map(|folder| rust_files(folder)) {
        let text = std::fs::read_to_string(&file).unwrap();
        let names = test_names(&text);
        count += names.len();
        let long = names.iter().filter(|name| name.len() > TEST_NAME_CHARS_MAX);
        too_long.extend(long.map(|name| format!("{}: {name}", file.display())));
    }
    assert!(count > 300, "only {count} tests were found");
    assert!(
        too_long.is_empty(),
        "shorten these names:\n{}",
        too_long.join("\n")
    );
}

#[test]
fn folders_have_at_most_12_source_files() {
    let mut folders: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    for file in SOURCES.iter().flat_map(|folder| rust_files(folder)) {
        let folder = file.parent().unwrap().to_owned();
        folders.entry(folder).or_default().push(file);
    }
    let is_root = |files: &[PathBuf]| {
        files
            .iter()
            .any(|file| file.ends_with("lib.rs") || file.ends_with("main.rs"))
    };
    let too_full: Vec<_> = folders
        .iter()
        .filter(|(_, files)| files.len() > FOLDER_FILES_MAX && !is_root(files))
        .map(|(folder, files)| format!("{}: {} files", folder.display(), files.len()))
        .collect();
    assert!(
        too_full.is_empty(),
        "split these folders:\n{}",
        too_full.join("\n")
    );
}
