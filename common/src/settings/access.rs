//! How programs get into NATS, beside its address.

use std::path::PathBuf;

use clap::Args;

/// Which servers are taken for NATS, and who we are to them. A user, or a token, may also stand in `NATS_URL`.
#[derive(Args, Clone, Debug, Default)]
pub struct NatsAccess {
    /// The CA certificates (PEM) that count for NATS, in place of the system's; with them, only TLS will do
    #[arg(long, env = "NATS_CA_FILE")]
    pub nats_ca_file: Option<PathBuf>,
    /// Our certificate (PEM), for a NATS that asks for one
    #[arg(long, env = "NATS_CERT_FILE", requires = "nats_key_file")]
    pub nats_cert_file: Option<PathBuf>,
    /// The key (PEM) of our certificate
    #[arg(long, env = "NATS_KEY_FILE", requires = "nats_cert_file")]
    pub nats_key_file: Option<PathBuf>,
    /// The credentials file (JWT and seed) of our NATS user
    #[arg(long, env = "NATS_CREDENTIALS_FILE")]
    pub nats_credentials_file: Option<PathBuf>,
}
