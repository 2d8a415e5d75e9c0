//! Settings of access to NATS: certificates and credentials.

use std::path::PathBuf;

use clap::Args;

/// The certificates that Holdfast trusts, and its own identity. `NATS_URL` may also contain a user and password, or a token.
#[derive(Args, Clone, Debug, Default)]
pub struct NatsAccess {
    /// File of CA certificates (PEM) that are trusted for NATS instead of the system's. When it is set, only TLS connections
    /// are made
    #[arg(long, env = "NATS_CA_FILE")]
    pub nats_ca_file: Option<PathBuf>,
    /// File of the client certificate (PEM), for a NATS server that requires one
    #[arg(long, env = "NATS_CERT_FILE", requires = "nats_key_file")]
    pub nats_cert_file: Option<PathBuf>,
    /// File of the private key (PEM) of the client certificate
    #[arg(long, env = "NATS_KEY_FILE", requires = "nats_cert_file")]
    pub nats_key_file: Option<PathBuf>,
    /// Credentials file (JWT and seed) of the NATS user
    #[arg(long, env = "NATS_CREDENTIALS_FILE")]
    pub nats_credentials_file: Option<PathBuf>,
}
