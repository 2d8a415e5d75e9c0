//! Tests of encryption: keyrings, sealed texts, envelopes, commands and outcomes.

use super::*;
use crate::command::{Action, Command};
use crate::domain::{Hold, HoldState};
use crate::id::{HoldId, ProductId, RequestId};
use crate::messages::envelope::{
    EnvelopeBuilder, decode, decode_command, encode_command, is_sealed_command, seal_command,
};
use crate::messages::reply::IngressId;
use crate::messages::wire::DecodeError;
use crate::outcome::Outcome;
use crate::settings::Secret;
use crate::time::Timestamp;

const A: &str = "a:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const B: &str = "b:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const INDEX: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";

fn ring(keys: &str, index: &str) -> Result<Keyring, KeyringError> {
    Keyring::new(
        Some(&Secret::from(keys.to_owned())),
        Some(&Secret::from(index.to_owned())),
    )
}

fn keys(keys: &str) -> Keyring {
    ring(keys, INDEX).unwrap()
}

fn command() -> Command {
    let product_id = ProductId(1);
    let action = Action::CreateHold {
        product_id,
        quantity: 2,
        customer_id: Some("c-1".to_owned()),
    };
    let key = Some(IdempotencyKey::new("k", &action));
    Command {
        request_id: RequestId::new(product_id.slot(), 1, 2),
        key,
        action,
    }
}

#[test]
fn sealed_texts_open_only_with_their_key() {
    let row = Uuid::from_u128(7);
    let sealed = keys(A)
        .seal_text(SealedKind::CustomerId, row, "customer-ü")
        .unwrap();
    assert!(
        sealed.starts_with("\u{1}a:") && !sealed.contains("customer"),
        "{sealed}"
    );
    for ring in [A.to_owned(), format!("{B}, {A}"), format!("{A},{B},")] {
        let opened = keys(&ring).open_text(SealedKind::CustomerId, row, sealed.clone());
        assert_eq!(opened.as_deref(), Ok("customer-ü"));
    }
    let open = |ring: &Keyring| ring.open_text(SealedKind::CustomerId, row, sealed.clone());
    assert_eq!(
        open(&keys(B)),
        Err(SealError::UnknownKey {
            key: "a".to_owned()
        })
    );
    let same_name = B.replace("b:", "a:");
    assert_eq!(
        open(&keys(&same_name)),
        Err(SealError::Refused {
            key: "a".to_owned()
        })
    );
    assert_eq!(open(&Keyring::default()), Err(SealError::NoKeys));
}

#[test]
fn sealed_texts_that_were_changed_or_moved_do_not_open() {
    let (keys, row) = (keys(A), Uuid::from_u128(7));
    let sealed = keys.seal_text(SealedKind::CustomerId, row, "c-1").unwrap();
    let refused = Err(SealError::Refused {
        key: "a".to_owned(),
    });
    assert_eq!(
        keys.open_text(SealedKind::PaymentId, row, sealed.clone()),
        refused,
        "another kind"
    );
    assert_eq!(
        keys.open_text(SealedKind::CustomerId, Uuid::from_u128(8), sealed.clone()),
        refused,
        "another row"
    );
    for at in 1..sealed.len() {
        let mut bytes = sealed.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        assert!(
            keys.open_text(SealedKind::CustomerId, row, changed.clone())
                .is_err(),
            "{changed}"
        );
        assert!(
            keys.open_text(SealedKind::CustomerId, row, sealed[..at].to_owned())
                .is_err(),
            "cut at {at}"
        );
    }
    for text in [
        "\u{1}",
        "\u{1}a",
        "\u{1}a:",
        "\u{1}:AAAA",
        "\u{1}a:!",
        "\u{1}a\n:AAAA",
    ] {
        assert!(
            keys.open_text(SealedKind::CustomerId, row, text.to_owned())
                .is_err(),
            "{text:?}"
        );
    }
}

#[test]
fn equal_texts_have_equal_indexes_and_different_sealed_texts() {
    let (keys, row) = (keys(A), Uuid::from_u128(7));
    let seal = || keys.seal_text(SealedKind::CustomerId, row, "c-1").unwrap();
    assert_ne!(seal(), seal());
    let index = keys.index(SealedKind::CustomerId, "c-1");
    assert_eq!(
        index, "bQMS3R-AS6EHHysgpAC04Q",
        "the index is stored, so it must never change"
    );
    let rotated = ring(&format!("{B},{A}"), INDEX).unwrap();
    assert_eq!(
        index,
        rotated.index(SealedKind::CustomerId, "c-1"),
        "the first key has no effect on the index"
    );
    assert_ne!(index, rotated.index(SealedKind::PaymentId, "c-1"));
    assert_ne!(index, rotated.index(SealedKind::CustomerId, "c-2"));
    let other = ring(A, &INDEX.replace("AgIC", "AwIC")).unwrap();
    assert_ne!(index, other.index(SealedKind::CustomerId, "c-1"));
    assert_ne!(keys.index_check(), other.index_check());
}

#[test]
fn keyring_without_keys_leaves_values_unchanged() {
    let (off, row) = (Keyring::default(), Uuid::from_u128(7));
    assert!(matches!(
        off.index(SealedKind::CustomerId, "c-1"),
        Cow::Borrowed("c-1")
    ));
    assert_eq!(off.seal_text(SealedKind::CustomerId, row, "c-1"), None);
    assert_eq!(
        off.open_text(SealedKind::CustomerId, row, "c-1".to_owned())
            .as_deref(),
        Ok("c-1")
    );
    assert_eq!(seal_command(&command(), &off), encode_command(&command()));
    let outcome = Outcome::Failed;
    assert!(matches!(off.seal_outcome(&outcome), Cow::Borrowed(_)));
}

#[test]
fn sealed_envelopes_hide_texts_and_reject_any_change() {
    let keys = keys(A);
    let mut builder = EnvelopeBuilder::new(IngressId(5));
    let sent = Command {
        key: command().key.map(|key| keys.blind(key)),
        ..command()
    };
    assert!(builder.push(&encode_command(&sent)));
    let message = builder.finish(&keys);
    assert!(!message.windows(3).any(|bytes| bytes == b"c-1"));
    let read = decode(&message, &keys).unwrap();
    assert_eq!((read.reply_to, read.commands), (IngressId(5), vec![sent]));
    assert_eq!(
        decode(&message, &Keyring::default()),
        Err(DecodeError::Sealed(SealError::NoKeys))
    );
    for at in 0..message.len() {
        let mut changed = message.clone();
        changed[at] ^= 1;
        assert!(decode(&changed, &keys).is_err(), "byte {at}");
        assert!(decode(&message[..at], &keys).is_err(), "cut at {at}");
    }
}

#[test]
fn plain_commands_get_blind_keys_when_they_are_decoded() {
    let keys = keys(A);
    let blind = Command {
        key: command().key.map(|key| keys.blind(key)),
        ..command()
    };
    assert_ne!(blind.key, command().key);
    let plain = encode_command(&command());
    assert_eq!(decode_command(&plain, &keys), Ok(blind.clone()));
    let sealed = seal_command(&blind, &keys);
    assert_eq!(
        decode_command(&sealed, &keys),
        Ok(blind.clone()),
        "a blind key is not hashed again"
    );
    assert!(is_sealed_command(&sealed, &keys) && !is_sealed_command(&plain, &keys));
    let mut builder = EnvelopeBuilder::new(IngressId(5));
    assert!(builder.push(&plain));
    assert_eq!(
        decode(&builder.finish(&Keyring::default()), &keys)
            .unwrap()
            .commands,
        [blind]
    );
}

#[test]
fn stored_outcomes_hide_the_customer() {
    let keys = keys(A);
    let id = HoldId::of_request(command().request_id);
    let hold = Hold {
        id,
        product_id: ProductId(1),
        quantity: 1,
        customer_id: Some("c-1".to_owned()),
        price_minor: 1,
        currency: "EUR".parse().unwrap(),
        state: HoldState::Active,
        created_at: Timestamp(1),
        expires_at: Timestamp(2),
        sequence: 1,
    };
    let outcome = Outcome::HoldReleased(hold);
    let stored = keys.seal_outcome(&outcome).into_owned();
    assert!(!serde_json::to_string(&stored).unwrap().contains("c-1"));
    assert_eq!(keys.open_outcome(stored), Ok(outcome));
}

#[test]
fn malformed_keys_are_rejected_without_echoing_them() {
    let nine = (0..9)
        .map(|i| format!("k{i}:{}", STANDARD_NO_PAD.encode([i + 7; 32])))
        .collect::<Vec<_>>()
        .join(",");
    for (setting, error) in [
        (
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            KeyringError::Malformed { place: 1 },
        ),
        ("a:AAAA", KeyringError::Malformed { place: 1 }),
        (
            &format!("{A},b b:AAAA"),
            KeyringError::Malformed { place: 2 },
        ),
        (&format!("{A},{A}"), KeyringError::Twice { place: 2 }),
        (
            &format!("{A},{}", A.replace("a:", "b:")),
            KeyringError::Twice { place: 2 },
        ),
        (&format!("{A},b:{INDEX}"), KeyringError::IndexKeyAlsoSeals),
        (&nine, KeyringError::TooMany),
        (",", KeyringError::NoKeys),
        (" ", KeyringError::NoKeys),
    ] {
        let refused = ring(setting, INDEX).unwrap_err();
        assert_eq!(refused, error, "{setting}");
        assert!(!refused.to_string().contains("AAAA"), "{refused}");
    }
    assert_eq!(
        ring(A, "AAAA").unwrap_err(),
        KeyringError::MalformedIndexKey
    );
    assert_eq!(ring(A, "").unwrap_err(), KeyringError::NoIndexKey);
    assert!(!ring("", "").unwrap().is_on() && !Keyring::new(None, None).unwrap().is_on());
    assert!(ring(A.trim_end_matches('='), INDEX).is_ok());
    assert_eq!(format!("{:?}", keys(A)), "(keys)");
}
