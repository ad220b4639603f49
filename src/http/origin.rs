//! Which web pages may talk to us: the server's own, and those of an exact list.

use std::sync::{Arc, PoisonError, RwLock};

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName};

static FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether the browser says from which page a request comes.
pub(super) fn is_named(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN) || headers.get(&FETCH_SITE).is_some_and(|site| site == "same-origin")
}

/// The exact list, which can be replaced; clones share it.
#[derive(Clone, Debug)]
pub struct Origins(Arc<RwLock<Vec<String>>>);

impl Origins {
    /// This list.
    #[must_use]
    pub fn new(origins: &[String]) -> Self {
        Self(Arc::new(RwLock::new(origins.to_vec())))
    }

    /// Another list from now on; sockets that were opened from a page stay.
    pub fn replace(&self, origins: &[String]) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = origins.to_vec();
    }

    fn contain(&self, origin: &str) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).iter().any(|other| other == origin)
    }
}

/// Whether a request from this page is allowed. Programs that are no browser send no origin.
pub(super) fn is_allowed(headers: &HeaderMap, allowed: &Origins) -> bool {
    let mut origins = headers.get_all(ORIGIN).iter();
    let Some(origin) = origins.next() else { return true };
    let (Ok(origin), None) = (origin.to_str(), origins.next()) else { return false };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    let is_own = authority.is_some() && authority == host;
    is_own || allowed.contain(origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_named_by_its_origin_or_by_being_ours() {
        let check =
            |name: HeaderName, value: &'static str| is_named(&HeaderMap::from_iter([(name, value.parse().unwrap())]));
        assert!(check(ORIGIN, "https://any.example") && check(FETCH_SITE.clone(), "same-origin"));
        for site in ["same-site", "cross-site", "none", "same-origin, same-site"] {
            assert!(!check(FETCH_SITE.clone(), site), "{site}");
        }
    }

    #[test]
    fn only_exact_origins() {
        let allowed = Origins::new(&["https://chat.example".to_owned()]);
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
        allowed.replace(&["https://other.example".to_owned()]);
        assert!(!check(Some("https://chat.example")) && check(Some("https://other.example")), "it was replaced");
    }
}
