//! `/` is the demo store, `/console` the operator's console, and `/assets` has the files of both.
//!
//! The store exists only with `DEMO_STORE`, and the console only with `ADMIN_TOKEN`. Without a session, the console serves
//! only its sign-in page.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, Path, Request, State};
use axum::http::header::{CACHE_CONTROL, LOCATION, ORIGIN, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use subtle::ConstantTimeEq;

use crate::app::App;
use crate::host_clock;
use crate::http::problem::{Problem, codes};
use crate::pages::session::{self, COOKIE_NAME, SESSION_SECONDS};
use crate::pages::{self, CONSOLE_FOLDER, HtmlPage, STORE_FOLDER};

/// The largest sign-in form, in bytes.
pub(crate) const FORM_BYTES_MAX: usize = 4096;
const SEC_FETCH_SITE: &str = "sec-fetch-site";
const CONSOLE: HeaderValue = HeaderValue::from_static("/console");

fn not_found() -> Problem {
    Problem::new(&codes::NOT_FOUND)
}

/// `GET /`
pub(crate) async fn store(
    State(app): State<Arc<App>>,
    page: Option<Extension<HtmlPage>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if !app.settings.has_demo_store() {
        return Err(not_found());
    }
    // A program that adds routes to the ingress may choose the store page that links to them.
    let page = page.map_or(HtmlPage::Store, |Extension(page)| page);
    Ok(pages::page(page, &headers))
}

/// `GET /console`
pub(crate) async fn console(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let token = app.settings.admin_token().ok_or_else(not_found)?;
    let is_signed_in = session::is_signed_in(token, &headers, host_clock::unix_seconds());
    Ok(pages::page(
        if is_signed_in {
            HtmlPage::Console
        } else {
            HtmlPage::SignIn
        },
        &headers,
    ))
}

/// `GET /assets/{hash}/{file}`
pub(crate) async fn file(
    State(app): State<Arc<App>>,
    path: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Path((hash, name)) = path.map_err(|_| not_found())?;
    let is_signed_in = || {
        let token = app.settings.admin_token();
        token
            .is_some_and(|token| session::is_signed_in(token, &headers, host_clock::unix_seconds()))
    };
    let is_hidden = name.starts_with(CONSOLE_FOLDER) && !is_signed_in();
    if is_hidden || name.starts_with(STORE_FOLDER) && !app.settings.has_demo_store() {
        return Err(not_found());
    }
    pages::file(&hash, &name, &headers).ok_or_else(not_found)
}

#[derive(Deserialize)]
struct SignIn {
    token: String,
}

/// `POST /console/session`: checks the admin token of the form, and sets the session's cookie.
pub(crate) async fn sign_in(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Problem> {
    let token = app.settings.admin_token().ok_or_else(not_found)?;
    let headers = request.headers().clone();
    // A page of another site must not be able to sign in.
    let site = headers
        .get(SEC_FETCH_SITE)
        .map_or(&b"same-origin"[..], HeaderValue::as_bytes);
    if site != b"same-origin" && site != b"none" {
        return Err(Problem::new(&codes::UNAUTHORIZED));
    }
    if let Err(refused) = app.rate_limits.check_sign_in(&request) {
        // The status and `Retry-After` of the problem document, with a page as its body.
        let mut response = refused.into_response();
        let page = pages::page(HtmlPage::SignInTooOften, &HeaderMap::new());
        response.headers_mut().extend(page.headers().clone());
        *response.body_mut() = page.into_body();
        return Ok(response);
    }
    let form = read_form(request, app.settings.ingress.limits.request_read()).await?;
    let is_token = bool::from(form.token.as_bytes().ct_eq(token.expose().as_bytes()));
    if !is_token {
        let page = pages::page(HtmlPage::SignInRefused, &HeaderMap::new());
        return Ok((StatusCode::UNAUTHORIZED, page).into_response());
    }
    let value = session::new_cookie_value(token, host_clock::unix_seconds())
        .ok_or(&codes::INTERNAL_ERROR)?;
    let is_https = headers
        .get(ORIGIN)
        .is_some_and(|origin| origin.as_bytes().starts_with(b"https://"));
    let cookie = cookie(&value, SESSION_SECONDS, is_https)?;
    Ok((
        StatusCode::SEE_OTHER,
        [(LOCATION, CONSOLE), (SET_COOKIE, cookie)],
    )
        .into_response())
}

async fn read_form(request: Request, wait: Duration) -> Result<SignIn, Problem> {
    let read = axum::Form::<SignIn>::from_request(request, &());
    match tokio::time::timeout(wait, read).await {
        Ok(Ok(axum::Form(form))) => Ok(form),
        Ok(Err(_)) => Err(Problem::new(&codes::MALFORMED_FORM)),
        Err(_) => Err(Problem::new(&codes::REQUEST_TIMEOUT)),
    }
}

/// `DELETE /console/session`: makes the browser delete the cookie.
pub(crate) async fn sign_out(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Problem> {
    app.settings.admin_token().ok_or_else(not_found)?;
    if !session::is_from_console(request.method(), request.headers()) {
        return Err(Problem::new(&codes::UNAUTHORIZED));
    }
    let headers = [
        (SET_COOKIE, cookie("", 0, false)?),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((StatusCode::NO_CONTENT, headers).into_response())
}

/// Scripts can't read the cookie (`HttpOnly`), and browsers don't send it with requests from other sites (`SameSite`).
fn cookie(value: &str, seconds: u64, is_https: bool) -> Result<HeaderValue, Problem> {
    let secure = if is_https { "; Secure" } else { "" };
    let text = format!(
        "{COOKIE_NAME}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"
    );
    HeaderValue::from_str(&text).map_err(|_| Problem::new(&codes::INTERNAL_ERROR))
}
