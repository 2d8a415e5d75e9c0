//! A killed parent can't stop its servers; the kernel must end them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use support::{children, ended, eventually, open_dir, start};

const DATA_DIR: &str = "HOLDFAST_STACK_TEST_PARENT";

/// The parent process in the test below. That test runs this program again with the variable set.
#[tokio::test]
#[ignore = "another test starts it"]
async fn parent() {
    let Some(data_dir) = std::env::var_os(DATA_DIR) else {
        return;
    };
    let stack = start(data_dir.as_ref()).await;
    for pid in stack.pids() {
        println!("started {pid}");
    }
    println!("started all");
    std::future::pending::<()>().await;
}

/// A process that is killed when the test ends, also when the test fails.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn killed_parent_leaves_no_process_and_no_lock() {
    let dir = open_dir();
    let parent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "parent", "--ignored", "--nocapture"])
        .env(DATA_DIR, dir.path())
        .stdout(Stdio::piped())
        .spawn();
    let mut parent = Killed(parent.unwrap());
    let lines = BufReader::new(parent.0.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let started: Vec<u32> = lines
        .filter_map(|line| Some(line.split_once("started ")?.1.to_owned()))
        .take_while(|word| word != "all")
        .map(|pid| pid.parse().unwrap())
        .collect();
    assert_eq!(started.len(), 2);
    let helpers: Vec<u32> = started.iter().flat_map(|&pid| children(pid)).collect();
    assert!(
        helpers.len() > 2,
        "Postgres has child processes: {helpers:?}"
    );

    drop(parent);
    // The test does not wait for their end, because a start must also work while an old Postgres still ends.
    start(dir.path()).await.stop().await.unwrap();
    eventually("all processes have ended", || {
        started.iter().chain(&helpers).all(|&pid| ended(pid))
    })
    .await;
}
