//! A certificate authority for a test, and a local stack with TLS.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use holdfast_stack::Stack;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// A certificate authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// The file with the certificate of the authority.
    pub(crate) file: PathBuf,
}

impl Authority {
    pub(crate) fn new(directory: &Path, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let file = directory.join(format!("{name}.crt"));
        std::fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
        Self {
            issuer: Issuer::new(params, key),
            file,
        }
    }

    /// Creates a certificate for a name or address, and its key, as the files `<stem>.crt` and `<stem>.key`.
    pub(crate) fn issue(&self, name: &str, stem: &Path) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()])
            .unwrap()
            .signed_by(&key, &self.issuer)
            .unwrap();
        let files = (stem.with_extension("crt"), stem.with_extension("key"));
        std::fs::write(&files.0, certificate.pem()).unwrap();
        std::fs::write(&files.1, key.serialize_pem()).unwrap();
        files
    }
}

/// Turns on TLS in Postgres, with a certificate for 127.0.0.1.
pub(crate) async fn postgres_with_tls(stack: &mut Stack, directory: &Path, authority: &Authority) {
    let data = directory.join("postgres/data");
    let (certificate, key) = authority.issue("127.0.0.1", &data.join("server"));
    // Postgres accepts a key file only if its own account owns it and no other can read it.
    let owner = std::fs::metadata(&data).unwrap();
    for file in [certificate, key] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        chown(file, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    let pool = sqlx::PgPool::connect(stack.database_url()).await.unwrap();
    sqlx::query("ALTER SYSTEM SET ssl = on")
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
    let postgres = stack.postgres_mut().unwrap();
    postgres.stop().await.unwrap();
    postgres.start().await.unwrap();
}

/// Restarts NATS with a changed configuration.
pub(crate) async fn nats_with(
    stack: &mut Stack,
    directory: &Path,
    change: impl FnOnce(String) -> String,
) {
    let file = directory.join("nats/nats.conf");
    let nats = stack.nats_mut().unwrap();
    nats.stop().await.unwrap();
    let changed = change(std::fs::read_to_string(&file).unwrap());
    std::fs::write(&file, changed).unwrap();
    nats.start().await.unwrap();
}
