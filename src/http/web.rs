//! The page, as `cargo xtask page` built it; without it, the one line that says how.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use super::api::Failure;
use crate::assets::PAGE;

const MISSING: &str = "This server was built without its page. Build it with: cargo xtask run\n";

pub(super) async fn index() -> Response {
    match find("index.html") {
        Some(bytes) => ([(CONTENT_TYPE, "text/html; charset=utf-8")], bytes).into_response(),
        None => (StatusCode::NOT_FOUND, MISSING).into_response(),
    }
}

pub(super) async fn asset(Path(name): Path<String>) -> Response {
    let kind = match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("wasm") => "application/wasm",
        _ => return Failure::not_found().into_response(),
    };
    match find(&name) {
        // Asked anew each time: a new server brings a new page.
        Some(bytes) => ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-cache")], bytes).into_response(),
        None => Failure::not_found().into_response(),
    }
}

fn find(name: &str) -> Option<&'static [u8]> {
    PAGE.iter().find(|(known, _)| *known == name).map(|(_, bytes)| *bytes)
}
