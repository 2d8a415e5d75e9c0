//! The model test: Holdfast and a simple model of the contract decide the same random sales. The outcomes and the rows are
//! compared after every step.
//!
//! There is no process, database or clock: only `holdfast_common::domain` and tables in memory. Every run prints its seed,
//! and `HOLDFAST_SEED` repeats the run. The model must not call methods of the domain. It shares only the types of outcomes
//! and rows with it.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod audit;
mod commands;
mod holds;
mod model;
mod payments;
mod random;
mod sale;
mod seen;
mod steps;
mod tables;
mod trail;

use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::seen::Seen;
use crate::steps::Script;

/// Random sales of one run.
const CASES: u32 = 10_000;

#[test]
fn outcomes_and_rows_agree_with_the_model() {
    let seed = seed();
    // Not `println!`, which is only shown for tests that fail.
    writeln!(io::stderr(), "HOLDFAST_SEED={seed} ({CASES} sales)").unwrap();
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed_bytes(seed));
    let mut runner = TestRunner::new_with_rng(config, rng);
    let seen = Seen::default();
    let result = runner.run(&random::scripts(), |script| {
        sale::run(&script, &seen).map_err(TestCaseError::fail)
    });
    match result {
        Ok(()) => seen.check(),
        Err(TestError::Fail(_, script)) => {
            let (script, reason) = shortest(script);
            panic!("HOLDFAST_SEED={seed}: {reason}\n{script:?}");
        }
        Err(TestError::Abort(reason)) => panic!("HOLDFAST_SEED={seed}: {reason}"),
    }
}

fn seed() -> u64 {
    match std::env::var("HOLDFAST_SEED") {
        Ok(text) => text.parse().unwrap(),
        // The standard library seeds its hash maps from the operating system.
        Err(_) => RandomState::new().hash_one(0),
    }
}

/// ChaCha takes 32 bytes. The first eight are the seed.
fn seed_bytes(seed: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes
}

/// Removes every step without which the script still fails. Proptest removes steps once and then simplifies them, after
/// which more steps can often go.
fn shortest(mut script: Script) -> (Script, String) {
    let mut reason = sale::run(&script, &Seen::default())
        .err()
        .unwrap_or_default();
    let mut place = 0;
    while place < script.steps.len() {
        let shorter = script.without(place);
        match sale::run(&shorter, &Seen::default()) {
            Ok(()) => place += 1,
            Err(error) => (script, reason, place) = (shorter, error, 0),
        }
    }
    (script, reason)
}
