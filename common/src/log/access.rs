//! Access to NATS: the servers, TLS, and the user.
//!
//! `NATS_URL` may list several addresses, with a user in them. async-nats takes one address in a text, ignores the user in it,
//! and logs addresses. So the list is parsed here, and async-nats gets addresses without secrets.

use std::path::Path;

use async_nats::{ConnectError, ConnectErrorKind, ConnectOptions, ServerAddr};
use percent_encoding::percent_decode_str;

use crate::log::LogError;
use crate::settings::NatsSettings;
use crate::tls::{self, TlsSettings};

const TLS: TlsSettings = TlsSettings {
    server: "NATS",
    url: "NATS_URL",
    ca: "NATS_CA_FILE",
    client_certificate: "NATS_CERT_FILE and NATS_KEY_FILE",
};

/// The servers and the options of a connection.
///
/// # Errors
/// When `NATS_URL` is not valid, or a file that a setting names can't be read.
pub async fn options(
    settings: &NatsSettings,
) -> Result<(Vec<ServerAddr>, ConnectOptions), LogError> {
    let access = &settings.access;
    let (servers, user) = addresses(settings.nats_url.expose())?;
    let mut options = ConnectOptions::new();
    // A cluster announces further servers without a scheme. They must be as safe as the listed ones.
    let by_tls = servers.iter().any(ServerAddr::tls_required);
    options = options
        .require_tls(by_tls || access.nats_ca_file.is_some() || access.nats_cert_file.is_some());
    if let Some(file) = &access.nats_ca_file {
        read_checked("NATS_CA_FILE", file, "BEGIN CERTIFICATE").await?;
        options = options.add_root_certificates(file.clone());
    }
    if let (Some(certificate), Some(key)) = (&access.nats_cert_file, &access.nats_key_file) {
        read_checked("NATS_CERT_FILE", certificate, "BEGIN CERTIFICATE").await?;
        read_checked("NATS_KEY_FILE", key, "PRIVATE KEY").await?;
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    options = match (&access.nats_credentials_file, user) {
        (Some(file), _) => {
            let text = read_checked("NATS_CREDENTIALS_FILE", file, "NATS USER JWT").await?;
            let unreadable = |_| {
                file_error(
                    "NATS_CREDENTIALS_FILE",
                    file,
                    "its JWT or its seed is damaged",
                )
            };
            options.credentials(&text).map_err(unreadable)?
        }
        (
            None,
            Some(User {
                name,
                password: Some(password),
            }),
        ) => options.user_and_password(name, password),
        (
            None,
            Some(User {
                name,
                password: None,
            }),
        ) => options.token(name),
        (None, None) => options,
    };
    Ok((servers, options))
}

/// Whether another attempt may succeed: the server was not reachable, or did not respond.
#[must_use]
pub fn is_transient(error: &ConnectError) -> bool {
    error.kind() != ConnectErrorKind::AuthorizationViolation && tls::advice(error, &TLS).is_none()
}

/// The error for the operator, after the last attempt to connect.
#[must_use]
pub fn connect_error(error: ConnectError) -> LogError {
    match tls::advice(&error, &TLS) {
        Some(advice) => LogError::Tls(advice),
        None if error.kind() == ConnectErrorKind::AuthorizationViolation => LogError::AccessDenied,
        None => LogError::Unreachable(error),
    }
}

/// The text before the `@` of an address: a user with a password, or a token.
#[derive(PartialEq, Eq)]
struct User {
    name: String,
    password: Option<String>,
}

/// Parses a list of addresses. Returns the addresses without the user, and the user.
fn addresses(list: &str) -> Result<(Vec<ServerAddr>, Option<User>), LogError> {
    let (mut servers, mut user) = (Vec::new(), None);
    for text in list
        .split(',')
        .map(str::trim)
        .filter(|text| !text.is_empty())
    {
        // The parser's error would repeat the text, with the password in it.
        let address: ServerAddr = text.parse().map_err(|_| LogError::InvalidUrl)?;
        if !matches!(address.scheme(), "nats" | "tls") || address.host().is_empty() {
            return Err(LogError::InvalidUrl);
        }
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let named = address.username().map(|name| User {
            name: decoded(name),
            password: address.password().map(decoded),
        });
        if user.is_some() && named.is_some() && user != named {
            return Err(LogError::SeveralUsers);
        }
        user = user.or(named);
        let mut url = address.into_inner();
        url.set_username("")
            .and_then(|()| url.set_password(None))
            .map_err(|()| LogError::InvalidUrl)?;
        servers.push(ServerAddr::from_url(url).map_err(|_| LogError::InvalidUrl)?);
    }
    if servers.is_empty() {
        Err(LogError::InvalidUrl)
    } else {
        Ok((servers, user))
    }
}

/// Reads a file that must contain certain words.
async fn read_checked(setting: &'static str, file: &Path, words: &str) -> Result<String, LogError> {
    let text = tokio::fs::read_to_string(file)
        .await
        .map_err(|error| file_error(setting, file, &error.to_string()))?;
    if text.contains(words) {
        Ok(text)
    } else {
        Err(file_error(
            setting,
            file,
            &format!("the file does not contain {words:?}"),
        ))
    }
}

fn file_error(setting: &'static str, file: &Path, problem: &str) -> LogError {
    LogError::InvalidFile {
        setting,
        file: file.display().to_string(),
        problem: problem.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parsed_addresses_contain_no_secret() {
        let (servers, user) = addresses("nats://u%40x:p%2Fw@a:4223, tls://b,127.0.0.1:4").unwrap();
        let shown: Vec<_> = servers.iter().map(ServerAddr::as_url_str).collect();
        assert_eq!(shown, ["nats://a:4223", "tls://b", "nats://127.0.0.1:4"]);
        assert!(
            user == Some(User {
                name: "u@x".to_owned(),
                password: Some("p/w".to_owned())
            })
        );
        let (_, token) = addresses("nats://t0ken@a").unwrap();
        assert!(
            token
                == Some(User {
                    name: "t0ken".to_owned(),
                    password: None
                })
        );
    }

    #[test]
    fn invalid_address_is_refused_without_repeating_it() {
        for wrong in [
            "",
            ",",
            "http://s3cret@a",
            "nats://",
            "nats://u:s3cret@a:b",
            "ws://a",
        ] {
            let message = addresses(wrong).err().unwrap().to_string();
            assert!(
                message.contains("NATS_URL") && !message.contains("s3cret"),
                "{wrong}: {message}"
            );
        }
        assert!(matches!(
            addresses("nats://u:p@a,nats://u:q@b").err(),
            Some(LogError::SeveralUsers)
        ));
    }
}
