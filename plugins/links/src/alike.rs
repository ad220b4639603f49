//! Hosts that look like others.

use std::collections::BTreeMap;

use confab_hosts::known::Ending;
use confab_plugin::normal::skeleton;

use crate::hosts::{Hosts, suffixes};
use crate::stock;

/// Shorter names are compared with all that follows them, and letter by letter: there are too many like them.
const NAME_MIN: usize = 5;
/// Names of so many letters are known with one of them wrong.
const TYPO_MIN: usize = 9;
/// Of so many, nothing else is a letter away.
const TYPO_SURE: usize = 12;

/// How much a host is like a protected one; the later the more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Likeness {
    None,
    /// It has the name as a part, or with a letter wrong.
    Near,
    /// It is taken for it.
    Imitation,
}

/// Hosts that nobody may imitate.
#[derive(Clone, Debug, Default)]
pub(crate) struct Alike {
    protected: Hosts,
    /// Those hosts by what their first label looks like.
    by_name: BTreeMap<u64, Vec<String>>,
    /// What long first labels look like.
    long: Vec<String>,
}

impl Alike {
    pub(crate) fn new(protected: Hosts) -> Self {
        let mut by_name: BTreeMap<u64, Vec<String>> = BTreeMap::new();
        let mut long = Vec::new();
        for host in protected.iter() {
            let name = skeleton(first(host)).into_owned();
            by_name.entry(key(&name)).or_default().push(host.to_owned());
            if name.len() >= TYPO_MIN {
                long.push(name);
            }
        }
        Self { protected, by_name, long }
    }

    /// How much a host, as it is shown and as its skeleton, is like a protected one.
    pub(crate) fn likeness(&self, host: &str, seen: &str, ending: Ending) -> Likeness {
        if self.by_name.is_empty() || self.protected.has(host) {
            return Likeness::None;
        }
        if self.imitates(host, seen, ending) {
            return Likeness::Imitation;
        }
        let typo = if ending == Ending::Unknown { Likeness::None } else { self.typo(seen) };
        if typo == Likeness::None && ending == Ending::Sure && self.has_part(seen) { Likeness::Near } else { typo }
    }

    fn imitates(&self, host: &str, seen: &str, ending: Ending) -> bool {
        suffixes(host).zip(suffixes(seen)).any(|(host, seen)| {
            let found = self.by_name.get(&key(first(seen)));
            found.is_some_and(|found| found.iter().any(|protected| is_alike(host, seen, protected, ending)))
        })
    }

    /// Whether a label is a long name with a letter wrong.
    fn typo(&self, seen: &str) -> Likeness {
        let labels = seen.split('.').filter(|label| label.len() + 1 >= TYPO_MIN && !stock::GENUINE.contains(label));
        labels
            .flat_map(|label| self.long.iter().filter(|name| is_typo(label, name)))
            .fold(Likeness::None, |most, name| {
                most.max(if name.len() >= TYPO_SURE { Likeness::Imitation } else { Likeness::Near })
            })
    }

    /// Whether a name is a part of the host: `paypal-login.example`, `paypal.evil.example`.
    fn has_part(&self, seen: &str) -> bool {
        let has_bait = |label: &str| label.split('-').any(|part| stock::BAITS.contains(&part));
        suffixes(seen).any(|host| {
            let Some((label, rest)) = host.split_once('.') else { return false };
            if label.contains('-') {
                return label.split('-').any(|part| self.is_part(part, seen, || has_bait(label)));
            }
            // `paypal.de` may be its own.
            is_within(rest) && self.is_part(label, seen, || seen.split('.').any(has_bait))
        })
    }

    /// Whether a part of a host is a name that means what it says: spelled as it is not, of a service that nobody else
    /// names a host after, or with what leads people on.
    fn is_part(&self, part: &str, seen: &str, is_baited: impl Fn() -> bool) -> bool {
        if part.len() < NAME_MIN {
            return false;
        }
        let Some(found) = self.by_name.get(&key(part)) else { return false };
        let is_it = |host: &String| first(host) == part;
        let is_alone = || stock::ALONE.contains(&part) && !stock::PLACES.iter().any(|place| seen.ends_with(place));
        !found.iter().any(is_it) || is_alone() || (!stock::SELF_HOSTED.contains(&part) && is_baited())
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

/// Whether what follows a label is a host of somebody's, and not the ending of a country.
fn is_within(rest: &str) -> bool {
    match rest.split_once('.') {
        Some((second, last)) => last.contains('.') || last.len() != 2 || !stock::SECOND.contains(&second),
        None => false,
    }
}

/// Whether two words differ by a letter too much, too little, another one, or two that are swapped; not by the first one,
/// and not by one behind: these are other words.
fn is_typo(label: &str, name: &str) -> bool {
    let (label, name) = (label.as_bytes(), name.as_bytes());
    if label.len().abs_diff(name.len()) > 1 || label.first() != name.first() || label == name {
        return false;
    }
    let before = label.iter().zip(name).take_while(|(one, other)| one == other).count();
    let (wrong, right) = (label.get(before..).unwrap_or_default(), name.get(before..).unwrap_or_default());
    let behind = wrong.iter().rev().zip(right.iter().rev()).take_while(|(one, other)| one == other).count();
    let (wrong, right) = (wrong.len() - behind, right.len() - behind);
    match (label.get(before..before + wrong), name.get(before..before + right)) {
        (Some([more]), Some([])) => behind > 0 || name.last() == Some(more),
        (Some([] | [_]), Some([_])) => true,
        (Some([one, two]), Some([right, next])) => one == next && two == right,
        _ => false,
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
/// an l, q and g, and cl and d.
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
            'q' if is_long => 'g',
            'c' if is_long && chars.next_if_eq(&'l').is_some() => 'd',
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
        let likeness = |host: &str| alike.likeness(host, &skeleton(host), Ending::Sure);
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
            "discorcl.gg",
            "gooqle.com",
            "steamcommunnity.com",
            "steamcomunity.com",
            "www.steamcommuntiy.example",
            "bankofamerika.com",
        ] {
            assert_eq!(likeness(host), Likeness::Imitation, "{host}");
        }
        for host in [
            "paypal-login.com",
            "secure-paypal.com",
            "login.paypal.evil.example",
            "paypal.evil.ru",
            "disc0rd-nitro.com",
            "discord.gift.evil.ru",
            "apple-id.example.net",
            "paypal-login.github.io",
            "instagran.com",
            "mircosoft.com",
            "cloudfare.com",
            "facebook-login.co.uk",
        ] {
            assert_eq!(likeness(host), Likeness::Near, "{host}");
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
            "paypal.me",
            "www.paypal.de",
            "binance.us",
            "santander.co.uk",
            "binance-docs.github.io",
            "netflix.github.io",
            "gitlab.login.example.org",
            "gitlab.gnome.org",
            "discord.js.org",
            "discord.rust-lang.example",
            "apple-pie.example",
            "amazon-forest.example",
            "wikimedia.org",
            "mercadolivre.com.br",
            "minecrafts.net",
            "winecraft.example",
            "clouddrop.example",
            "clive.example",
        ] {
            assert_eq!(likeness(host), Likeness::None, "{host}");
        }
        assert_eq!(alike.likeness("google.com.conf", "google.com.conf", Ending::Unknown), Likeness::None);
    }
}
