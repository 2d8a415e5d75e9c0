//! The `Prefer` header (RFC 7240): `wait=N` and `respond-async`.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};

const PREFER: &str = "prefer";

/// A client's preferences for the wait for its outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preference {
    wait_seconds: Option<u32>,
    respond_async: bool,
}

impl Preference {
    /// Parses every `Prefer` header of a request. Unknown preferences are ignored. Of two values for one preference the
    /// first counts, as the RFC requires.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let mut preference = Self::default();
        for value in headers.get_all(PREFER) {
            for one in value.to_str().unwrap_or_default().split(',') {
                preference.parse(one);
            }
        }
        preference
    }

    fn parse(&mut self, text: &str) {
        // The two known preferences have no parameters, so everything after a semicolon is ignored.
        let text = text.split(';').next().unwrap_or_default();
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        let (name, value) = (name.trim(), value.trim().trim_matches('"'));
        if name.eq_ignore_ascii_case("respond-async") && value.is_empty() {
            self.respond_async = true;
        } else if name.eq_ignore_ascii_case("wait") && self.wait_seconds.is_none() {
            self.wait_seconds = value.parse().ok();
        }
    }

    /// The time to wait: the client's preference, at most `longest`.
    #[must_use]
    pub fn wait(&self, longest: Duration) -> Duration {
        match self.wait_seconds {
            Some(seconds) => longest.min(Duration::from_secs(seconds.into())),
            None if self.respond_async => Duration::ZERO,
            None => longest,
        }
    }

    /// The value of `Preference-Applied`, when the client sent a preference.
    #[must_use]
    pub fn applied(&self) -> Option<HeaderValue> {
        let wait = self.wait_seconds.map(|seconds| format!("wait={seconds}"));
        let respond_async = self.respond_async.then(|| "respond-async".to_owned());
        let applied: Vec<_> = respond_async.into_iter().chain(wait).collect();
        if applied.is_empty() {
            None
        } else {
            HeaderValue::from_str(&applied.join(", ")).ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(5);

    fn read(values: &[&'static str]) -> (Duration, Option<String>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(PREFER, HeaderValue::from_static(value));
        }
        let preference = Preference::of(&headers);
        let applied = preference
            .applied()
            .map(|value| value.to_str().unwrap().to_owned());
        (preference.wait(LONGEST), applied)
    }

    fn seconds(seconds: u64, applied: &str) -> (Duration, Option<String>) {
        (Duration::from_secs(seconds), Some(applied.to_owned()))
    }

    #[test]
    fn preferences_follow_rfc_7240() {
        assert_eq!(read(&[]), (LONGEST, None));
        assert_eq!(read(&["respond-async"]), seconds(0, "respond-async"));
        assert_eq!(read(&["wait=0"]), seconds(0, "wait=0"));
        assert_eq!(read(&["wait=2"]), seconds(2, "wait=2"));
        assert_eq!(read(&["Wait = \"2\""]), seconds(2, "wait=2"));
        assert_eq!(read(&["wait=60"]), seconds(5, "wait=60"));
        assert_eq!(
            read(&["respond-async, wait=2"]),
            seconds(2, "respond-async, wait=2")
        );
        assert_eq!(
            read(&["wait=2", "respond-async"]),
            seconds(2, "respond-async, wait=2")
        );
        assert_eq!(read(&["wait=2, wait=3"]), seconds(2, "wait=2"));
        assert_eq!(
            read(&["return=minimal; x=1, respond-async;y"]),
            seconds(0, "respond-async")
        );
    }

    #[test]
    fn unknown_preferences_are_ignored() {
        for value in [
            "wait=-1",
            "wait=soon",
            "wait",
            "wait=99999999999",
            ",,;=",
            "handling=lenient",
        ] {
            assert_eq!(read(&[value]), (LONGEST, None), "{value}");
        }
    }
}
