//! The blocks marked `sh` in README and docs run against `holdfast dev`, as a reader copies them into a shell. Blocks marked
//! `console` are commands that a test can't run, such as a build or a container; their commands and options must exist.

use std::path::Path;
use std::process::Stdio;

use holdfast_tests::{DEADLINE, Process, program};
use tokio::process::Command;

use super::{Block, blocks, documents, read, root};

/// The command of README that starts the sale; the test has started it before.
const DEV: &str = "cargo run --release -- dev\n";
/// The address in the documents; the test's sale has another port.
const ADDRESS: &str = "127.0.0.1:8080";
/// Makes curl fail when the response is an error.
const PRELUDE: &str = "set -euo pipefail\ncurl() { command curl --fail-with-body \"$@\"; }\n";
/// Programs of others in `console` blocks.
const OTHER_PROGRAMS: [&str; 6] = ["bash", "docker", "npx", "pngquant", "promtool", "systemctl"];

fn blocks_of(document: &str, language: &str) -> Vec<Block> {
    let mut found = blocks(&read(document));
    found.retain(|block| block.language == language);
    found
}

#[test]
fn blocks_have_a_known_language() {
    for document in documents() {
        for Block { language, text } in blocks(&read(&document)) {
            let is_known = ["", "console", "json", "sh", "sql"].contains(&language.as_str());
            assert!(is_known, "{document}: {language}: {text}");
        }
    }
}

#[tokio::test]
async fn sh_blocks_run() {
    // Postgres's user must be able to enter the directory.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    let scratch = tempfile::Builder::new()
        .permissions(mode)
        .tempdir()
        .unwrap();
    std::os::unix::fs::symlink(root().join("docs"), scratch.path().join("docs")).unwrap();
    let data = scratch.path().join(".holdfast");
    let settings = [("PORT".to_owned(), "0".to_owned())];
    let arguments = ["dev", "--data-dir", data.to_str().unwrap()];
    let log = scratch.path().join("log");
    let mut dev = Process::start(&program("holdfast"), &arguments, &settings, log);
    let ready = dev.line("ready: http://").await;
    let address = ready.trim_start_matches("ready: http://");

    for document in documents() {
        let blocks = blocks_of(&document, "sh").into_iter();
        let script: String = blocks
            .map(|block| block.text)
            .filter(|text| text != DEV)
            .collect();
        if script.is_empty() {
            continue;
        }
        let output = run(&script.replace(ADDRESS, address), scratch.path(), address).await;
        if document == "README.md" {
            assert!(output.contains("\"order_status\":\"paid\""), "{output}");
        }
    }
}

/// Runs a script as a user who has Holdfast's programs on the PATH, and returns its output.
async fn run(script: &str, directory: &Path, address: &str) -> String {
    let programs = program("holdfast");
    let path = format!(
        "{}:{}",
        programs.parent().unwrap().display(),
        std::env::var("PATH").unwrap()
    );
    let output = Command::new("bash")
        .args(["-c", &format!("{PRELUDE}{script}")])
        .current_dir(directory)
        .env("PATH", path)
        .env("HOLDFAST_URL", format!("http://{address}"))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(DEADLINE, output).await;
    let output = output.unwrap_or_else(|_| panic!("did not end: {script}"));
    let output = output.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}\n{text}\n{errors}");
    text
}

#[tokio::test]
async fn console_blocks_name_existing_commands() {
    for document in documents() {
        for block in blocks_of(&document, "console") {
            for line in block.text.replace("\\\n", " ").lines() {
                check(&document, line).await;
            }
        }
    }
}

/// Checks one command line: the program, its subcommands and its options.
async fn check(document: &str, line: &str) {
    let is_assignment = |word: &&str| word.split('=').next().unwrap().chars().all(is_variable);
    let words: Vec<_> = line
        .split_whitespace()
        .take_while(|word| !["#", "&", ">", "|"].contains(word))
        .skip_while(|word| is_assignment(word) && word.contains('='))
        .collect();
    let Some((first, arguments)) = words.split_first() else {
        return;
    };
    match *first {
        "export" => {}
        "cargo" => check_cargo(document, line, arguments).await,
        name if name.starts_with("holdfast") => {
            check_program(document, line, name, arguments).await
        }
        name => assert!(OTHER_PROGRAMS.contains(&name), "{document}: {line}"),
    }
}

fn is_variable(c: char) -> bool {
    c.is_ascii_uppercase() || c == '_'
}

/// Checks the arguments that `cargo run -p PACKAGE -- ARGUMENTS` passes on.
async fn check_cargo(document: &str, line: &str, arguments: &[&str]) {
    let package = arguments.iter().skip_while(|word| **word != "-p").nth(1);
    let name = package.copied().unwrap_or("holdfast");
    if arguments.first() == Some(&"run") {
        let passed = arguments.split(|word| *word == "--").nth(1);
        check_program(document, line, name, passed.unwrap_or_default()).await;
    }
}

async fn check_program(document: &str, line: &str, name: &str, arguments: &[&str]) {
    let is_option = |word: &&&str| word.starts_with('-');
    let is_name = |word: &&&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    let has_subcommands = name == "holdfast";
    let subcommands = arguments
        .iter()
        .take_while(|word| has_subcommands && !is_option(word))
        .filter(is_name);
    let output = Command::new(program(name))
        .args(subcommands)
        .arg("--help")
        .env_clear()
        .output()
        .await
        .unwrap_or_else(|error| panic!("{document}: {line}: {error}"));
    let help = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{document}: {line}: {output:?}");
    for option in arguments.iter().filter(is_option) {
        let option = option.split('=').next().unwrap();
        assert!(help.contains(option), "{document}: {line}: {option}");
    }
}
