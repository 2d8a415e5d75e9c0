//! Tests of the local stack with real programs. Each test has its own directory, and its servers end with the test.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use holdfast_stack::{Sources, Stack, StackError, StackOptions, remove_data};
use support::{
    accepts_connections, ended, eventually, jetstream, open_dir, password, quiet, start,
};

#[tokio::test]
async fn stack_starts_without_data_and_stops() {
    let dir = open_dir();
    let stack = start(dir.path()).await;
    let pids = stack.pids();
    assert_eq!(pids.len(), 2);
    assert!(accepts_connections(stack.database_url()).await);
    assert!(
        jetstream(stack.nats_url(), "STREAM.NAMES", "")
            .await
            .contains("\"streams\"")
    );

    stack.stop().await.unwrap();
    assert!(pids.into_iter().all(ended));
}

#[tokio::test]
async fn stack_keeps_its_data_over_a_restart() {
    let dir = open_dir();
    let stack = start(dir.path()).await;
    let before = password(stack.database_url());
    create_stream(stack.nats_url()).await;
    stack.stop().await.unwrap();

    let stack = start(dir.path()).await;
    assert_eq!(password(stack.database_url()), before);
    assert!(accepts_connections(stack.database_url()).await);
    assert!(has_stream(stack.nats_url()).await);
    stack.stop().await.unwrap();
}

#[tokio::test]
async fn killed_servers_restart_with_their_port_and_data() {
    let dir = open_dir();
    let mut stack = start(dir.path()).await;
    let before = stack.pids();
    create_stream(stack.nats_url()).await;

    let postgres = stack.postgres_mut().unwrap();
    let url = postgres.url();
    postgres.kill().await.unwrap();
    assert_eq!(postgres.pid(), None);
    assert!(!accepts_connections(&url).await);
    postgres.start().await.unwrap();
    assert_eq!(postgres.url(), url);
    assert!(accepts_connections(&url).await);

    let nats = stack.nats_mut().unwrap();
    let url = nats.url();
    nats.kill().await.unwrap();
    nats.start().await.unwrap();
    assert_eq!(nats.url(), url);
    assert!(has_stream(&url).await);

    assert!(stack.pids().iter().all(|pid| !before.contains(pid)));
    stack.stop().await.unwrap();
}

#[test]
fn servers_outlive_the_runtime_that_started_them() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let dir = open_dir();
    let stack = std::thread::scope(|scope| {
        let started = scope.spawn(|| runtime().block_on(start(dir.path())));
        started.join().unwrap()
    });
    runtime().block_on(async {
        assert!(accepts_connections(stack.database_url()).await);
        assert!(
            jetstream(stack.nats_url(), "STREAM.NAMES", "")
                .await
                .contains("\"streams\"")
        );
        stack.stop().await.unwrap();
    });
}

#[tokio::test]
async fn dropped_stack_ends_its_processes() {
    let dir = open_dir();
    let stack = start(dir.path()).await;
    let pids = stack.pids();
    drop(stack);
    eventually("both have ended", || pids.iter().all(|&pid| ended(pid))).await;
}

#[tokio::test]
async fn directory_in_use_rejects_another_stack_and_removal() {
    let dir = open_dir();
    let stack = start(dir.path()).await;
    let second = Stack::start(StackOptions::new(dir.path()), &quiet)
        .await
        .unwrap_err();
    assert!(
        second.to_string().contains("another Holdfast process uses"),
        "{second}"
    );
    assert!(matches!(
        remove_data(dir.path()).await,
        Err(StackError::InUse { .. })
    ));
    stack.stop().await.unwrap();
    start(dir.path()).await.stop().await.unwrap();
}

#[tokio::test]
async fn removal_removes_only_the_data_of_holdfast() {
    let dir = open_dir();
    let others = dir.path().join("notes.txt");
    fs::write(&others, "mine").unwrap();
    start(dir.path()).await.stop().await.unwrap();

    remove_data(dir.path()).await.unwrap();
    let left: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(left, [others]);
    remove_data(&dir.path().join("does not exist"))
        .await
        .unwrap();
}

#[tokio::test]
async fn directory_with_files_of_others_is_not_changed() {
    let dir = open_dir();
    let others = dir.path().join("postgres");
    fs::create_dir(&others).unwrap();
    let refused = Stack::start(StackOptions::new(dir.path()), &quiet)
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, StackError::Foreign { path } if path.ends_with("postgres")),
        "{refused}"
    );
    remove_data(dir.path()).await.unwrap();
    assert!(others.is_dir());
}

#[tokio::test]
async fn interrupted_initdb_is_repeated() {
    let dir = open_dir();
    let unfinished = dir.path().join("postgres/data.new");
    fs::write(dir.path().join("holdfast.lock"), "").unwrap();
    fs::create_dir_all(&unfinished).unwrap();
    fs::write(unfinished.join("PG_VERSION"), "15\n").unwrap();

    let stack = start(dir.path()).await;
    assert!(accepts_connections(stack.database_url()).await);
    stack.stop().await.unwrap();
    assert!(!unfinished.exists());
}

#[tokio::test]
async fn server_that_fails_to_start_shows_the_end_of_its_log() {
    let dir = open_dir();
    start(dir.path()).await.stop().await.unwrap();
    let settings = dir.path().join("postgres/data/postgresql.conf");
    fs::write(&settings, "no_such_setting = 1\n").unwrap();

    let failed = Stack::start(StackOptions::new(dir.path()), &quiet)
        .await
        .unwrap_err();
    assert!(failed.to_string().contains("no_such_setting"), "{failed}");
}

#[tokio::test]
async fn data_of_another_major_version_is_rejected() {
    let dir = open_dir();
    start(dir.path()).await.stop().await.unwrap();
    fs::write(dir.path().join("postgres/data/PG_VERSION"), "9\n").unwrap();

    let refused = Stack::start(StackOptions::new(dir.path()), &quiet)
        .await
        .unwrap_err();
    assert!(
        matches!(refused, StackError::DataVersion { made_by: 9, .. }),
        "{refused}"
    );
}

#[tokio::test]
async fn servers_with_urls_are_not_started() {
    let dir = open_dir();
    let data_dir = dir.path().join("data");
    let sources = Sources {
        database_url: Some("postgres://elsewhere/shop".into()),
        nats_url: Some("nats://elsewhere".into()),
        ..Sources::from_env()
    };
    let stack = Stack::start(
        StackOptions {
            data_dir: data_dir.clone(),
            sources,
        },
        &quiet,
    )
    .await
    .unwrap();
    assert_eq!(stack.database_url(), "postgres://elsewhere/shop");
    assert_eq!(stack.nats_url(), "nats://elsewhere");
    assert_eq!(stack.pids(), []);
    assert!(!data_dir.exists());
}

#[tokio::test]
async fn root_keeps_postgres_data_outside_a_closed_directory() {
    if !nix::unistd::Uid::effective().is_root() {
        return;
    }
    let dir = open_dir();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let data_dir = dir.path().join("data");
    start(&data_dir).await.stop().await.unwrap();
    let link = data_dir.join("postgres");
    let target = fs::read_link(&link).unwrap();
    assert!(target.join("data/PG_VERSION").is_file());

    // After a removal by hand Postgres gets new data: its old data would not fit the new data of NATS.
    let old = fs::read_to_string(target.join("password")).unwrap();
    fs::remove_dir_all(&data_dir).unwrap();
    start(&data_dir).await.stop().await.unwrap();
    assert_ne!(fs::read_to_string(target.join("password")).unwrap(), old);

    remove_data(&data_dir).await.unwrap();
    assert!(!target.exists());
    assert!(fs::symlink_metadata(link).is_err());
}

async fn create_stream(url: &str) {
    let response = jetstream(
        url,
        "STREAM.CREATE.kept",
        r#"{"name":"kept","subjects":["kept"]}"#,
    )
    .await;
    assert!(response.contains("\"created\""), "{response}");
}

async fn has_stream(url: &str) -> bool {
    jetstream(url, "STREAM.NAMES", "")
        .await
        .contains("\"kept\"")
}
