//! Everything that reads what strangers send, fed with the files of `tests/fuzz/corpus` as they are and bent at random.
//!
//! Each folder of the corpus belongs to one parser; what may be said of its result whatever it reads is in [`targets`]. An
//! input on which that fails is printed: saved as a file of the corpus it is tried first from then on.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod bend;
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::bend::bend;
use crate::targets::Target;

/// How often each file of the corpus is bent.
const TIMES: usize = 1500;

/// The files of a folder of the corpus, in an order that is the same everywhere.
fn corpus(folder: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
        .into_iter()
        .map(|file| (file.clone(), std::fs::read(file).unwrap()))
        .collect()
}

fn try_input(target: &Target, input: &[u8], from: &Path) {
    let held = catch_unwind(AssertUnwindSafe(|| (target.check)(input)));
    assert!(
        held.is_ok(),
        "{} of {}, bent from {}",
        input.escape_ascii(),
        target.folder,
        from.display()
    );
}

fn run(target: &Target) {
    let seed = std::env::var("HOLDFAST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(rand::random);
    println!("HOLDFAST_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let corpus = corpus(target.folder);
    let pieces: Vec<&[u8]> = corpus.iter().map(|(_, input)| input.as_slice()).collect();
    let mut read_well = 0;
    for (file, input) in &corpus {
        try_input(target, input, file);
        read_well += usize::from((target.is_read)(input));
        for _ in 0..TIMES {
            try_input(target, &bend(input, &pieces, &mut rng), file);
        }
    }
    // A corpus that nothing reads would test nothing.
    assert!(
        read_well * 3 >= corpus.len(),
        "only {read_well} of {} files of {} are read",
        corpus.len(),
        target.folder
    );
}

#[test]
fn signatures_hold_only_for_the_body_that_was_signed() {
    run(&targets::SIGNATURE);
}

#[test]
fn an_id_has_one_spelling() {
    run(&targets::ID);
}

#[test]
fn a_body_is_read_or_refused() {
    run(&targets::BODY);
}

#[test]
fn preferences_never_lengthen_a_wait_and_are_told_as_they_were_read() {
    run(&targets::PREFER);
}

#[test]
fn nobody_but_a_trusted_proxy_says_who_a_client_is() {
    run(&targets::FORWARDED);
}

#[test]
fn an_envelope_that_is_read_is_written_again_as_it_was_meant() {
    run(&targets::ENVELOPE);
}
