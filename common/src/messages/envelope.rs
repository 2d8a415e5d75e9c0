//! Envelopes: up to 512 commands in one message of the log.
//!
//! The log syncs each message to disk before it acknowledges it. One message for many commands makes many commands a second
//! durable. An envelope is a version byte, the ingress to reply to as 8 little-endian bytes, and the commands one after
//! another to the end. Publishers encode each command when it arrives, and append it here. With encryption keys, the
//! commands are sealed together, under another version byte. Next: workers read envelopes in the log's order.

use crate::command::Command;
use crate::encryption::{Keyring, SealedKind};
use crate::messages::reply::IngressId;
use crate::messages::wire::{self, DecodeError};

/// The first byte of an envelope in plain text.
pub const VERSION: u8 = 1;
/// The first byte of a sealed envelope.
pub const SEALED_VERSION: u8 = 2;
/// The first byte of a sealed command in a table. A command in plain text begins with the length of its id, which is 16.
const SEALED_COMMAND: u8 = 2;
/// The most commands in one envelope.
pub const ENVELOPE_COMMANDS_MAX: usize = 512;
/// The most bytes in one envelope.
pub const ENVELOPE_BYTES_MAX: usize = 512 * 1024;

const HEADER_BYTES: usize = 1 + 8;
/// The most bytes that sealing adds to a message: a key's name and its length, a nonce, a tag.
const SEAL_BYTES: usize = 64;

/// An envelope that is being filled.
#[derive(Debug)]
pub struct EnvelopeBuilder {
    bytes: Vec<u8>,
    commands: usize,
}

impl EnvelopeBuilder {
    /// An empty envelope. Workers send the outcomes to `reply_to`.
    #[must_use]
    pub fn new(reply_to: IngressId) -> Self {
        let mut bytes = Vec::with_capacity(4096);
        bytes.push(VERSION);
        bytes.extend_from_slice(&reply_to.0.to_le_bytes());
        Self { bytes, commands: 0 }
    }

    /// Appends a command that [`encode_command`] wrote. Returns whether there was room.
    pub fn push(&mut self, command: &[u8]) -> bool {
        let has_room = self.commands < ENVELOPE_COMMANDS_MAX
            && self.bytes.len() + command.len() <= ENVELOPE_BYTES_MAX;
        if has_room {
            self.bytes.extend_from_slice(command);
            self.commands += 1;
        }
        has_room
    }

    #[must_use]
    pub fn finish(self, keys: &Keyring) -> Vec<u8> {
        if !keys.is_on() {
            return self.bytes;
        }
        let (header, commands) = self.bytes.split_at(HEADER_BYTES);
        let mut message = Vec::with_capacity(self.bytes.len() + SEAL_BYTES);
        message.extend_from_slice(header);
        message[0] = SEALED_VERSION;
        keys.seal_bytes(SealedKind::Envelope, &header[1..], commands, &mut message);
        message
    }
}

/// A command as in an envelope.
#[must_use]
pub fn encode_command(command: &Command) -> Vec<u8> {
    wire::append(Vec::with_capacity(64), command)
}

/// A command as in a table: sealed when there are keys.
#[must_use]
pub fn seal_command(command: &Command, keys: &Keyring) -> Vec<u8> {
    let plain = encode_command(command);
    let mut sealed = vec![SEALED_COMMAND];
    if keys.seal_bytes(SealedKind::Command, b"", &plain, &mut sealed) {
        sealed
    } else {
        plain
    }
}

/// Reads one command as [`seal_command`] or [`encode_command`] wrote it.
///
/// # Errors
/// When the command is damaged, other bytes follow it, or no key opens it.
pub fn decode_command(bytes: &[u8], keys: &Keyring) -> Result<Command, DecodeError> {
    let decode = |plain: &[u8]| match postcard::take_from_bytes(plain)? {
        (command, []) => Ok(command),
        _ => Err(postcard::Error::DeserializeBadEncoding),
    };
    match bytes {
        [SEALED_COMMAND, sealed @ ..] => Ok(decode(&keys.open_bytes(
            SealedKind::Command,
            b"",
            sealed,
        )?)?),
        plain => {
            let mut command = decode(plain)?;
            blind(&mut command, keys);
            Ok(command)
        }
    }
}

/// Whether a command in a table is sealed with the current key.
#[must_use]
pub fn is_sealed_command(bytes: &[u8], keys: &Keyring) -> bool {
    matches!(bytes, [SEALED_COMMAND, sealed @ ..] if keys.has_sealed_bytes(sealed))
}

/// Changes the idempotency key of a command in plain text to the value that it has under these encryption keys.
fn blind(command: &mut Command, keys: &Keyring) {
    command.key = command.key.map(|key| keys.blind(key));
}

/// An envelope as it was read.
#[derive(Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The ingress that waits for the outcomes.
    pub reply_to: IngressId,
    pub commands: Vec<Command>,
}

/// Reads a message of the log, sealed or in plain text.
///
/// # Errors
/// When the version is unknown, no key opens the message, the message is cut short, it has no command or more than
/// [`ENVELOPE_COMMANDS_MAX`], or a command is damaged.
pub fn decode(message: &[u8], keys: &Keyring) -> Result<Envelope, DecodeError> {
    let is_sealed = message.first() == Some(&SEALED_VERSION);
    if !is_sealed {
        wire::body(message, VERSION)?;
    }
    let Some((header, body)) = message.split_at_checked(HEADER_BYTES) else {
        return Err(postcard::Error::DeserializeUnexpectedEnd.into());
    };
    let reply_to = IngressId(u64::from_le_bytes(std::array::from_fn(|i| header[1 + i])));
    if is_sealed {
        let commands =
            decode_commands(&keys.open_bytes(SealedKind::Envelope, &header[1..], body)?)?;
        return Ok(Envelope { reply_to, commands });
    }
    let mut commands = decode_commands(body)?;
    if keys.is_on() {
        commands.iter_mut().for_each(|command| blind(command, keys));
    }
    Ok(Envelope { reply_to, commands })
}

fn decode_commands(mut rest: &[u8]) -> Result<Vec<Command>, DecodeError> {
    let mut commands = Vec::new();
    while !rest.is_empty() {
        let (command, behind) = postcard::take_from_bytes(rest)?;
        commands.push(command);
        rest = behind;
    }
    let is_within_bounds = (1..=ENVELOPE_COMMANDS_MAX).contains(&commands.len());
    if is_within_bounds {
        Ok(commands)
    } else {
        Err(postcard::Error::DeserializeBadEncoding.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Action, IdempotencyKey};
    use crate::id::{ProductId, RequestId};

    fn command(product: i64) -> Command {
        let product_id = ProductId(product);
        let action = Action::CreateHold {
            product_id,
            quantity: 2,
            customer_id: Some("c-1".to_owned()),
        };
        let key = Some(IdempotencyKey {
            hash: [7; 16],
            fingerprint: [9; 16],
        });
        Command {
            request_id: RequestId::new(product_id.slot(), 0x0123_4567_89ab, 42),
            key,
            action,
        }
    }

    #[test]
    fn bytes_of_an_envelope_never_change() {
        let mut builder = EnvelopeBuilder::new(IngressId(0x0102_0304));
        assert!(builder.push(&encode_command(&command(1))));
        let golden = concat!(
            "010403020100000000",
            "100123456789ab8cc1800000000000002a",
            "0107070707070707070707070707070707",
            "09090909090909090909090909090909",
            "0202020103632d31",
        );
        assert_eq!(hex::encode(builder.finish(&Keyring::default())), golden);
    }

    #[test]
    fn commands_of_an_envelope_keep_their_order() {
        let commands = vec![command(1), command(2), command(3)];
        let mut builder = EnvelopeBuilder::new(IngressId(5));
        for command in &commands {
            assert!(builder.push(&encode_command(command)));
        }
        assert_eq!(
            decode(&builder.finish(&Keyring::default()), &Keyring::default()),
            Ok(Envelope {
                reply_to: IngressId(5),
                commands
            })
        );
    }

    #[test]
    fn envelope_has_bounds() {
        let mut builder = EnvelopeBuilder::new(IngressId(5));
        let encoded = encode_command(&command(1));
        let taken = (0..).take_while(|_| builder.push(&encoded)).count();
        assert_eq!(taken, ENVELOPE_COMMANDS_MAX);
        let mut builder = EnvelopeBuilder::new(IngressId(5));
        assert!(!builder.push(&vec![0; ENVELOPE_BYTES_MAX]));
    }

    #[test]
    fn damaged_messages_are_errors() {
        assert_eq!(decode(b"", &Keyring::default()), Err(DecodeError::Empty));
        assert_eq!(
            decode(&[9, 0, 0], &Keyring::default()),
            Err(DecodeError::UnknownVersion {
                found: 9,
                known: VERSION
            })
        );
        let mut builder = EnvelopeBuilder::new(IngressId(5));
        assert!(builder.push(&encode_command(&command(1))));
        let whole = builder.finish(&Keyring::default());
        for cut in 1..whole.len() {
            assert!(
                decode(&whole[..cut], &Keyring::default()).is_err(),
                "cut at {cut}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn random_bytes_never_panic(bytes: Vec<u8>) {
            let _ = decode(&bytes, &Keyring::default());
            let _ = decode(&[&[VERSION][..], &bytes].concat(), &Keyring::default());
            let _ = decode_command(&bytes, &Keyring::default());
        }

        #[test]
        fn damaged_envelope_never_panics_or_exceeds_its_bounds(at: usize, byte: u8, length: usize) {
            let mut builder = EnvelopeBuilder::new(IngressId(5));
            (1..4).for_each(|product| { builder.push(&encode_command(&command(product))); });
            let mut message = builder.finish(&Keyring::default());
            let at = at % message.len();
            message[at] = byte;
            message.truncate(length % (message.len() + 1));
            if let Ok(read) = decode(&message, &Keyring::default()) {
                proptest::prop_assert!(read.commands.len() <= ENVELOPE_COMMANDS_MAX);
            }
        }
    }
}
