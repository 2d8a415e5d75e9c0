//! The check for unsafe settings: `holdfast-ingress` and `holdfast-workers` do not start with them. `holdfast dev` does not
//! check.
//!
//! The error names the setting and says what to change. An operator can accept most risks by name in `ALLOW_UNSAFE`, for
//! example on a private network. The public secrets of `dev` can't be accepted.

use std::fmt;
use std::sync::LazyLock;

use clap::{Args, ValueEnum};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

use crate::settings::{
    DEV_ADMIN_TOKEN, DEV_WEBHOOK_SECRET, EventSettings, IngressSettings, NatsSettings, Networks,
    PostgresSettings, Secret, WorkerSettings,
};

/// Shortest secret, in bytes. A shorter one can be guessed over the network.
const SECRET_BYTES_MIN: usize = 8;

/// Networks that are not reachable from the Internet: loopback, private (RFC 1918, RFC 4193, RFC 6598) and link-local.
static PRIVATE: LazyLock<Networks> = LazyLock::new(|| {
    let private = "127.0.0.0/8,::1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,169.254.0.0/16,fc00::/7,fe80::/10";
    private.parse().unwrap_or_default()
});

/// A risk that an operator can accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Risk {
    /// Secrets that are short enough to be guessed
    ShortSecrets,
    /// TRUSTED_PROXIES that contain every address
    AnyProxy,
    /// Postgres without TLS beyond private networks
    PlainPostgres,
    /// NATS without TLS beyond private networks
    PlainNats,
    /// Refund requests and events posted without TLS beyond private networks
    PlainHttp,
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            self.to_possible_value()
                .as_ref()
                .map_or("", |value| value.get_name()),
        )
    }
}

/// The risks that the operator accepts.
#[derive(Args, Clone, Debug, Default)]
pub struct SafetySettings {
    /// Unsafe settings that are accepted, separated by commas
    #[arg(long, env = "ALLOW_UNSAFE", value_enum, value_delimiter = ',')]
    pub allow_unsafe: Vec<Risk>,
}

/// A setting that is unsafe outside `holdfast dev`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} {why}{}", self.alternative())]
pub struct UnsafeSetting {
    pub setting: &'static str,
    why: String,
    /// The risk to accept in `ALLOW_UNSAFE`; `None` when the setting can't be accepted.
    pub risk: Option<Risk>,
}

impl UnsafeSetting {
    fn alternative(&self) -> String {
        self.risk.map_or_else(String::new, |risk| {
            format!(", or accept it with ALLOW_UNSAFE={risk}")
        })
    }
}

/// The unsafe settings that were not accepted.
#[derive(Debug, thiserror::Error)]
#[error("not safe outside `holdfast dev`:\n{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct UnsafeSettings(Vec<UnsafeSetting>);

impl SafetySettings {
    /// Rejects the unsafe settings that the operator did not accept, and logs a warning for each accepted one.
    ///
    /// # Errors
    /// When an unsafe setting was not accepted.
    pub fn refuse(
        &self,
        found: impl IntoIterator<Item = UnsafeSetting>,
    ) -> Result<(), UnsafeSettings> {
        let (accepted, refused): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|found| self.accepts(found));
        for UnsafeSetting { setting, why, .. } in accepted {
            tracing::warn!(
                setting,
                reason = why,
                "unsafe setting accepted by ALLOW_UNSAFE"
            );
        }
        if refused.is_empty() {
            Ok(())
        } else {
            Err(UnsafeSettings(refused))
        }
    }

    /// Whether the operator accepted the risk of a setting.
    #[must_use]
    pub fn accepts(&self, found: &UnsafeSetting) -> bool {
        found
            .risk
            .is_some_and(|risk| self.allow_unsafe.contains(&risk))
    }
}

impl PostgresSettings {
    /// The unsafe setting of the connection to Postgres, if there is one.
    pub async fn unsafe_settings(&self) -> Option<UnsafeSetting> {
        // A malformed URL is reported when Holdfast connects.
        let options: PgConnectOptions = self.database_url.expose().parse().ok()?;
        let is_plain = matches!(
            options.get_ssl_mode(),
            PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer
        );
        let is_public = options.get_socket().is_none() && is_public(options.get_host()).await;
        let why = "may connect to Postgres without TLS, beyond private networks: add sslmode=verify-full to it";
        (is_plain && is_public).then(|| not_safe("DATABASE_URL", why, Some(Risk::PlainPostgres)))
    }
}

impl NatsSettings {
    /// The unsafe setting of the connection to NATS, if there is one.
    pub async fn unsafe_settings(&self) -> Option<UnsafeSetting> {
        if self.access.nats_ca_file.is_some() || self.access.nats_cert_file.is_some() {
            return None;
        }
        let why = "connects to NATS without TLS, beyond private networks: begin it with tls://";
        let is_plain = any_public(&self.nats_url, "nats").await;
        is_plain.then(|| not_safe("NATS_URL", why, Some(Risk::PlainNats)))
    }
}

impl IngressSettings {
    /// The unsafe settings of an ingress, apart from its connections.
    #[must_use]
    pub fn unsafe_settings(&self) -> Vec<UnsafeSetting> {
        let secrets = [
            unsafe_secret("ADMIN_TOKEN", self.admin_token.as_ref(), DEV_ADMIN_TOKEN),
            unsafe_secret(
                "WEBHOOK_SECRETS",
                self.webhook_secrets.as_ref(),
                DEV_WEBHOOK_SECRET,
            ),
        ];
        let proxies = self.limits.trusted_proxies.contains_all().then(|| {
            let why = "contains every address, so that every client can forge its address: list the addresses of your proxies";
            not_safe("TRUSTED_PROXIES", why, Some(Risk::AnyProxy))
        });
        secrets.into_iter().chain([proxies]).flatten().collect()
    }
}

impl WorkerSettings {
    /// The unsafe URLs and secrets of a worker process.
    pub async fn unsafe_settings(&self) -> Vec<UnsafeSetting> {
        let EventSettings {
            event_urls,
            event_secrets,
            ..
        } = &self.events;
        let secrets = [
            ("REFUND_SECRET", &self.refund_secret),
            ("EVENT_SECRETS", event_secrets),
        ];
        let secrets = secrets
            .map(|(setting, secret)| unsafe_secret(setting, secret.as_ref(), DEV_WEBHOOK_SECRET));
        let mut found: Vec<_> = secrets.into_iter().flatten().collect();
        for (setting, urls) in [("REFUND_URL", &self.refund_url), ("EVENT_URLS", event_urls)] {
            if let Some(urls) = urls
                && any_public(urls, "http").await
            {
                let why = "posts without TLS, beyond private networks: begin it with https://";
                found.push(not_safe(setting, why, Some(Risk::PlainHttp)));
            }
        }
        found
    }
}

fn not_safe(setting: &'static str, why: impl Into<String>, risk: Option<Risk>) -> UnsafeSetting {
    UnsafeSetting {
        setting,
        why: why.into(),
        risk,
    }
}

/// Checks a secret, or a list of secrets separated by commas.
fn unsafe_secret(
    setting: &'static str,
    secret: Option<&Secret>,
    of_dev: &str,
) -> Option<UnsafeSetting> {
    let each = || {
        secret
            .into_iter()
            .flat_map(|list| list.expose().split(','))
            .map(str::trim)
    };
    if each().any(|one| one == of_dev) {
        let why = "is the public value of `holdfast dev`: set a secret of your own";
        return Some(not_safe(setting, why, None));
    }
    let is_short = each().any(|one| (1..SECRET_BYTES_MIN).contains(&one.len()));
    let why = || {
        format!("is shorter than {SECRET_BYTES_MIN} characters: generate a longer one at random")
    };
    is_short.then(|| not_safe(setting, why(), Some(Risk::ShortSecrets)))
}

/// Whether one of several URLs has this scheme and a host beyond private networks.
async fn any_public(urls: &Secret, scheme: &str) -> bool {
    for text in urls.expose().split(',').map(str::trim) {
        let url = Url::parse(text).or_else(|_| Url::parse(&format!("{scheme}://{text}")));
        // A malformed URL is reported when Holdfast connects.
        if let Ok(url) = url
            && url.scheme() == scheme
            && is_public(url.host_str().unwrap_or_default()).await
        {
            return true;
        }
    }
    false
}

/// Whether a host has an address beyond private networks. An unknown name counts as private: connecting to it fails anyway.
async fn is_public(host: &str) -> bool {
    let found = tokio::net::lookup_host((host.trim_matches(['[', ']']), 0)).await;
    found.is_ok_and(|mut addresses| addresses.any(|address| !PRIVATE.contains(address.ip())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn private_networks_are_not_public() {
        for private in [
            "127.0.0.1",
            "::1",
            "[::1]",
            "10.1.2.3",
            "172.31.0.1",
            "192.168.1.1",
            "fd00::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(!is_public(private).await, "{private}");
        }
        for public in [
            "203.0.113.5",
            "172.32.0.1",
            "2001:db8::1",
            "[2001:db8::1]",
            "::ffff:203.0.113.5",
        ] {
            assert!(is_public(public).await, "{public}");
        }
        assert!(!is_public("no such name").await);
    }

    #[tokio::test]
    async fn plain_connections_are_unsafe_to_public_hosts_only() {
        let postgres = async |url: &str| {
            let settings = PostgresSettings {
                database_url: Secret::from(url.to_owned()),
            };
            settings.unsafe_settings().await.is_some()
        };
        assert!(postgres("postgres://u:p@203.0.113.5/x").await);
        assert!(
            postgres("postgres://u:p@203.0.113.5/x?sslmode=prefer").await,
            "an attacker can make sslmode=prefer fall back to plain text"
        );
        assert!(!postgres("postgres://u:p@203.0.113.5/x?sslmode=verify-full").await);
        assert!(!postgres("postgres://u:p@10.0.0.5/x").await);
        assert!(!postgres("postgres:///x?host=/run/postgresql").await);
        let public =
            async |url: &str, scheme| any_public(&Secret::from(url.to_owned()), scheme).await;
        assert!(public("nats://10.0.0.1,nats://u@203.0.113.5:4222", "nats").await);
        assert!(public("203.0.113.5:4222", "nats").await);
        assert!(!public("tls://203.0.113.5,nats://[::1]:4222", "nats").await);
        assert!(!public("https://203.0.113.5/x", "http").await);
    }

    #[test]
    fn every_secret_of_a_list_is_checked() {
        let checked =
            |list: &str| unsafe_secret("S", Some(&Secret::from(list.to_owned())), "of-dev-itself");
        assert_eq!(checked("long enough, and another"), None);
        assert_eq!(checked(""), None, "none is set");
        assert_eq!(checked("long enough,of-dev-itself").unwrap().risk, None);
        let short = checked("long enough, short").unwrap();
        assert!(
            short.to_string().contains("S is shorter than 8 characters")
                && !short.to_string().contains(" short,")
        );
        let accepting = SafetySettings {
            allow_unsafe: vec![Risk::ShortSecrets],
        };
        assert!(accepting.refuse([short.clone()]).is_ok());
        assert!(
            SafetySettings::default()
                .refuse([short])
                .unwrap_err()
                .to_string()
                .contains("ALLOW_UNSAFE=short-secrets")
        );
    }
}
