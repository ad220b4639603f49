//! Hosts that are numbers, in every form that browsers take (URL Standard, section 3.5): `203.0.113.7`, `3405803783`,
//! `0xcb.0.0x7107`, `[2001:db8::1]`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Which address a host is; `None`: a name, or nothing.
pub fn parse(host: &str) -> Option<IpAddr> {
    if let Some(inner) = host.strip_prefix('[') {
        let six: Ipv6Addr = inner.trim_end_matches(']').parse().ok()?;
        return Some(six.to_ipv4_mapped().map_or(IpAddr::V6(six), IpAddr::V4));
    }
    parse_v4(host).map(IpAddr::V4)
}

/// Whether it is one's own machine or network: nobody is led away by it.
pub const fn is_at_home(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => four.is_loopback() || four.is_private() || four.is_link_local() || four.is_unspecified(),
        IpAddr::V6(six) => {
            six.is_loopback() || six.is_unicast_link_local() || six.is_unique_local() || six.is_unspecified()
        }
    }
}

/// Resolvers that people name by their address, and that tell in a browser what they are.
const WELL_KNOWN: [Ipv4Addr; 5] = [
    Ipv4Addr::new(1, 0, 0, 1),
    Ipv4Addr::new(1, 1, 1, 1),
    Ipv4Addr::new(8, 8, 4, 4),
    Ipv4Addr::new(8, 8, 8, 8),
    Ipv4Addr::new(9, 9, 9, 9),
];

/// Whether everybody knows whose it is.
pub fn is_well_known(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(four) if WELL_KNOWN.contains(&four))
}

/// Whether it is written as people write one, which those who hide one do not.
pub fn is_usual(host: &str) -> bool {
    host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok()
}

fn parse_v4(host: &str) -> Option<Ipv4Addr> {
    let mut value = 0_u64;
    let (mut parts, mut last) = (0_u32, 0_u64);
    for part in host.split('.') {
        if parts > 0 {
            // All but the last are a byte each.
            value = (value << 8) | u64::from(u8::try_from(last).ok()?);
        }
        parts += 1;
        last = number(part)?;
        if parts > 4 {
            return None;
        }
    }
    let room = 8 * (5 - parts);
    if last >= 1 << room {
        return None;
    }
    u32::try_from((value << room) | last).ok().map(Ipv4Addr::from)
}

/// Decimal, octal behind a 0, hexadecimal behind 0x.
fn number(part: &str) -> Option<u64> {
    if part.is_empty() || part.len() > 16 || !part.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let (digits, radix) = match (part.strip_prefix("0x"), part.strip_prefix('0')) {
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) => (digits, 8),
        (None, None) => (part, 10),
    };
    if digits.is_empty() { Some(0) } else { u64::from_str_radix(digits, radix).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_that_browsers_take() {
        let four = Some("203.0.113.7".parse().unwrap());
        for (host, expected) in [
            ("203.0.113.7", four),
            ("3405803783", four),
            ("0xcb007107", four),
            ("0313.0.0161.07", four),
            ("203.29.7", "203.29.0.7".parse().ok()),
            ("0xcb.0.0x7107", four),
            ("[::ffff:203.0.113.7]", four),
            ("[2001:db8::1]", "2001:db8::1".parse().ok()),
            ("1.2.3.4.5", None),
            ("256.1.1.1", None),
            ("4294967296", None),
            ("example.com", None),
            ("beef.cafe", None),
            ("09.1", None),
            ("", None),
        ] {
            assert_eq!(parse(host), expected, "{host}");
        }
        assert!(is_at_home("192.168.1.1".parse().unwrap()) && is_at_home("::1".parse().unwrap()));
        assert!(is_usual("10.0.0.1") && !is_usual("0xcb007107") && !is_usual("127.1"));
    }
}
