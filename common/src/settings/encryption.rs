//! Settings of personal data at rest.

use clap::Args;

use crate::encryption::{Keyring, KeyringError};
use crate::settings::Secret;

/// The keys by which customers and payments are sealed.
#[derive(Args, Clone, Debug)]
pub struct EncryptionSettings {
    /// The keys that customers and payments are sealed by where they are stored, as `name:key` with commas between them,
    /// each 32 bytes in base64: the first one seals, all of them open. The same for every program
    #[arg(long, env = "ENCRYPTION_KEYS", hide_env_values = true)]
    pub encryption_keys: Option<Secret>,
    /// The key by which sealed customers and payments are found again, 32 bytes in base64; it never changes
    #[arg(long, env = "ENCRYPTION_INDEX_KEY", hide_env_values = true)]
    pub encryption_index_key: Option<Secret>,
}

impl EncryptionSettings {
    /// The ring of these keys, or of none.
    ///
    /// # Errors
    /// When they are not in form.
    pub fn keyring(&self) -> Result<Keyring, KeyringError> {
        Keyring::new(
            self.encryption_keys.as_ref(),
            self.encryption_index_key.as_ref(),
        )
    }
}
