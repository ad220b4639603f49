//! Which web pages may talk to us: the server's own, and those of an exact list.

use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};

/// Whether a request from this page is allowed. Programs that are no browser send no origin.
pub(super) fn is_allowed(headers: &HeaderMap, allowed: &[String]) -> bool {
    let mut origins = headers.get_all(ORIGIN).iter();
    let Some(origin) = origins.next() else { return true };
    let (Ok(origin), None) = (origin.to_str(), origins.next()) else { return false };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    let is_own = authority.is_some() && authority == host;
    is_own || allowed.iter().any(|other| other == origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_origins() {
        let allowed = ["https://chat.example".to_owned()];
        let check = |origin: Option<&'static str>| {
            let mut headers = HeaderMap::from_iter([(HOST, "localhost:8080".parse().unwrap())]);
            if let Some(origin) = origin {
                headers.insert(ORIGIN, origin.parse().unwrap());
            }
            is_allowed(&headers, &allowed)
        };
        assert!(check(None) && check(Some("http://localhost:8080")) && check(Some("https://chat.example")));
        for other in [
            "null",
            "http://localhost:8081",
            "https://chat.example.evil",
            "https://chat.example:444",
            "localhost:8080",
            "*",
        ] {
            assert!(!check(Some(other)), "{other}");
        }
    }
}
