//! Random small damage to bytes.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

const BENDS_MAX: usize = 4;
/// The longest damaged input, in bytes.
const BYTES_MAX: usize = 16 * 1024;

/// Bytes on which parsers often fail.
const TOKENS: [&[u8]; 24] = [
    b"\"",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b";",
    b"=",
    b"\\u0000",
    b"\\ud800",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    "\u{202e}".as_bytes(),
    "\u{ff10}".as_bytes(),
    b"-",
    b"1e999",
    b"18446744073709551616",
    b"null",
    b"v1,",
    b"t=",
    b"\n",
    b" ",
];

/// An input with a few random changes. Some of them insert parts of `pieces`.
pub(crate) fn bend(input: &[u8], pieces: &[&[u8]], rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..rng.random_range(1..=BENDS_MAX) {
        bend_once(&mut bytes, pieces, rng);
    }
    bytes.truncate(BYTES_MAX);
    bytes
}

fn bend_once(bytes: &mut Vec<u8>, pieces: &[&[u8]], rng: &mut StdRng) {
    let at = rng.random_range(0..=bytes.len());
    let end = (at + rng.random_range(0..16)).min(bytes.len());
    match rng.random_range(0..7) {
        0 => bytes.truncate(at),
        1 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
        2 if at < bytes.len() => bytes[at] = rng.random(),
        3 => drop(bytes.drain(at..end)),
        4 => bytes.extend_from_within(at..),
        5 => {
            let piece = pieces.choose(rng).copied().unwrap_or_default();
            let from = rng.random_range(0..=piece.len());
            bytes.splice(at..end, piece[from..].iter().copied());
        }
        _ => {
            let token = TOKENS.choose(rng).copied().unwrap_or_default();
            bytes.splice(at..at, token.iter().copied());
        }
    }
}
