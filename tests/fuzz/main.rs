//! The fuzz test: every parser of untrusted input reads the files of `tests/fuzz/corpus`, unchanged and with random damage.
//!
//! Each folder of the corpus belongs to one parser. [`targets`] has the properties that must hold for every input. A failing
//! input is printed. Save it as a file in the corpus, so that later runs try it first.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod bend;
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::bend::bend;
use crate::targets::Target;

/// Damaged versions of each file.
const TIMES: usize = 1500;

/// The files of a folder of the corpus, sorted by name.
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
        "{} of {}, made from {}",
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
    // If the parser accepts too few files, the properties are not tested.
    assert!(
        read_well * 3 >= corpus.len(),
        "only {read_well} of {} files of {} are read",
        corpus.len(),
        target.folder
    );
}

#[test]
fn signature_verifies_only_the_signed_body() {
    run(&targets::SIGNATURE);
}

#[test]
fn id_has_one_spelling() {
    run(&targets::ID);
}

#[test]
fn body_is_read_or_refused() {
    run(&targets::BODY);
}

#[test]
fn preference_never_lengthens_a_wait() {
    run(&targets::PREFER);
}

#[test]
fn only_a_trusted_proxy_sets_the_client_address() {
    run(&targets::FORWARDED);
}

#[test]
fn envelope_keeps_its_commands_when_written_again() {
    run(&targets::ENVELOPE);
}
