//! Advice for operators when TLS with Postgres or NATS fails.

use std::error::Error;
use std::io;

use async_nats::rustls::{self, CertificateError};

/// The names that the advice about a server uses.
#[derive(Clone, Copy, Debug)]
pub struct TlsSettings {
    pub server: &'static str,
    /// The setting with the URL of the server.
    pub url: &'static str,
    /// The setting with the trusted CA certificates.
    pub ca: &'static str,
    /// The settings with the client certificate and its key.
    pub client_certificate: &'static str,
}

/// Advice about an error, if TLS caused it.
#[must_use]
pub fn advice(error: &(dyn Error + 'static), settings: &TlsSettings) -> Option<String> {
    use CertificateError::{
        BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext,
        UnknownIssuer,
    };
    let error = tls_error(error)?;
    let TlsSettings {
        server,
        url,
        ca,
        client_certificate,
    } = settings;
    Some(match error {
        // The usual cause of a bad signature is a CA that was created again under its old name.
        rustls::Error::InvalidCertificate(UnknownIssuer | BadSignature) => {
            format!(
                "{server}'s certificate is not signed by a trusted CA: set {ca} to the certificate file of the CA that signed it"
            )
        }
        rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => {
            format!(
                "{server}'s certificate is for another host name: use the name of the certificate in {url}"
            )
        }
        rustls::Error::InvalidCertificate(Expired | ExpiredContext { .. }) => {
            format!("{server}'s certificate has expired: renew it")
        }
        rustls::Error::AlertReceived(alert) => {
            format!(
                "{server} rejected the TLS connection ({alert:?}): if it requires client certificates, set {client_certificate}"
            )
        }
        other => {
            format!(
                "TLS with {server} failed ({other}): correct its certificate, {ca} or {client_certificate}"
            )
        }
    })
}

/// The first TLS error among an error and its causes.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // `source` of an `io::Error` skips the error that it wraps, so that one is checked here.
        let held = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        cause = held.map(|held| held as _).or_else(|| error.source());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: TlsSettings = TlsSettings {
        server: "S",
        url: "URL",
        ca: "CA",
        client_certificate: "CERT",
    };

    #[test]
    fn advice_finds_a_tls_error_inside_other_errors() {
        let inner = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let outer = sqlx::Error::Io(io::Error::new(io::ErrorKind::InvalidData, inner));
        assert!(advice(&outer, &SETTINGS).is_some_and(|advice| advice.contains("set CA")));
    }

    #[test]
    fn advice_is_absent_for_other_errors() {
        assert_eq!(
            advice(
                &io::Error::from(io::ErrorKind::ConnectionRefused),
                &SETTINGS
            ),
            None
        );
        assert_eq!(advice(&sqlx::Error::PoolTimedOut, &SETTINGS), None);
    }
}
