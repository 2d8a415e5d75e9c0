//! Settings of the encryption of personal data at rest.

use clap::Args;

use crate::encryption::{Keyring, KeyringError};
use crate::settings::Secret;

/// The keys that encrypt customers and payments. Every program of a deployment needs the same keys.
#[derive(Args, Clone, Debug)]
pub struct EncryptionSettings {
    /// Keys that encrypt customer_id and payment_id where they are stored: `name:key` pairs separated by commas, each key 32
    /// bytes in base64. The first key encrypts, every key decrypts. Without it, both are stored in plain text
    #[arg(long, env = "ENCRYPTION_KEYS", hide_env_values = true)]
    pub encryption_keys: Option<Secret>,
    /// Key for finding encrypted values, 32 bytes in base64. It can't be changed
    #[arg(long, env = "ENCRYPTION_INDEX_KEY", hide_env_values = true)]
    pub encryption_index_key: Option<Secret>,
}

impl EncryptionSettings {
    /// The keyring of these keys. It is empty when neither setting is set.
    ///
    /// # Errors
    /// When a key is malformed, or only one of the two settings is set.
    pub fn keyring(&self) -> Result<Keyring, KeyringError> {
        Keyring::new(
            self.encryption_keys.as_ref(),
            self.encryption_index_key.as_ref(),
        )
    }
}
