//! `/openapi.json`, the OpenAPI description of the API, and `/docs`, a page that shows it.
//!
//! All files of the page are compiled into the program. The page must not load anything from another server, so it also
//! works during a sale without access to the internet, and it runs no code from elsewhere.

use std::collections::HashMap;
use std::sync::{LazyLock, OnceLock};

use axum::Extension;

use axum::http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use rust_embed::Embed;
use utoipa::openapi::OpenApi;

use crate::http::openapi;
use crate::http::parameters::Path;
use crate::http::problem::{Problem, codes};
use crate::pages::assets::{Asset, CachePolicy};

/// The page loads only its own files. The viewer sets inline styles, so these are allowed; inline scripts are not.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; \
    img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const PAGE: &str = "index.html";

#[derive(Embed)]
#[folder = "assets/docs"]
struct Files;

/// Makes the OpenAPI description. The router gives it to the handler of `/openapi.json`.
#[derive(Clone, Copy)]
pub(crate) struct DescriptionSource(pub(crate) fn() -> OpenApi);

impl DescriptionSource {
    fn asset(self) -> Result<Asset, serde_json::Error> {
        let description = serde_json::to_vec(&(self.0)())?;
        Ok(Asset::new(
            "application/json",
            CachePolicy::Revalidate,
            description,
        ))
    }
}

static VIEWER: LazyLock<Viewer> = LazyLock::new(Viewer::load);

struct Viewer {
    page: Asset,
    /// By name, with the version in the name.
    files: HashMap<String, Asset>,
}

impl Viewer {
    /// Puts each file's version into its name, and replaces the names in the page.
    fn load() -> Self {
        let mut page = Files::get(PAGE)
            .map(|page| String::from_utf8_lossy(&page.data).into_owned())
            .unwrap_or_default();
        let mut files = HashMap::new();
        for name in Files::iter().filter(|name| name != PAGE) {
            let Some(file) = Files::get(&name) else {
                continue;
            };
            let (stem, ending) = name.rsplit_once('.').unwrap_or((&name, ""));
            let content_type = match ending {
                "js" => "text/javascript; charset=utf-8",
                "css" => "text/css; charset=utf-8",
                "svg" => "image/svg+xml",
                _ => "text/plain; charset=utf-8",
            };
            let asset = Asset::new(content_type, CachePolicy::Immutable, file.data.into_owned());
            let versioned = format!("{stem}.{}.{ending}", asset.hash());
            page = page.replace(&format!("docs/{name}"), &format!("docs/{versioned}"));
            files.insert(versioned, asset);
        }
        Self {
            page: Asset::new("text/html; charset=utf-8", CachePolicy::Revalidate, page),
            files,
        }
    }
}

/// This description
#[utoipa::path(get, path = "/openapi.json", tag = "Service", operation_id = "getDescription",
    params(openapi::IfNoneMatch),
    responses(
        (status = 200, description = "An OpenAPI document", body = Object, content_type = "application/json"),
        (status = 304, description = "The client has the current version"),
    ))]
pub(crate) async fn description(
    Extension(source): Extension<DescriptionSource>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    static DESCRIPTION: OnceLock<Result<Asset, serde_json::Error>> = OnceLock::new();
    match DESCRIPTION.get_or_init(|| source.asset()) {
        Ok(description) => Ok(description.response(&headers)),
        Err(error) => {
            tracing::error!(%error, "serialising the OpenAPI description failed");
            Err(Problem::new(&codes::INTERNAL_ERROR))
        }
    }
}

/// This description as a page
#[utoipa::path(get, path = "/docs", tag = "Service", operation_id = "getDocs",
    params(openapi::IfNoneMatch),
    responses(
        (status = 200, description = "A page", body = String, content_type = "text/html"),
        (status = 304, description = "The client has the current version"),
    ))]
pub(crate) async fn page(headers: HeaderMap) -> Response {
    let mut response = VIEWER.page.response(&headers);
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// `GET /docs/{file}`: a file of the page.
pub(crate) async fn file(Path(name): Path, headers: HeaderMap) -> Result<Response, Problem> {
    let file = VIEWER.files.get(&name).ok_or(&codes::NOT_FOUND)?;
    let mut response = file.response(&headers);
    response
        .headers_mut()
        .insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}
