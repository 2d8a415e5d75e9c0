//! The keys: read from the settings, and what they do to bytes.
//!
//! AES-256-GCM with a random nonce of 96 bits: one key may seal 2^32 values (NIST SP 800-38D, 8.3), so keys are to be
//! rotated before that. The index is HMAC-SHA-256, cut to 128 bits. Nonces are drawn here, since no caller may choose one.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

use crate::encryption::{INDEX_BYTES, NONCE_BYTES, SealError};
use crate::settings::Secret;

/// The most keys of a ring. A value is looked for by its key's name, and rotation has to end some day.
pub const KEYS_MAX: usize = 8;
/// The longest name of a key, in bytes.
const NAME_BYTES_MAX: usize = 32;
const KEY_BYTES: usize = 32;
/// Base64 as `openssl rand -base64 32` writes it; the `=` at its end may be missing.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Keys that seal and open, or none. Cheap to clone; shows nothing of them.
#[derive(Clone, Default)]
pub struct Keyring(Option<Arc<Keys>>);

pub(super) struct Keys {
    /// The first one seals.
    ring: Vec<Key>,
    index: hmac::Key,
}

struct Key {
    name: String,
    key: LessSafeKey,
    check: [u8; INDEX_BYTES],
}

/// Says what is wrong with the settings. Names keys by their place: what stands there may be a key without a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum KeyringError {
    #[error("ENCRYPTION_KEYS is set and ENCRYPTION_INDEX_KEY is not: set both, or neither")]
    NoIndexKey,
    #[error("ENCRYPTION_INDEX_KEY is set and ENCRYPTION_KEYS is not: set both, or neither")]
    NoKeys,
    #[error(
        "ENCRYPTION_KEYS has more than {KEYS_MAX} keys: run `holdfast keys rotate`, then remove those it names"
    )]
    TooMany,
    #[error(
        "key {place} of ENCRYPTION_KEYS is not `name:key`: the name is 1 to {NAME_BYTES_MAX} letters, digits, `-` or \
         `_`, the key 32 bytes in base64 (`openssl rand -base64 32`)"
    )]
    Malformed { place: usize },
    #[error(
        "key {place} of ENCRYPTION_KEYS has the name or the bytes of another: each key needs its own"
    )]
    Twice { place: usize },
    #[error("ENCRYPTION_INDEX_KEY is not 32 bytes in base64 (`openssl rand -base64 32`)")]
    MalformedIndexKey,
    #[error("ENCRYPTION_INDEX_KEY is also one of ENCRYPTION_KEYS: it needs bytes of its own")]
    IndexKeyAlsoSeals,
}

impl Keyring {
    /// Reads `name:base64,name:base64` and the index key.
    ///
    /// # Errors
    /// When one is there without the other, or either is not in form.
    pub fn new(keys: Option<&Secret>, index: Option<&Secret>) -> Result<Self, KeyringError> {
        let is_set = |secret: &&Secret| !secret.expose().trim().is_empty();
        let (keys, index) = match (keys.filter(is_set), index.filter(is_set)) {
            (None, None) => return Ok(Self(None)),
            (Some(_), None) => return Err(KeyringError::NoIndexKey),
            (None, Some(_)) => return Err(KeyringError::NoKeys),
            (Some(keys), Some(index)) => (keys.expose(), index.expose()),
        };
        let index_bytes = decode(index).ok_or(KeyringError::MalformedIndexKey)?;
        let index = hmac::Key::new(hmac::HMAC_SHA256, &index_bytes);
        let (mut ring, mut seen) = (Vec::new(), HashSet::new());
        for (text, place) in keys
            .split(',')
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .zip(1..)
        {
            let (name, bytes) = read(text).ok_or(KeyringError::Malformed { place })?;
            if bytes == index_bytes {
                return Err(KeyringError::IndexKeyAlsoSeals);
            }
            let check = cut(&index, b"check", &bytes);
            if ring.iter().any(|key: &Key| key.name == name) || !seen.insert(bytes) {
                return Err(KeyringError::Twice { place });
            }
            let key = UnboundKey::new(&AES_256_GCM, &bytes)
                .map_err(|_| KeyringError::Malformed { place })?;
            ring.push(Key {
                name: name.to_owned(),
                key: LessSafeKey::new(key),
                check,
            });
        }
        match ring.len() {
            0 => Err(KeyringError::NoKeys),
            1..=KEYS_MAX => Ok(Self(Some(Arc::new(Keys { ring, index })))),
            _ => Err(KeyringError::TooMany),
        }
    }

    /// Whether there are keys.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The name of the key that seals.
    #[must_use]
    pub fn first(&self) -> Option<&str> {
        self.keys().map(|keys| keys.ring[0].name.as_str())
    }

    /// Each key's name, and by what it is known again without being told.
    pub fn checks(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let ring = self.keys().map_or(&[][..], |keys| &keys.ring);
        ring.iter()
            .map(|key| (key.name.as_str(), key.check.as_slice()))
    }

    /// By what the index key is known again.
    #[must_use]
    pub fn index_check(&self) -> Option<Vec<u8>> {
        self.keys().map(|keys| keys.blind(b"index", b"").to_vec())
    }

    pub(super) fn keys(&self) -> Option<&Keys> {
        self.0.as_deref()
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_on() { "(keys)" } else { "(no keys)" })
    }
}

impl Keys {
    /// Seals bytes by the first key; tells its name, and the nonce, the ciphertext and the tag.
    pub(super) fn seal(&self, context: &[u8], plain: &[u8]) -> (&str, Vec<u8>) {
        let Key { name, key, .. } = &self.ring[0];
        let nonce = nonce();
        let mut sealed = Vec::with_capacity(NONCE_BYTES + plain.len() + AES_256_GCM.tag_len());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let done = key.seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(context),
            &mut sealed[NONCE_BYTES..],
        );
        // It fails for more than 64 GiB, and nothing here is longer than an envelope.
        #[expect(clippy::expect_used)]
        let tag = done.expect("what is sealed is short");
        sealed.extend_from_slice(tag.as_ref());
        (name, sealed)
    }

    pub(super) fn open(
        &self,
        name: &str,
        context: &[u8],
        sealed: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        if !is_name(name) {
            return Err(SealError::Malformed);
        }
        let known = self.ring.iter().find(|key| key.name == name);
        let Key { key, .. } = known.ok_or_else(|| SealError::UnknownKey {
            key: name.to_owned(),
        })?;
        let (nonce, sealed) = sealed
            .split_at_checked(NONCE_BYTES)
            .ok_or(SealError::Malformed)?;
        let refused = |_| SealError::Refused {
            key: name.to_owned(),
        };
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(refused)?;
        let mut opened = sealed.to_vec();
        let length = key
            .open_in_place(nonce, Aad::from(context), &mut opened)
            .map_err(refused)?
            .len();
        opened.truncate(length);
        Ok(opened)
    }

    /// The blind index of a text, for one purpose.
    pub(super) fn blind(&self, purpose: &[u8], text: &[u8]) -> [u8; INDEX_BYTES] {
        cut(&self.index, purpose, text)
    }
}

fn cut(index: &hmac::Key, purpose: &[u8], text: &[u8]) -> [u8; INDEX_BYTES] {
    let mut context = hmac::Context::with_key(index);
    // Its length goes first, so that no purpose and text make another's.
    context.update(&[purpose.len() as u8]);
    context.update(purpose);
    context.update(text);
    let tag = context.sign();
    std::array::from_fn(|i| tag.as_ref()[i])
}

fn nonce() -> [u8; NONCE_BYTES] {
    let mut nonce = [0; NONCE_BYTES];
    // Linux gives random bytes from the moment it is up, and a nonce that is not random must never be used.
    #[expect(clippy::expect_used)]
    SystemRandom::new()
        .fill(&mut nonce)
        .expect("the operating system gives random bytes");
    nonce
}

fn read(text: &str) -> Option<(&str, [u8; KEY_BYTES])> {
    let (name, key) = text.split_once(':')?;
    is_name(name).then_some((name, decode(key)?))
}

fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_plain)
}

fn decode(key: &str) -> Option<[u8; KEY_BYTES]> {
    BASE64.decode(key.trim()).ok()?.try_into().ok()
}
