//! The pages of the demo store and the console, and their files, which are compiled into the program.
//!
//! The URL of every file begins with one hash over all files. So modules import each other by relative names, and browsers
//! may keep a file for ever: another build has other URLs. A page must not run inline code or code of another server.

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

use crate::pages::assets::{Asset, CachePolicy};

/// A page loads only files of this server, and has no inline scripts or styles.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
     base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
);
const CROSS_ORIGIN_OPENER_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-opener-policy");
/// Hex digits of the hash in the URLs of a build's files.
const HASH_DIGITS: usize = 16;

/// The alert rules of Prometheus. The console evaluates the same rules.
const RULES: (&str, &[u8]) = (
    "console/rules.yml",
    include_bytes!("../../deploy/prometheus/rules.yml"),
);

#[derive(Embed)]
#[folder = "assets/ui"]
struct EmbeddedFiles;

/// An HTML page that the ingress serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HtmlPage {
    /// The demo store.
    Store,
    /// The demo store with a link to the crowd, which only `holdfast dev` has.
    StoreWithCrowd,
    /// The operator's console.
    Console,
    /// The console's sign-in page.
    SignIn,
    /// The sign-in page after a wrong token.
    SignInRefused,
    /// The sign-in page after too many attempts.
    SignInTooOften,
}

impl HtmlPage {
    const ALL: [Self; 6] = [
        Self::Store,
        Self::StoreWithCrowd,
        Self::Console,
        Self::SignIn,
        Self::SignInRefused,
        Self::SignInTooOften,
    ];

    /// The folder of the page's own files.
    fn folder(self) -> &'static str {
        match self {
            Self::Store | Self::StoreWithCrowd => "store",
            Self::Console => "console",
            Self::SignIn | Self::SignInRefused | Self::SignInTooOften => "sign-in",
        }
    }
}

/// The folder of files that need a session.
pub const CONSOLE_FOLDER: &str = "console/";
/// The folder of files that need `DEMO_STORE`.
pub const STORE_FOLDER: &str = "store/";

static BUILD: LazyLock<Build> = LazyLock::new(Build::load);

struct Build {
    hash: String,
    pages: HashMap<HtmlPage, Asset>,
    files: HashMap<String, Asset>,
}

impl Build {
    fn load() -> Self {
        let files = EmbeddedFiles::iter().filter_map(|name| {
            EmbeddedFiles::get(&name).map(|file| (name.into_owned(), file.data.into_owned()))
        });
        let embedded: BTreeMap<String, Vec<u8>> = files
            .chain([(RULES.0.to_owned(), RULES.1.into())])
            .collect();
        let mut hash = Sha256::new();
        for (name, data) in &embedded {
            hash.update(name.as_bytes());
            hash.update((data.len() as u64).to_be_bytes());
            hash.update(data);
        }
        let mut hash = hex::encode(hash.finalize());
        hash.truncate(HASH_DIGITS);
        let pages = HtmlPage::ALL.map(|page| (page, render(page, &embedded, &hash)));
        let files = embedded.into_iter().filter_map(|(name, data)| {
            let content_type = content_type(&name)?;
            Some((name, Asset::new(content_type, CachePolicy::Immutable, data)))
        });
        Self {
            files: files.collect(),
            pages: pages.into_iter().collect(),
            hash,
        }
    }
}

/// `None` for files that are not served: the templates of pages, and notes for readers of the sources.
fn content_type(name: &str) -> Option<&'static str> {
    match name.rsplit_once('.')?.1 {
        "js" => Some("text/javascript; charset=utf-8"),
        "css" => Some("text/css; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        "txt" | "yml" => Some("text/plain; charset=utf-8"),
        _ => None,
    }
}

/// Fills a page's template: the URL of its files, and a list of its modules, so that the browser fetches them in parallel.
fn render(page: HtmlPage, embedded: &BTreeMap<String, Vec<u8>>, hash: &str) -> Asset {
    let folder = page.folder();
    let html = embedded.get(&format!("{folder}/index.html"));
    let html = html
        .map(|html| String::from_utf8_lossy(html).into_owned())
        .unwrap_or_default();
    let is_needed = |name: &&String| {
        name.ends_with(".js") && html.contains("type=\"module\"") && {
            let is_shared = name.starts_with("vendor/") && !name.ends_with("uplot.js")
                || name.starts_with("shared/");
            is_shared || name.starts_with(&format!("{folder}/"))
        }
    };
    let preload = |name: &String| {
        format!("<link rel=\"modulepreload\" href=\"/assets/{hash}/{name}\">\n    ")
    };
    let preloads: String = embedded.keys().filter(is_needed).map(preload).collect();
    let refused = match page {
        HtmlPage::SignInRefused => "This is not the admin token.",
        HtmlPage::SignInTooOften => "Too many attempts. Wait a minute, then try again.",
        HtmlPage::Store | HtmlPage::StoreWithCrowd | HtmlPage::Console | HtmlPage::SignIn => "",
    };
    let has_crowd = if page == HtmlPage::StoreWithCrowd {
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
        CachePolicy::Revalidate,
        html.replace("{refused}", refused),
    )
}

/// A page with its security headers.
#[must_use]
pub fn page(page: HtmlPage, request: &HeaderMap) -> Response {
    let mut response = BUILD.pages[&page].response(request);
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(
        CROSS_ORIGIN_OPENER_POLICY,
        HeaderValue::from_static("same-origin"),
    );
    if page.folder() != HtmlPage::Store.folder() {
        // The cookie decides which page this is, so no cache may keep it.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// A file of this build; `None` for another build's hash or an unknown name.
#[must_use]
pub fn file(hash: &str, name: &str, request: &HeaderMap) -> Option<Response> {
    if hash != BUILD.hash {
        return None;
    }
    let mut response = BUILD.files.get(name)?.response(request);
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if name.starts_with(CONSOLE_FOLDER) {
        // A shared cache must not serve it to people who are not signed in.
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
    fn pages_exist_and_their_files_are_small() {
        const FIRST_LOAD_BYTES_MAX: usize = 200_000;
        for page in HtmlPage::ALL {
            let html = EmbeddedFiles::get(&format!("{}/index.html", page.folder())).unwrap();
            assert!(
                String::from_utf8_lossy(&html.data).contains("{assets}"),
                "{page:?}"
            );
        }
        let plain: usize = EmbeddedFiles::iter()
            .filter_map(|name| EmbeddedFiles::get(&name))
            .map(|file| file.data.len())
            .sum();
        assert!(
            plain < FIRST_LOAD_BYTES_MAX,
            "all files together, uncompressed: {plain}"
        );
    }

    #[test]
    fn vendored_files_match_their_recorded_hashes() {
        use base64::Engine;
        let notes = EmbeddedFiles::get("vendor/VENDORED.md").unwrap();
        let notes = String::from_utf8(notes.data.into_owned()).unwrap();
        let vendored = EmbeddedFiles::iter()
            .filter(|name| name.starts_with("vendor/") && content_type(name).is_some());
        for name in vendored.filter(|name| !name.ends_with(".txt")) {
            let digest = sha2::Sha384::digest(&EmbeddedFiles::get(&name).unwrap().data);
            let integrity = format!(
                "sha384-{}",
                base64::engine::general_purpose::STANDARD.encode(digest)
            );
            let base = name.trim_start_matches("vendor/");
            let row = notes
                .lines()
                .find(|line| line.starts_with(&format!("| `{base}`")))
                .unwrap_or_else(|| panic!("{name} is not in VENDORED.md"));
            assert!(row.contains(&integrity), "{name} is {integrity}");
        }
    }
}
