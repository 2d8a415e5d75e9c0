//! Tests of the search for programs and of their download.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use holdfast_stack::{Programs, Sources, Stack, StackError, StackOptions};
use support::{accepts_connections, open_dir, quiet};

#[tokio::test]
async fn old_nats_server_in_nats_bin_is_rejected() {
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
async fn missing_program_in_pg_bin_names_the_setting() {
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
async fn old_nats_server_on_the_path_is_not_used() {
    let (old, new) = (open_dir(), open_dir());
    let old_server = fake_nats(old.path(), "2.9.10");
    let new_server = fake_nats(new.path(), "2.15.1");
    let path = std::env::join_paths([old.path(), new.path()]).unwrap();
    let lines = Mutex::new(String::new());
    let progress = |line: &str| lines.lock().unwrap().push_str(line);

    let programs = Programs::find(
        &Sources {
            path,
            ..only_nats(&new)
        },
        &progress,
    )
    .await
    .unwrap();
    assert_eq!(programs.nats_server(), Some(new_server.as_path()));
    let lines = lines.into_inner().unwrap();
    assert!(
        lines.contains(&format!("not using {}", old_server.display())),
        "{lines}"
    );
    assert!(lines.contains("2.9.10"), "{lines}");
}

#[tokio::test]
async fn wheels_are_downloaded_once_and_both_servers_run() {
    let dir = open_dir();
    let sources = Sources {
        database_url: None,
        cache_dir: dir.path().join("cache"),
        ..only_nats(&dir)
    };
    let downloads = Mutex::new(0);
    let progress =
        |line: &str| *downloads.lock().unwrap() += i32::from(line.starts_with("downloading"));
    // Two searches at the same time.
    let (first, second) = tokio::join!(
        Programs::find(&sources, &progress),
        Programs::find(&sources, &progress)
    );
    assert_eq!(
        first.unwrap().postgres_bin(),
        second.unwrap().postgres_bin()
    );
    assert_eq!(*downloads.lock().unwrap(), 1);

    let data = open_dir();
    let options = StackOptions {
        data_dir: data.path().into(),
        sources,
    };
    let stack = Stack::start(options, &progress).await.unwrap();
    assert!(accepts_connections(stack.database_url()).await);
    stack.stop().await.unwrap();
    assert_eq!(*downloads.lock().unwrap(), 1);
}

#[tokio::test]
async fn unusable_cache_error_names_the_settings() {
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

/// Sources that need no Postgres and have no NATS.
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

/// A program that prints a version. Another process writes it: a file that this process has open for writing while another
/// test forks can't be run.
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
