//! The store's and the console's pages, and the files they are made of, which are part of the program.
//!
//! All files lie under one address that has the hash of all of them, so that modules import each other by plain relative
//! names and browsers keep them for ever. A page must not run anybody else's code, nor any that stands in it.

pub mod assets;
pub mod docs;
pub mod routes;
pub mod session;

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use rust_embed::Embed;
use sha2::{Digest, Sha256};

use crate::pages::assets::{Asset, Keep};

/// Nothing but our own files, and nothing written into a page: no script, no style.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
     base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
);
const CROSS_ORIGIN_OPENER_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-opener-policy");
/// How many digits of its hash tell a build's files apart.
const HASH_DIGITS: usize = 16;

/// The alerts: the console tells what is wrong by the same rules as Prometheus does.
const RULES: (&str, &[u8]) = (
    "console/rules.yml",
    include_bytes!("../../deploy/prometheus/rules.yml"),
);

#[derive(Embed)]
#[folder = "assets/ui"]
struct Embedded;

/// Which page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Page {
    /// The demo store.
    Store,
    /// The demo store with a link to its crowd, which `holdfast dev` runs.
    StoreWithCrowd,
    /// The operator's console.
    Console,
    /// The console's door.
    SignIn,
    /// The console's door, after a wrong token.
    SignInRefused,
    /// The console's door, after too many tokens.
    SignInTooOften,
}

impl Page {
    const ALL: [Self; 6] = [
        Self::Store,
        Self::StoreWithCrowd,
        Self::Console,
        Self::SignIn,
        Self::SignInRefused,
        Self::SignInTooOften,
    ];

    /// The folder of its own files.
    fn folder(self) -> &'static str {
        match self {
            Self::Store | Self::StoreWithCrowd => "store",
            Self::Console => "console",
            Self::SignIn | Self::SignInRefused | Self::SignInTooOften => "sign-in",
        }
    }
}

/// The folder of what only who is signed in may see.
pub const CONSOLE_FOLDER: &str = "console/";
/// The folder of what is there with the demo store only.
pub const STORE_FOLDER: &str = "store/";

static BUILD: LazyLock<Build> = LazyLock::new(Build::load);

struct Build {
    hash: String,
    pages: HashMap<Page, Asset>,
    files: HashMap<String, Asset>,
}

impl Build {
    fn load() -> Self {
        let ours = Embedded::iter().filter_map(|name| {
            Embedded::get(&name).map(|file| (name.into_owned(), file.data.into_owned()))
        });
        let embedded: BTreeMap<String, Vec<u8>> =
            ours.chain([(RULES.0.to_owned(), RULES.1.into())]).collect();
        let mut hash = Sha256::new();
        for (name, data) in &embedded {
            hash.update(name.as_bytes());
            hash.update((data.len() as u64).to_be_bytes());
            hash.update(data);
        }
        let mut hash = hex::encode(hash.finalize());
        hash.truncate(HASH_DIGITS);
        let pages = Page::ALL.map(|page| (page, written(page, &embedded, &hash)));
        let files = embedded.into_iter().filter_map(|(name, data)| {
            let content_type = content_type(&name)?;
            Some((name, Asset::new(content_type, Keep::Forever, data)))
        });
        Self {
            files: files.collect(),
            pages: pages.into_iter().collect(),
            hash,
        }
    }
}

/// Files of other kinds are not served: pages are written, and notes are for those who read the sources.
fn content_type(name: &str) -> Option<&'static str> {
    match name.rsplit_once('.')?.1 {
        "js" => Some("text/javascript; charset=utf-8"),
        "css" => Some("text/css; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        "txt" | "yml" => Some("text/plain; charset=utf-8"),
        _ => None,
    }
}

/// Writes a page: where its files are, and which modules it will want, so that they are fetched side by side.
fn written(page: Page, embedded: &BTreeMap<String, Vec<u8>>, hash: &str) -> Asset {
    let folder = page.folder();
    let html = embedded.get(&format!("{folder}/index.html"));
    let html = html
        .map(|html| String::from_utf8_lossy(html).into_owned())
        .unwrap_or_default();
    let is_wanted = |name: &&String| {
        name.ends_with(".js") && html.contains("type=\"module\"") && {
            let is_common = name.starts_with("vendor/") && !name.ends_with("uplot.js")
                || name.starts_with("shared/");
            is_common || name.starts_with(&format!("{folder}/"))
        }
    };
    let preload = |name: &String| {
        format!("<link rel=\"modulepreload\" href=\"/assets/{hash}/{name}\">\n    ")
    };
    let preloads: String = embedded.keys().filter(is_wanted).map(preload).collect();
    let refused = match page {
        Page::SignInRefused => "That is not the admin token.",
        Page::SignInTooOften => "Too many tries. Wait a minute, then try again.",
        Page::Store | Page::StoreWithCrowd | Page::Console | Page::SignIn => "",
    };
    let has_crowd = if page == Page::StoreWithCrowd {
        "true"
    } else {
        "false"
    };
    let html = html
        .replace("{preloads}", preloads.trim_end())
        .replace("{assets}", &format!("/assets/{hash}"));
    let html = html.replace("{has_crowd}", has_crowd);
    Asset::new(
        "text/html; charset=utf-8",
        Keep::Confirmed,
        html.replace("{refused}", refused),
    )
}

/// A page, with what keeps it from being misused.
#[must_use]
pub fn page(page: Page, request: &HeaderMap) -> Response {
    let mut response = BUILD.pages[&page].answer(request);
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(
        CROSS_ORIGIN_OPENER_POLICY,
        HeaderValue::from_static("same-origin"),
    );
    if page.folder() != Page::Store.folder() {
        // Whether somebody is signed in decides which page it is.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// A file of this build.
#[must_use]
pub fn file(hash: &str, name: &str, request: &HeaderMap) -> Option<Response> {
    if hash != BUILD.hash {
        return None;
    }
    let mut response = BUILD.files.get(name)?.answer(request);
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if name.starts_with(CONSOLE_FOLDER) {
        // A cache that several people share must not show it to those who are not signed in.
        headers.insert(
            CACHE_CONTROL,
            HeaderValue::from_static("private, max-age=31536000, immutable"),
        );
    }
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_there_and_fits_in_its_first_load() {
        const FIRST_LOAD_BYTES_MAX: usize = 200_000;
        for page in Page::ALL {
            let html = Embedded::get(&format!("{}/index.html", page.folder())).unwrap();
            assert!(
                String::from_utf8_lossy(&html.data).contains("{assets}"),
                "{page:?}"
            );
        }
        let plain: usize = Embedded::iter()
            .filter_map(|name| Embedded::get(&name))
            .map(|file| file.data.len())
            .sum();
        assert!(
            plain < FIRST_LOAD_BYTES_MAX,
            "all files together, not even compressed: {plain}"
        );
    }

    #[test]
    fn files_that_are_not_ours_are_as_they_were_vendored() {
        use base64::Engine;
        let notes = Embedded::get("vendor/VENDORED.md").unwrap();
        let notes = String::from_utf8(notes.data.into_owned()).unwrap();
        let vendored = Embedded::iter()
            .filter(|name| name.starts_with("vendor/") && content_type(name).is_some());
        for name in vendored.filter(|name| !name.ends_with(".txt")) {
            let digest = sha2::Sha384::digest(&Embedded::get(&name).unwrap().data);
            let integrity = format!(
                "sha384-{}",
                base64::engine::general_purpose::STANDARD.encode(digest)
            );
            let base = name.trim_start_matches("vendor/");
            let row = notes
                .lines()
                .find(|line| line.starts_with(&format!("| `{base}`")))
                .unwrap_or_else(|| panic!("{name} is not noted"));
            assert!(row.contains(&integrity), "{name} is {integrity}");
        }
    }
}
