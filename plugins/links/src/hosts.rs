//! Lists of hosts: an entry stands for a host and all below it.

use std::borrow::Cow;
use std::collections::BTreeSet;

use confab_hosts::address;
use confab_hosts::scan::HOST_MAX;
use confab_plugin::normal::plain;

use crate::punycode;

/// Hosts, as [`shown`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Hosts(BTreeSet<String>);

impl Hosts {
    /// From what the operator wrote under `key`.
    ///
    /// # Errors
    /// An entry that is no host, in a line.
    pub(crate) fn parse(key: &str, entries: &[String]) -> Result<Self, String> {
        entries.iter().map(|entry| parse_entry(key, entry)).collect::<Result<_, _>>().map(Self)
    }

    pub(crate) fn stock(entries: &str) -> Self {
        Self(entries.split_ascii_whitespace().map(str::to_owned).collect())
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// The length of the longest entry that stands for the host.
    pub(crate) fn find(&self, host: &str) -> Option<usize> {
        if self.0.is_empty() {
            return None;
        }
        suffixes(host).find(|suffix| self.0.contains(*suffix)).map(str::len)
    }

    pub(crate) fn has(&self, host: &str) -> bool {
        self.find(host).is_some()
    }
}

/// The host itself, then what is left without its first label, and so on.
pub(crate) fn suffixes(host: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(host), |rest| rest.split_once('.').map(|(_, rest)| rest))
}

/// A host as it is shown: `xn--` undone. `None`: that cannot be.
pub(crate) fn shown(host: &str) -> Option<Cow<'_, str>> {
    if !suffixes(host).any(|rest| rest.starts_with("xn--")) {
        return Some(Cow::Borrowed(host));
    }
    let mut out = String::with_capacity(host.len());
    for label in host.split('.') {
        if !out.is_empty() {
            out.push('.');
        }
        match label.strip_prefix("xn--") {
            Some(coded) => out.push_str(&punycode::decode(coded)?),
            None => out.push_str(label),
        }
    }
    Some(Cow::Owned(plain(&out).into_owned()))
}

fn parse_entry(key: &str, entry: &str) -> Result<String, String> {
    let wrong = || format!("links: {key}: {entry:?} is no host; write it like \"example.com\"");
    let host = plain(entry.trim());
    let host = host.trim_start_matches("*.").trim_matches('.');
    if let Some(address) = address::parse(host) {
        return Ok(address.to_string());
    }
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    if host.is_empty() || host.len() > HOST_MAX || !host.chars().all(is_part) {
        return Err(wrong());
    }
    shown(host).map(Cow::into_owned).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_stands_for_what_is_below_it() {
        let written = ["Example.COM", "*.evil.net.", "bücher.example", "xn--p1ai"].map(str::to_owned);
        let hosts = Hosts::parse("deny", &written).unwrap();
        for host in ["example.com", "a.b.example.com", "evil.net", "x.evil.net", "bücher.example", "ok.рф"] {
            assert!(hosts.has(host), "{host}");
        }
        for host in ["notexample.com", "example.com.org", "com", "net", "evil.network"] {
            assert!(!hosts.has(host), "{host}");
        }
        assert_eq!(shown("xn--bcher-kva.example").as_deref(), Some("bücher.example"));
        assert_eq!(shown("xn--99999999.example"), None);
    }
}
