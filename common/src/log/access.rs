//! How we get into NATS: which servers, by TLS or not, and as whom.
//!
//! async-nats takes one address where settings list several, uses no user that stands in one, and writes addresses to its
//! log. So they are taken apart here, and it is handed addresses without secrets.

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

/// Where to connect, and how.
///
/// # Errors
/// When `NATS_URL` makes no sense, or a file that is named can't be read.
pub async fn options(
    settings: &NatsSettings,
) -> Result<(Vec<ServerAddr>, ConnectOptions), LogError> {
    let access = &settings.access;
    let (servers, user) = addresses(settings.nats_url.expose())?;
    let mut options = ConnectOptions::new();
    // Servers that a cluster tells of have no scheme: they are to be no less safe than those that are listed.
    let by_tls = servers.iter().any(ServerAddr::tls_required);
    options = options
        .require_tls(by_tls || access.nats_ca_file.is_some() || access.nats_cert_file.is_some());
    if let Some(file) = &access.nats_ca_file {
        readable("NATS_CA_FILE", file, "BEGIN CERTIFICATE").await?;
        options = options.add_root_certificates(file.clone());
    }
    if let (Some(certificate), Some(key)) = (&access.nats_cert_file, &access.nats_key_file) {
        readable("NATS_CERT_FILE", certificate, "BEGIN CERTIFICATE").await?;
        readable("NATS_KEY_FILE", key, "PRIVATE KEY").await?;
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    options = match (&access.nats_credentials_file, user) {
        (Some(file), _) => {
            let text = readable("NATS_CREDENTIALS_FILE", file, "NATS USER JWT").await?;
            let unreadable = |_| {
                no_file(
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

/// Whether trying again may help: nobody was there, or no answer came.
#[must_use]
pub fn may_pass(error: &ConnectError) -> bool {
    error.kind() != ConnectErrorKind::AuthorizationViolation && tls::advice(error, &TLS).is_none()
}

/// What to tell an operator of a connection that could not be made.
#[must_use]
pub fn failed(error: ConnectError) -> LogError {
    match tls::advice(&error, &TLS) {
        Some(advice) => LogError::Tls(advice),
        None if error.kind() == ConnectErrorKind::AuthorizationViolation => LogError::NotLetIn,
        None => LogError::Unreachable(error),
    }
}

/// Who stands before the `@` of an address: a user with a password, or a token.
#[derive(PartialEq, Eq)]
struct User {
    name: String,
    password: Option<String>,
}

/// The addresses of a list, without the user that stands in them.
fn addresses(list: &str) -> Result<(Vec<ServerAddr>, Option<User>), LogError> {
    let (mut servers, mut user) = (Vec::new(), None);
    for text in list
        .split(',')
        .map(str::trim)
        .filter(|text| !text.is_empty())
    {
        // The error would repeat the text, and with it the password.
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

/// The text of a file that must have certain words in it.
async fn readable(setting: &'static str, file: &Path, words: &str) -> Result<String, LogError> {
    let text = tokio::fs::read_to_string(file)
        .await
        .map_err(|error| no_file(setting, file, &error.to_string()))?;
    if text.contains(words) {
        Ok(text)
    } else {
        Err(no_file(
            setting,
            file,
            &format!("there is no {words:?} in it"),
        ))
    }
}

fn no_file(setting: &'static str, file: &Path, why: &str) -> LogError {
    LogError::NoFile {
        setting,
        file: file.display().to_string(),
        why: why.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_taken_apart_and_no_address_has_a_secret() {
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
    fn what_is_no_address_is_refused_without_being_repeated() {
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
