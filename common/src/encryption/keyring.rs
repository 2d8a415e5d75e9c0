//! The keyring: parses the keys of the settings, and encrypts and decrypts bytes.
//!
//! The cipher is AES-256-GCM with a random nonce of 96 bits. One key may encrypt 2^32 values (NIST SP 800-38D, 8.3), so an
//! operator must rotate keys before that. The blind index is HMAC-SHA-256, cut to 128 bits. Nonces are generated here, so that
//! no caller can repeat one.

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

/// The most keys of a keyring. The limit makes operators finish a rotation before they begin many more.
pub const KEYS_MAX: usize = 8;
/// The longest name of a key, in bytes.
const NAME_BYTES_MAX: usize = 32;
const KEY_BYTES: usize = 32;
/// Base64 as printed by `openssl rand -base64 32`. The `=` at the end may be missing.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The keys that encrypt and decrypt, or none. Cheap to clone. Its `Debug` output hides the keys.
#[derive(Clone, Default)]
pub struct Keyring(Option<Arc<Keys>>);

pub(super) struct Keys {
    /// The first key encrypts.
    ring: Vec<Key>,
    index: hmac::Key,
}

struct Key {
    name: String,
    key: LessSafeKey,
    check: [u8; INDEX_BYTES],
}

/// `ENCRYPTION_KEYS` or `ENCRYPTION_INDEX_KEY` is malformed. Errors name a key by its position, because a malformed entry may be
/// the key itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    #[error("ENCRYPTION_KEYS is set and ENCRYPTION_INDEX_KEY is not: set both, or neither")]
    NoIndexKey,
    #[error("ENCRYPTION_INDEX_KEY is set and ENCRYPTION_KEYS is not: set both, or neither")]
    NoKeys,
    #[error(
        "ENCRYPTION_KEYS has more than {KEYS_MAX} keys: run `holdfast keys rotate`, then remove the keys that it names"
    )]
    TooMany,
    #[error(
        "key {place} of ENCRYPTION_KEYS is not `name:key`: the name has 1 to {NAME_BYTES_MAX} letters, digits, `-` or \
         `_`, and the key is 32 bytes in base64 (`openssl rand -base64 32`)"
    )]
    Malformed { place: usize },
    #[error(
        "key {place} of ENCRYPTION_KEYS has the name or the bytes of an earlier key: give each key its own name and bytes"
    )]
    Twice { place: usize },
    #[error("ENCRYPTION_INDEX_KEY is not 32 bytes in base64 (`openssl rand -base64 32`)")]
    MalformedIndexKey,
    #[error("ENCRYPTION_INDEX_KEY is also one of ENCRYPTION_KEYS: generate another key for it")]
    IndexKeyAlsoSeals,
}

impl Keyring {
    /// Parses `name:base64,name:base64` and the index key.
    ///
    /// # Errors
    /// When one is set without the other, or one is malformed.
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

    /// The name of the key that encrypts.
    #[must_use]
    pub fn first(&self) -> Option<&str> {
        self.keys().map(|keys| keys.ring[0].name.as_str())
    }

    /// Name and checksum of each key.
    pub fn checks(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let ring = self.keys().map_or(&[][..], |keys| &keys.ring);
        ring.iter()
            .map(|key| (key.name.as_str(), key.check.as_slice()))
    }

    /// Checksum of the index key.
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
    /// Encrypts bytes with the first key. Returns the name of the key, and nonce, ciphertext and tag.
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
        // Fails only above 64 GiB, and the longest value is an envelope.
        #[expect(clippy::expect_used)]
        let tag = done.expect("the value is shorter than 64 GiB");
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

    /// The blind index of a text. Different purposes give different indexes.
    pub(super) fn blind(&self, purpose: &[u8], text: &[u8]) -> [u8; INDEX_BYTES] {
        cut(&self.index, purpose, text)
    }
}

fn cut(index: &hmac::Key, purpose: &[u8], text: &[u8]) -> [u8; INDEX_BYTES] {
    let mut context = hmac::Context::with_key(index);
    // The length of the purpose comes first, so that two pairs of purpose and text never give the same bytes.
    context.update(&[purpose.len() as u8]);
    context.update(purpose);
    context.update(text);
    let tag = context.sign();
    std::array::from_fn(|i| tag.as_ref()[i])
}

fn nonce() -> [u8; NONCE_BYTES] {
    let mut nonce = [0; NONCE_BYTES];
    // Linux has random bytes as soon as it runs. Without them the program must stop: a repeated nonce would break the cipher.
    #[expect(clippy::expect_used)]
    SystemRandom::new()
        .fill(&mut nonce)
        .expect("the operating system has random bytes");
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
