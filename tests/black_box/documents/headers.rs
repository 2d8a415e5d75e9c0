//! Each Rust file begins with a header (`//!`) that says what the module is. The lint `missing_docs` would also ask for docs
//! that only repeat a name.

use std::path::{Path, PathBuf};

use super::root;

const CRATES: [&str; 7] = [
    "bench", "cli", "common", "ingress", "stack", "tests", "workers",
];

fn collect_sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect_sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_module_has_a_header() {
    let mut files = Vec::new();
    for name in CRATES {
        collect_sources(&root().join(name), &mut files);
    }
    assert!(files.len() > 300, "{} files", files.len());
    files.retain(|file| !std::fs::read_to_string(file).unwrap().starts_with("//! "));
    assert!(files.is_empty(), "missing: {files:#?}");
}
