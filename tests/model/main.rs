//! The business rules, said twice: random sales are decided by Holdfast and by a naive model of the contract, and the
//! answers and the rows are compared after every step.
//!
//! No process, no database, no clock: only `holdfast_common::domain` and tables in memory. Every run prints its seed,
//! and `HOLDFAST_SEED` repeats it. Nothing in here may call a method of the domain to find out what is right; its types
//! are only a way to write answers and rows down.

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

/// How many random sales one run tries.
const CASES: u32 = 10_000;

#[test]
fn every_answer_and_every_row_is_what_the_rules_say() {
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

/// ChaCha takes 32 bytes; eight of them are the seed.
fn seed_bytes(seed: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes
}

/// Leaves out whatever a script fails without. Proptest does it once, and then makes steps simpler, after which more can
/// often go.
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
