//! What to do when TLS with a server fails, in the same words for Postgres and NATS.

use std::error::Error;
use std::io;

use async_nats::rustls::{self, CertificateError};

/// How a server's TLS is set.
#[derive(Clone, Copy, Debug)]
pub struct TlsSettings {
    /// The server's name.
    pub server: &'static str,
    /// What says where it is.
    pub url: &'static str,
    /// What says which certificates count.
    pub ca: &'static str,
    /// What says which certificate is ours.
    pub ours: &'static str,
}

/// What an operator can do about an error, when it is one of TLS.
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
        ours,
    } = settings;
    Some(match error {
        // A bad signature is most often that of a CA that was made anew under its old name.
        rustls::Error::InvalidCertificate(UnknownIssuer | BadSignature) => {
            format!(
                "no CA that counts here has signed {server}'s certificate: set {ca} to the file of the one that did"
            )
        }
        rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => {
            format!(
                "{server}'s certificate is for another name: set in {url} the one that it is for"
            )
        }
        rustls::Error::InvalidCertificate(Expired | ExpiredContext { .. }) => {
            format!("{server}'s certificate has expired: renew it")
        }
        rustls::Error::AlertReceived(alert) => {
            format!("{server} refused TLS ({alert:?}); if it asks for certificates, set {ours}")
        }
        other => {
            format!("TLS with {server} failed ({other}): correct its certificate, {ca} or {ours}")
        }
    })
}

/// An error of TLS among an error and its causes.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // What an `io::Error` holds is not its source, but has it.
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
        ours: "OURS",
    };

    #[test]
    fn an_error_of_tls_is_found_within_others() {
        let inner = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let outer = sqlx::Error::Io(io::Error::new(io::ErrorKind::InvalidData, inner));
        assert!(advice(&outer, &SETTINGS).is_some_and(|advice| advice.contains("set CA")));
    }

    #[test]
    fn other_errors_are_none() {
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
