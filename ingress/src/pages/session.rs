//! Who is signed in to the console: a cookie in the place of the admin token, for some hours.
//!
//! The cookie says until when it is good, signed with a key that comes from the admin token. So every ingress knows it,
//! nothing has to be kept, and a new admin token ends all sessions. The token itself never is in a cookie.

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderName, Method};
use hmac::{Hmac, KeyInit, Mac};
use holdfast_common::settings::Secret;
use sha2::Sha256;

/// How long somebody stays signed in, in seconds: a working day.
pub const SESSION_SECONDS: u64 = 8 * 3600;
/// The cookie's name.
pub const COOKIE_NAME: &str = "holdfast_session";
/// A header that pages of other origins can't send along without being asked first, and nobody says yes.
pub const CONSOLE_HEADER: HeaderName = HeaderName::from_static("x-holdfast-console");

/// What the key is for, so that no other use of the token signs the same.
const PURPOSE: &[u8] = b"holdfast console session 1\n";

/// What a cookie says: until when it is good, and something that no other has.
fn mac(token: &Secret, said: &str) -> Option<Hmac<Sha256>> {
    // HMAC takes keys of any length.
    let mut mac = Hmac::<Sha256>::new_from_slice(token.expose().as_bytes()).ok()?;
    mac.update(PURPOSE);
    mac.update(said.as_bytes());
    Some(mac)
}

/// A cookie's value for somebody who has shown the token.
#[must_use]
pub fn begin(token: &Secret, now_seconds: u64) -> Option<String> {
    let said = format!(
        "{}.{:032x}",
        now_seconds + SESSION_SECONDS,
        rand::random::<u128>()
    );
    let mac = mac(token, &said)?;
    Some(format!(
        "{said}.{}",
        hex::encode(mac.finalize().into_bytes())
    ))
}

/// Whether a request comes with a cookie that is good.
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
    // Two would mean that somebody else has set one.
    let (Some((_, value)), None) = (values.next(), values.next()) else {
        return false;
    };
    is_good(token, value, now_seconds).unwrap_or(false)
}

fn is_good(token: &Secret, value: &str, now_seconds: u64) -> Option<bool> {
    let (said, digest) = value.rsplit_once('.')?;
    mac(token, said)?
        .verify_slice(&hex::decode(digest).ok()?)
        .ok()?;
    let until: u64 = said.split_once('.')?.0.parse().ok()?;
    Some(now_seconds < until)
}

/// Whether a request that changes something was sent by one of our own pages. Reading needs no proof: nobody else sees
/// the answer.
#[must_use]
pub fn is_ours(method: &Method, headers: &HeaderMap) -> bool {
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
    fn a_session_is_good_for_its_time_and_its_token() {
        let value = begin(&Secret::from("one".to_owned()), 1000).unwrap();
        let cookie = format!("theme=dark; {COOKIE_NAME}={value}");
        assert!(
            signed_in("one", &cookie, 1000) && signed_in("one", &cookie, 999 + SESSION_SECONDS)
        );
        assert!(
            !signed_in("one", &cookie, 1000 + SESSION_SECONDS),
            "it has run out"
        );
        assert!(!signed_in("two", &cookie, 1000), "the token is another");
        assert!(
            !signed_in("one", &format!("{cookie}; {COOKIE_NAME}={value}"), 1000),
            "which of them?"
        );
    }

    #[test]
    fn nobody_prolongs_a_session() {
        let value = begin(&Secret::from("one".to_owned()), 1000).unwrap();
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
    fn what_changes_something_must_come_from_our_page() {
        let none = HeaderMap::new();
        assert!(
            is_ours(&Method::GET, &none)
                && !is_ours(&Method::POST, &none)
                && !is_ours(&Method::DELETE, &none)
        );
        let ours = HeaderMap::from_iter([(CONSOLE_HEADER, "1".parse().unwrap())]);
        assert!(is_ours(&Method::POST, &ours));
    }
}
