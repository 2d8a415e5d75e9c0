//! The right to call `/api/admin`. A handler that takes [`Admin`] runs only with it.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use subtle::ConstantTimeEq;

use crate::app::App;
use crate::host_clock;
use crate::http::problem::{Problem, codes};
use crate::pages::session;

/// Extracted when a request has the admin token or a session of the console. Without an `ADMIN_TOKEN`, it is 404. axum
/// extracts it before the body is read.
pub(crate) struct Admin;

impl FromRequestParts<Arc<App>> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let token = app.settings.admin_token().ok_or(&codes::NOT_FOUND)?;
        let is_allowed = match parts.headers.get(AUTHORIZATION) {
            None => {
                session::is_signed_in(token, &parts.headers, host_clock::unix_seconds())
                    && session::is_from_console(&parts.method, &parts.headers)
            }
            // RFC 9110, section 11.1: upper and lower case of the scheme's name do not matter.
            Some(sent) => sent
                .as_bytes()
                .split_at_checked(b"Bearer ".len())
                .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"Bearer "))
                .is_some_and(|(_, sent)| sent.ct_eq(token.expose().as_bytes()).into()),
        };
        if is_allowed {
            Ok(Self)
        } else {
            Err(Problem::new(&codes::UNAUTHORIZED))
        }
    }
}
