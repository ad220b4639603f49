//! The refresh token of a browser: in a cookie that no script reads, for this host alone and for its own pages only.
//! Programs get theirs in JSON, and no cookie.

use axum::http::header::{CONTENT_TYPE, COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use confab_protocol::command::{Secret, Session};
use confab_protocol::model::Millis;
use confab_protocol::reject::{Reject, RejectCode};

use super::api::Failure;
use super::origin::{self, Origins};

/// `__Host-` binds it to this host and path, and to TLS. Browsers count plain HTTP on loopback as that.
const NAME: &str = "__Host-confab-refresh";
const ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Strict";

/// The token, if the request carries one.
pub(super) fn find(headers: &HeaderMap) -> Option<Secret> {
    // Other cookies of the host may hold what is no text.
    let parts = headers.get_all(COOKIE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    let mut pairs = parts.filter_map(|part| std::str::from_utf8(part).ok()?.trim().split_once('='));
    pairs.find(|(name, value)| *name == NAME && !value.is_empty()).map(|(_, value)| Secret::new(value))
}

/// Whoever sends the cookie by itself is asked where it comes from: a browser says so with each of these requests, and
/// what `SameSite` keeps away for one browser need not be kept away by another.
///
/// # Errors
/// [`RejectCode::Forbidden`]: no page, or one that is not allowed. [`RejectCode::Malformed`]: not said to be JSON, as the
/// form of a stranger's page cannot.
pub(super) fn check_page(headers: &HeaderMap, origins: &Origins) -> Result<(), Failure> {
    if !(origin::is_named(headers) && origin::is_allowed(headers, origins)) {
        return Err(Reject::new(RejectCode::Forbidden, "cookies are for the pages of this server").into());
    }
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        return Err(Failure::not_json());
    }
    Ok(())
}

/// Gives a login's token to the browser, until it expires.
pub(super) fn set(mut response: Response, session: &Session, now: Millis) -> Response {
    let seconds = session.refresh_expires.since(now) / 1000;
    let value = format!("{NAME}={}; Max-Age={seconds}; {ATTRIBUTES}", session.refresh_token.expose());
    // Always a header: tokens are base64url.
    if let Ok(mut value) = HeaderValue::try_from(value) {
        value.set_sensitive(true);
        response.headers_mut().append(SET_COOKIE, value);
    }
    response
}

/// Takes it away.
pub(super) fn clear(mut response: Response) -> Response {
    if let Ok(value) = HeaderValue::try_from(format!("{NAME}=; Max-Age=0; {ATTRIBUTES}")) {
        response.headers_mut().append(SET_COOKIE, value);
    }
    response
}

/// A refusal of the cookie's token. One that is good for nothing any more is taken away; a limit or a fault passes.
pub(super) fn refuse(failure: Failure) -> Response {
    let is_final = matches!(failure.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    let response = failure.into_response();
    if is_final { clear(response) } else { response }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cookie_among_others() {
        let find = |values: &[&'static str]| {
            let headers = values.iter().map(|value| (COOKIE, HeaderValue::from_static(value))).collect();
            find(&headers).map(|token| token.expose().to_owned())
        };
        assert_eq!(find(&["a=b; __Host-confab-refresh=abc; c=d"]).as_deref(), Some("abc"));
        assert_eq!(find(&["a=b", "__Host-confab-refresh=abc"]).as_deref(), Some("abc"));
        for other in ["", "a", "confab-refresh=abc", "__host-confab-refresh=abc", "x__Host-confab-refresh=abc"] {
            assert_eq!(find(&[other]), None, "{other}");
        }
        assert_eq!(find(&["__Host-confab-refresh=; a=b"]), None, "an empty one is none");
    }
}
