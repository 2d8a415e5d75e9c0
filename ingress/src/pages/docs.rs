//! `/openapi.json` describes the API, `/docs` shows that description. What it takes is part of the program: a page that
//! is looked at in the middle of a sale must not depend on anybody else's server, nor run anybody else's code.

use std::collections::HashMap;
use std::sync::LazyLock;

use axum::http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use rust_embed::Embed;

use crate::http::openapi;
use crate::http::parameters::Path;
use crate::http::problem::Problem;
use crate::pages::assets::{Asset, Keep};

/// Nothing but the page's own files. The viewer sets styles of its elements, so those may be inline; scripts may not.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; \
    img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const PAGE: &str = "index.html";

#[derive(Embed)]
#[folder = "assets/docs"]
struct Files;

static DESCRIPTION: LazyLock<Result<Asset, serde_json::Error>> = LazyLock::new(|| {
    let description = serde_json::to_vec(&crate::routes::description())?;
    Ok(Asset::new("application/json", Keep::Confirmed, description))
});

static VIEWER: LazyLock<Viewer> = LazyLock::new(Viewer::load);

/// The page, and its files by the names it calls them.
struct Viewer {
    page: Asset,
    files: HashMap<String, Asset>,
}

impl Viewer {
    /// A file's name says its version, in the page as in its address.
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
            let asset = Asset::new(content_type, Keep::Forever, file.data.into_owned());
            let versioned = format!("{stem}.{}.{ending}", asset.hash());
            page = page.replace(&format!("docs/{name}"), &format!("docs/{versioned}"));
            files.insert(versioned, asset);
        }
        Self {
            page: Asset::new("text/html; charset=utf-8", Keep::Confirmed, page),
            files,
        }
    }
}

/// This description
#[utoipa::path(get, path = "/openapi.json", tag = "Service", operation_id = "getDescription",
    params(openapi::IfNoneMatch),
    responses(
        (status = 200, description = "An OpenAPI document", body = Object, content_type = "application/json"),
        (status = 304, description = "The client has it"),
    ))]
pub(crate) async fn description(headers: HeaderMap) -> Result<Response, Problem> {
    match &*DESCRIPTION {
        Ok(description) => Ok(description.answer(&headers)),
        Err(error) => {
            tracing::error!(%error, "the description could not be written");
            Err(Problem::internal())
        }
    }
}

/// This description to read
#[utoipa::path(get, path = "/docs", tag = "Service", operation_id = "getDocs",
    params(openapi::IfNoneMatch),
    responses(
        (status = 200, description = "A page", body = String, content_type = "text/html"),
        (status = 304, description = "The client has it"),
    ))]
pub(crate) async fn page(headers: HeaderMap) -> Response {
    let mut response = VIEWER.page.answer(&headers);
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// `GET /docs/{file}`: what the page is made of.
pub(crate) async fn file(Path(name): Path, headers: HeaderMap) -> Result<Response, Problem> {
    let file = VIEWER
        .files
        .get(&name)
        .ok_or_else(|| Problem::not_found("not_found"))?;
    let mut response = file.answer(&headers);
    response
        .headers_mut()
        .insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}
