//! Sessions of the console: a signed cookie replaces the admin token for 8 hours.
//!
//! The cookie has the time of its end and a MAC, whose key is the admin token. So every ingress can verify it without
//! stored state, and a new admin token ends all sessions. The cookie must never contain the token.

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderName, Method};
use hmac::{Hmac, KeyInit, Mac};
use holdfast_common::settings::Secret;
use sha2::Sha256;

/// The length of a session, in seconds: a working day.
pub const SESSION_SECONDS: u64 = 8 * 3600;
pub const COOKIE_NAME: &str = "holdfast_session";
/// Proves that a request comes from a page of this server. A browser sends this header for a page of another origin only
/// after a CORS preflight, and the ingress permits none.
pub const CONSOLE_HEADER: HeaderName = HeaderName::from_static("x-holdfast-console");

/// Separates these MACs from any other use of the same key.
const PURPOSE: &[u8] = b"holdfast console session 1\n";

/// The MAC of a cookie's content: the end of the session and a random number.
fn mac(token: &Secret, content: &str) -> Option<Hmac<Sha256>> {
    // HMAC takes keys of any length.
    let mut mac = Hmac::<Sha256>::new_from_slice(token.expose().as_bytes()).ok()?;
    mac.update(PURPOSE);
    mac.update(content.as_bytes());
    Some(mac)
}

/// The value of the cookie for a new session. The caller must have checked the token.
#[must_use]
pub fn new_cookie_value(token: &Secret, now_seconds: u64) -> Option<String> {
    let content = format!(
        "{}.{:032x}",
        now_seconds + SESSION_SECONDS,
        rand::random::<u128>()
    );
    let mac = mac(token, &content)?;
    Some(format!(
        "{content}.{}",
        hex::encode(mac.finalize().into_bytes())
    ))
}

/// Whether a request has the cookie of a session that has not ended.
#[must_use]
pub fn is_signed_in(token: &Secret, headers: &HeaderMap, now_seconds: u64) -> bool {
    let cookies = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let mut values = cookies
        .flat_map(|list| list.split(';'))
        .filter_map(|one| one.trim().split_once('='))
        .filter(|(name, _)| *name == COOKIE_NAME);
    // With two cookies of this name, another site may have set one. So neither counts.
    let (Some((_, value)), None) = (values.next(), values.next()) else {
        return false;
    };
    is_valid(token, value, now_seconds).unwrap_or(false)
}

fn is_valid(token: &Secret, value: &str, now_seconds: u64) -> Option<bool> {
    let (content, digest) = value.rsplit_once('.')?;
    mac(token, content)?
        .verify_slice(&hex::decode(digest).ok()?)
        .ok()?;
    let end_seconds: u64 = content.split_once('.')?.0.parse().ok()?;
    Some(now_seconds < end_seconds)
}

/// Whether a request with a cookie comes from the console's own pages. A read needs no proof, because a page of another
/// origin can't see the response.
#[must_use]
pub fn is_from_console(method: &Method, headers: &HeaderMap) -> bool {
    method.is_safe() || headers.contains_key(CONSOLE_HEADER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed_in(token: &str, cookie: &str, now: u64) -> bool {
        let headers = HeaderMap::from_iter([(COOKIE, cookie.parse().unwrap())]);
        is_signed_in(&Secret::from(token.to_owned()), &headers, now)
    }

    #[test]
    fn a_session_is_valid_for_its_time_and_token() {
        let value = new_cookie_value(&Secret::from("one".to_owned()), 1000).unwrap();
        let cookie = format!("theme=dark; {COOKIE_NAME}={value}");
        assert!(
            signed_in("one", &cookie, 1000) && signed_in("one", &cookie, 999 + SESSION_SECONDS)
        );
        assert!(
            !signed_in("one", &cookie, 1000 + SESSION_SECONDS),
            "the session has ended"
        );
        assert!(!signed_in("two", &cookie, 1000), "the token has changed");
        assert!(
            !signed_in("one", &format!("{cookie}; {COOKIE_NAME}={value}"), 1000),
            "two cookies"
        );
    }

    #[test]
    fn a_forged_cookie_is_refused() {
        let value = new_cookie_value(&Secret::from("one".to_owned()), 1000).unwrap();
        let (until, rest) = value.split_once('.').unwrap();
        let longer = format!("{}.{rest}", until.parse::<u64>().unwrap() + 1);
        for forged in [
            longer.as_str(),
            &value[..value.len() - 1],
            "",
            ".",
            "9999999999..",
            until,
        ] {
            assert!(
                !signed_in("one", &format!("{COOKIE_NAME}={forged}"), 1000),
                "{forged}"
            );
        }
    }

    #[test]
    fn a_change_needs_the_header_of_the_console() {
        let none = HeaderMap::new();
        assert!(
            is_from_console(&Method::GET, &none)
                && !is_from_console(&Method::POST, &none)
                && !is_from_console(&Method::DELETE, &none)
        );
        let headers = HeaderMap::from_iter([(CONSOLE_HEADER, "1".parse().unwrap())]);
        assert!(is_from_console(&Method::POST, &headers));
    }
}
