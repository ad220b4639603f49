//! Hosts that look like others.

use std::collections::BTreeMap;

use confab_hosts::known::Ending;
use confab_plugin::normal::skeleton;

use crate::hosts::{Hosts, suffixes};
use crate::stock;

/// Shorter names are compared with all that follows them, and letter by letter: there are too many like them.
const NAME_MIN: usize = 5;

/// Hosts that nobody may imitate.
#[derive(Clone, Debug, Default)]
pub(crate) struct Alike {
    protected: Hosts,
    /// Those hosts by what their first label looks like.
    by_name: BTreeMap<u64, Vec<String>>,
}

impl Alike {
    pub(crate) fn new(protected: Hosts) -> Self {
        let mut by_name: BTreeMap<u64, Vec<String>> = BTreeMap::new();
        for host in protected.iter() {
            by_name.entry(key(&skeleton(first(host)))).or_default().push(host.to_owned());
        }
        Self { protected, by_name }
    }

    /// Whether a host, as it is shown and as its skeleton, imitates a protected one.
    pub(crate) fn imitates(&self, host: &str, seen: &str, ending: Ending) -> bool {
        if self.by_name.is_empty() || self.protected.has(host) {
            return false;
        }
        suffixes(host).zip(suffixes(seen)).any(|(host, seen)| {
            let found = self.by_name.get(&key(first(seen)));
            found.is_some_and(|found| found.iter().any(|protected| is_alike(host, seen, protected, ending)))
        })
    }

    /// Whether a host is protected, or below one that is.
    pub(crate) fn protects(&self, host: &str) -> bool {
        self.protected.has(host)
    }

    /// Whether a word is the name of a protected host, or looks like it.
    pub(crate) fn names(&self, word: &str) -> bool {
        word.len() >= NAME_MIN && self.by_name.contains_key(&key(&skeleton(word)))
    }
}

fn is_alike(host: &str, seen: &str, protected: &str, ending: Ending) -> bool {
    let is_long = first(protected).len() >= NAME_MIN;
    let expected = skeleton(protected);
    if folded(seen, is_long).eq(folded(&expected, is_long)) {
        return true;
    }
    let is_misspelled = is_long && first(host) != first(protected) && ending > Ending::Unknown;
    is_misspelled || (ending == Ending::Sure && leads(host, protected))
}

/// Whether a host begins with another one and goes on: `paypal.com.evil.example`, `paypal.com-login.example`. Countries
/// have their own `com`: `google.com.hk`.
fn leads(host: &str, protected: &str) -> bool {
    let Some(rest) = host.strip_prefix(protected) else { return false };
    let is_country = rest.len() == 3 && rest.bytes().skip(1).all(|byte| byte.is_ascii_alphabetic());
    rest.starts_with(['.', '-']) && !is_country && !stock::MIRRORS.iter().any(|mirror| rest.ends_with(mirror))
}

fn first(host: &str) -> &str {
    host.split('.').next().unwrap_or(host)
}

/// A hash of what a label looks like.
fn key(label: &str) -> u64 {
    folded(label, true).fold(0xcbf2_9ce4_8422_2325, |hash, c| (hash ^ u64::from(c)).wrapping_mul(0x0100_0000_01b3))
}

/// What the eye takes for the same: 0 and o, 1 and l, rn and m, vv and w; of long names i and l, too, as capital I is
/// an l.
fn folded(seen: &str, is_long: bool) -> impl Iterator<Item = char> {
    let mut chars = seen.chars().peekable();
    std::iter::from_fn(move || {
        let c = chars.next()?;
        Some(match c {
            'r' if chars.next_if_eq(&'n').is_some() => 'm',
            'v' if chars.next_if_eq(&'v').is_some() => 'w',
            '0' => 'o',
            '1' => 'l',
            'i' if is_long => 'l',
            other => other,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_imitates_and_who_does_not() {
        let alike = Alike::new(Hosts::stock(stock::PROTECTED));
        for host in [
            "paypa1.com",
            "www.paypal.com.evil.example",
            "paypal.com-login.example",
            "paypai.com",
            "раураӏ.com",
            "paypál.com",
            "goog1e.example",
            "rnicrosoft.com",
            "arnazon.co.uk",
            "login.faceb00k.com.evil.example",
            "tvvitter.com",
            "0k.ru",
            "apple.соm",
        ] {
            assert!(alike.imitates(host, &skeleton(host), Ending::Sure), "{host}");
        }
        for host in [
            "paypal.com",
            "www.paypal.com",
            "google.com.hk",
            "google.de",
            "amazon.co.uk",
            "apple.com.edgekey.net",
            "dhi.com",
            "stearns.com",
            "example.com",
            "привет.рф",
            "日本.jp",
            "github.io",
            "mypaypal.example",
        ] {
            assert!(!alike.imitates(host, &skeleton(host), Ending::Sure), "{host}");
        }
        assert!(!alike.imitates("google.com.conf", "google.com.conf", Ending::Unknown));
    }
}
