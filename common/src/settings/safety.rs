//! Settings that the programs for production refuse to start with: `holdfast dev` asks for none of this.
//!
//! Each refusal names the setting and what to do. What may be right all the same, on a network or in a trial that only its
//! operator knows, can be accepted by name in `ALLOW_UNSAFE`; the secrets of `dev` can't.

use std::fmt;
use std::sync::LazyLock;

use clap::{Args, ValueEnum};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

use crate::settings::{
    DEV_ADMIN_TOKEN, DEV_WEBHOOK_SECRET, EventSettings, IngressSettings, NatsSettings, Networks,
    PostgresSettings, Secret, WorkerSettings,
};

/// A secret that is shorter, in bytes, can be guessed over the network.
const SECRET_BYTES_MIN: usize = 8;

/// Networks that the Internet does not reach: this host's, private ones (RFC 1918, RFC 4193, RFC 6598), links.
static NEAR: LazyLock<Networks> = LazyLock::new(|| {
    let near = "127.0.0.0/8,::1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,169.254.0.0/16,fc00::/7,fe80::/10";
    near.parse().unwrap_or_default()
});

/// What an operator may accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Risk {
    /// Secrets that can be guessed.
    ShortSecrets,
    /// Proxies that anybody can be.
    AnyProxy,
    /// Postgres without TLS on a network that others may reach.
    PlainPostgres,
    /// NATS without TLS on such a network.
    PlainNats,
    /// Payments and events posted without TLS on such a network.
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

/// What is accepted though it is not safe.
#[derive(Args, Clone, Debug, Default)]
pub struct SafetySettings {
    /// What is wanted though it is not safe, with commas between
    #[arg(long, env = "ALLOW_UNSAFE", value_enum, value_delimiter = ',')]
    pub allow_unsafe: Vec<Risk>,
}

/// A setting that is not safe outside `holdfast dev`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} {why}{}", self.way_out())]
pub struct UnsafeSetting {
    /// Its name.
    pub setting: &'static str,
    why: String,
    /// What accepts it; nothing does where there is none.
    pub risk: Option<Risk>,
}

impl UnsafeSetting {
    fn way_out(&self) -> String {
        self.risk.map_or_else(String::new, |risk| {
            format!(", or accept it with ALLOW_UNSAFE={risk}")
        })
    }
}

/// All that is refused at a start.
#[derive(Debug, thiserror::Error)]
#[error("not safe outside `holdfast dev`:\n{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct UnsafeSettings(Vec<UnsafeSetting>);

impl SafetySettings {
    /// Refuses what was not accepted; what was is logged.
    ///
    /// # Errors
    /// When there is such a setting.
    pub fn refuse(
        &self,
        found: impl IntoIterator<Item = UnsafeSetting>,
    ) -> Result<(), UnsafeSettings> {
        let (accepted, refused): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|found| self.accepts(found));
        for UnsafeSetting { setting, why, .. } in accepted {
            tracing::warn!(setting, "accepted by ALLOW_UNSAFE, though it {why}");
        }
        if refused.is_empty() {
            Ok(())
        } else {
            Err(UnsafeSettings(refused))
        }
    }

    /// Whether an operator wants it so.
    #[must_use]
    pub fn accepts(&self, found: &UnsafeSetting) -> bool {
        found
            .risk
            .is_some_and(|risk| self.allow_unsafe.contains(&risk))
    }
}

impl PostgresSettings {
    /// What is not safe about the way to Postgres.
    pub async fn unsafe_settings(&self) -> Option<UnsafeSetting> {
        // What is no URL is refused when it is used.
        let options: PgConnectOptions = self.database_url.expose().parse().ok()?;
        let is_plain = matches!(
            options.get_ssl_mode(),
            PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer
        );
        let is_far = options.get_socket().is_none() && is_far(options.get_host()).await;
        let why = "may lead to Postgres without TLS, on a network that others reach: add sslmode=verify-full to it";
        (is_plain && is_far).then(|| not_safe("DATABASE_URL", why, Some(Risk::PlainPostgres)))
    }
}

impl NatsSettings {
    /// What is not safe about the way to NATS.
    pub async fn unsafe_settings(&self) -> Option<UnsafeSetting> {
        if self.access.nats_ca_file.is_some() || self.access.nats_cert_file.is_some() {
            return None;
        }
        let why = "leads to NATS without TLS, on a network that others reach: begin it with tls://";
        let is_plain = any_far(&self.nats_url, "nats").await;
        is_plain.then(|| not_safe("NATS_URL", why, Some(Risk::PlainNats)))
    }
}

impl IngressSettings {
    /// What is not safe about the rest of an ingress.
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
        let proxies = self.limits.trusted_proxies.has_everybody().then(|| {
            let why = "lets anybody claim any address: name the proxies that are there";
            not_safe("TRUSTED_PROXIES", why, Some(Risk::AnyProxy))
        });
        secrets.into_iter().chain([proxies]).flatten().collect()
    }
}

impl WorkerSettings {
    /// What is not safe about where workers post, and what they sign with.
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
                && any_far(urls, "http").await
            {
                let why =
                    "posts without TLS, on a network that others reach: begin it with https://";
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

/// Judges a secret, or several with commas between them.
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
        let why = "is the value of `holdfast dev`, which everybody knows: set one of your own";
        return Some(not_safe(setting, why, None));
    }
    let is_short = each().any(|one| (1..SECRET_BYTES_MIN).contains(&one.len()));
    let why =
        || format!("is shorter than {SECRET_BYTES_MIN} characters: draw a longer one at random");
    is_short.then(|| not_safe(setting, why(), Some(Risk::ShortSecrets)))
}

/// Whether one of several URLs has a scheme and leads far away.
async fn any_far(urls: &Secret, scheme: &str) -> bool {
    for text in urls.expose().split(',').map(str::trim) {
        let url = Url::parse(text).or_else(|_| Url::parse(&format!("{scheme}://{text}")));
        // What is no URL is refused when it is used.
        if let Ok(url) = url
            && url.scheme() == scheme
            && is_far(url.host_str().unwrap_or_default()).await
        {
            return true;
        }
    }
    false
}

/// Whether others than this host's network may be on the way to a host. A name that nobody knows leads nowhere: trying to
/// connect says so.
async fn is_far(host: &str) -> bool {
    let found = tokio::net::lookup_host((host.trim_matches(['[', ']']), 0)).await;
    found.is_ok_and(|mut addresses| addresses.any(|address| !NEAR.contains(address.ip())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_the_internet_does_not_reach_is_near() {
        for near in [
            "127.0.0.1",
            "::1",
            "[::1]",
            "10.1.2.3",
            "172.31.0.1",
            "192.168.1.1",
            "fd00::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(!is_far(near).await, "{near}");
        }
        for far in [
            "203.0.113.5",
            "172.32.0.1",
            "2001:db8::1",
            "[2001:db8::1]",
            "::ffff:203.0.113.5",
        ] {
            assert!(is_far(far).await, "{far}");
        }
        assert!(!is_far("no such name").await);
    }

    #[tokio::test]
    async fn plain_connections_are_judged_by_where_they_lead() {
        let postgres = async |url: &str| {
            let settings = PostgresSettings {
                database_url: Secret::from(url.to_owned()),
            };
            settings.unsafe_settings().await.is_some()
        };
        assert!(postgres("postgres://u:p@203.0.113.5/x").await);
        assert!(
            postgres("postgres://u:p@203.0.113.5/x?sslmode=prefer").await,
            "prefer may be talked out of it"
        );
        assert!(!postgres("postgres://u:p@203.0.113.5/x?sslmode=verify-full").await);
        assert!(!postgres("postgres://u:p@10.0.0.5/x").await);
        assert!(!postgres("postgres:///x?host=/run/postgresql").await);
        let far = async |url: &str, scheme| any_far(&Secret::from(url.to_owned()), scheme).await;
        assert!(far("nats://10.0.0.1,nats://u@203.0.113.5:4222", "nats").await);
        assert!(far("203.0.113.5:4222", "nats").await);
        assert!(!far("tls://203.0.113.5,nats://[::1]:4222", "nats").await);
        assert!(!far("https://203.0.113.5/x", "http").await);
    }

    #[test]
    fn a_secret_is_judged_with_each_of_its_list() {
        let judged =
            |list: &str| unsafe_secret("S", Some(&Secret::from(list.to_owned())), "of-dev-itself");
        assert_eq!(judged("long enough, and another"), None);
        assert_eq!(judged(""), None, "none is set");
        assert_eq!(judged("long enough,of-dev-itself").unwrap().risk, None);
        let short = judged("long enough, short").unwrap();
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
