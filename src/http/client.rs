//! Where a request comes from. A proxy is believed only if the operator named it.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;

static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address that limits count by; an extension of every request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client(pub(super) IpAddr);

/// Whether this is one of the operator's proxies.
pub(super) fn is_proxy(peer: IpAddr, proxies: &[IpNet]) -> bool {
    let peer = peer.to_canonical();
    proxies.iter().any(|network| network.contains(&peer))
}

/// The last address of the chain that is no proxy: what stands before it was written by the client itself.
pub(super) fn find(peer: IpAddr, headers: &HeaderMap, proxies: &[IpNet]) -> IpAddr {
    if !is_proxy(peer, proxies) {
        return peer;
    }
    let values = headers.get_all(&FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
    let chain: Vec<&str> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
    let mut nearest = peer;
    for hop in chain.into_iter().rev() {
        // What is no address ends what can be believed.
        let Ok(hop) = hop.parse::<IpAddr>() else { break };
        nearest = hop.to_canonical();
        if !is_proxy(nearest, proxies) {
            break;
        }
    }
    nearest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_proxies_are_believed_and_only_the_last_stranger() {
        let proxies = ["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
        let ask = |peer: &str, chain: &[&'static str]| {
            let headers = chain.iter().map(|value| (FORWARDED_FOR.clone(), value.parse().unwrap())).collect();
            find(peer.parse().unwrap(), &headers, &proxies).to_string()
        };
        assert_eq!(ask("203.0.113.9", &["198.51.100.1"]), "203.0.113.9", "a stranger says what it likes");
        assert_eq!(ask("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(ask("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(ask("::ffff:10.0.0.1", &["1.1.1.1, 198.51.100.1, 10.9.9.9"]), "198.51.100.1");
        assert_eq!(ask("10.0.0.1", &["1.1.1.1", "198.51.100.1", "2001:db8::7"]), "198.51.100.1");
        assert_eq!(ask("10.0.0.1", &["198.51.100.1, nonsense"]), "10.0.0.1");
        assert_eq!(ask("10.0.0.1", &["nonsense, 198.51.100.1"]), "198.51.100.1");
    }
}
