//! Static files that are compiled into the program.
//!
//! Each file is compressed once at start, and has an entity tag made from its content.

use std::io::Write;

use axum::body::Body;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, VARY,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use crate::http::render::has_version;

/// Hex digits of the hash that identifies a file's version.
const HASH_DIGITS: usize = 16;

/// How long a client may use its copy of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CachePolicy {
    /// For a year, because another version has another URL.
    Immutable,
    /// The client must ask for each use whether its copy is current.
    Revalidate,
}

/// A file and the headers of its responses.
#[derive(Clone, Debug)]
pub struct Asset {
    content_type: &'static str,
    cache_policy: CachePolicy,
    hash: String,
    etag: HeaderValue,
    plain: Bytes,
    gzip: Bytes,
}

impl Asset {
    #[must_use]
    pub fn new(
        content_type: &'static str,
        cache_policy: CachePolicy,
        plain: impl Into<Bytes>,
    ) -> Self {
        let plain = plain.into();
        let mut hash = hex::encode(Sha256::digest(&plain));
        hash.truncate(HASH_DIGITS);
        let gzip = compressed(&plain).unwrap_or_default();
        // Hex digits between quotes are valid in a header.
        let etag = HeaderValue::from_str(&format!("\"{hash}\""))
            .unwrap_or_else(|_| HeaderValue::from_static("\"\""));
        Self {
            content_type,
            cache_policy,
            hash,
            etag,
            plain,
            gzip,
        }
    }

    /// The first digits of the content's SHA-256. They identify the version.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The response to a request for this file: 304 when the client has this version, compressed when the client accepts
    /// gzip.
    #[must_use]
    pub fn response(&self, request: &HeaderMap) -> Response {
        let is_gzip = !self.gzip.is_empty() && accepts_gzip(request);
        let mut response = if has_version(request, &self.etag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let body = if is_gzip { &self.gzip } else { &self.plain };
            Body::from(body.clone()).into_response()
        };
        let headers = response.headers_mut();
        headers.insert(ETAG, self.etag.clone());
        let cache_control = match self.cache_policy {
            CachePolicy::Immutable => "public, max-age=31536000, immutable",
            CachePolicy::Revalidate => "no-cache",
        };
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache_control));
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        if response.status() == StatusCode::OK {
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
            if is_gzip {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
        }
        response
    }
}

/// The compressed bytes; `None` when they are not smaller.
fn compressed(plain: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).ok()?;
    let gzip = encoder.finish().ok()?;
    (gzip.len() < plain.len()).then(|| gzip.into())
}

/// Whether `Accept-Encoding` lists `gzip` with a weight above 0 (RFC 9110, section 12.5.3).
fn accepts_gzip(request: &HeaderMap) -> bool {
    let listed = request
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok());
    listed.flat_map(|list| list.split(',')).any(|one| {
        let (coding, weight) = one.split_once(';').unwrap_or((one, ""));
        let weight = weight.trim().trim_start_matches("q=");
        coding.trim().eq_ignore_ascii_case("gzip")
            && (weight.is_empty() || weight.parse().is_ok_and(|q: f32| q > 0.0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(asset: &Asset, name: &'static str, value: &'static str) -> (StatusCode, HeaderMap) {
        let request =
            HeaderMap::from_iter([(name.parse().unwrap(), HeaderValue::from_static(value))]);
        let response = asset.response(&request);
        (response.status(), response.headers().clone())
    }

    #[test]
    fn a_file_is_compressed_when_the_client_accepts_gzip() {
        let asset = Asset::new("text/plain", CachePolicy::Immutable, "a".repeat(1000));
        for (accepted, is_gzip) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0", false),
            ("identity", false),
        ] {
            let (status, headers) = headers(&asset, "accept-encoding", accepted);
            assert_eq!(
                (status, headers.contains_key(CONTENT_ENCODING)),
                (StatusCode::OK, is_gzip),
                "{accepted}"
            );
            assert_eq!(headers[VARY], "accept-encoding");
        }
    }

    #[test]
    fn a_client_with_the_current_version_gets_304() {
        let asset = Asset::new("text/plain", CachePolicy::Revalidate, "text");
        let (_, sent) = headers(&asset, "accept", "*/*");
        assert_eq!(
            (&sent[CACHE_CONTROL], &sent[CONTENT_TYPE]),
            (&"no-cache".parse().unwrap(), &"text/plain".parse().unwrap())
        );
        let request =
            HeaderMap::from_iter([(axum::http::header::IF_NONE_MATCH, sent[ETAG].clone())]);
        assert_eq!(asset.response(&request).status(), StatusCode::NOT_MODIFIED);
    }
}
