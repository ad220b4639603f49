//! What stands in a text: links, mentions, and what it is remembered by.

/// Different names that are told apart; as many as a message may mention.
const NAMES_MAX: usize = 21;
/// Ends of hosts that stand in names of people for nothing else.
const HOSTS: [&str; 14] =
    ["com", "org", "gg", "ru", "xyz", "top", "shop", "site", "online", "club", "biz", "tk", "ly", "info"];
/// With a path behind them these are hosts, too. "net" is not here, for "asp.net/core", nor ends of file names.
const HOSTS_WITH_PATH: [&str; 20] = [
    "app", "be", "cc", "click", "co", "de", "dev", "eu", "fr", "icu", "in", "io", "link", "live", "me", "store", "to",
    "tv", "uk", "vip",
];

/// Ends of pages: `shop.de/shop.html` is one.
const PAGES: [&str; 6] = ["asp", "aspx", "htm", "html", "jsp", "php"];

/// Whether a skeleton has a link: with a scheme, a host that begins with `www.`, or a host with a path.
pub(crate) fn has_link(skeleton: &str) -> bool {
    has_scheme(skeleton) || has_www(skeleton) || tokens(skeleton).any(is_host_with_path)
}

/// Whether a skeleton has a host without more: only for names of people.
pub(crate) fn has_bare_host(skeleton: &str) -> bool {
    tokens(skeleton).any(|token| {
        let host = token.trim_end_matches(|c: char| !c.is_alphanumeric());
        host_end(host).is_some_and(|end| HOSTS.contains(&end))
    })
}

fn has_scheme(text: &str) -> bool {
    text.match_indices("://").any(|(at, sign)| {
        let (before, after) = (text.get(..at).unwrap_or_default(), text.get(at + sign.len()..).unwrap_or_default());
        // A face, `:///`, is none.
        // So is a drive, `c://`; and `file:///` leads to nobody.
        before.bytes().rev().take(2).filter(u8::is_ascii_alphanumeric).count() == 2
            && after.starts_with(|c: char| c.is_alphanumeric() || c == '[')
    })
}

fn has_www(text: &str) -> bool {
    text.match_indices("www.").any(|(at, sign)| {
        let (before, after) = (text.get(..at).unwrap_or_default(), text.get(at + sign.len()..).unwrap_or_default());
        !before.ends_with(char::is_alphanumeric) && after.starts_with(char::is_alphanumeric)
    })
}

/// Words, without what encloses them.
fn tokens(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || "()<>[]{}\"'`|,;".contains(c)).filter(|token| token.contains('.'))
}

fn is_host_with_path(token: &str) -> bool {
    let token = token.trim_start_matches(|c: char| !c.is_alphanumeric() && c != '/');
    let Some((host, path)) = token.split_once('/') else { return false };
    path.starts_with(|c: char| c.is_alphanumeric() || "?#@_-".contains(c))
        && !is_member_of_same(host, path)
        && host_end(host).is_some_and(|end| HOSTS.contains(&end) || HOSTS_WITH_PATH.contains(&end))
}

/// `System.in/System.out`, `log.info/log.warn`, `messages.de/messages.fr`: two of a kind, not a page.
fn is_member_of_same(host: &str, path: &str) -> bool {
    let path = path.trim_end_matches(|c: char| !c.is_alphanumeric());
    let (Some((of, _)), Some((other, member))) = (host.rsplit_once('.'), path.split_once('.')) else { return false };
    of == other && member.chars().all(char::is_alphabetic) && !PAGES.contains(&member)
}

/// The last label of what could be a host.
fn host_end(host: &str) -> Option<&str> {
    let (name, end) = host.rsplit_once('.')?;
    let is_name = !name.is_empty()
        && name.split('.').all(|label| !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-'));
    is_name.then_some(end)
}

/// Different names behind an `@` that begins a word, as the server reads them; no more than one above `most`.
pub(crate) fn mentions(body: &str, most: u32) -> u32 {
    let (mut names, mut count) = ([0_u64; NAMES_MAX], 0_usize);
    for (at, _) in body.match_indices('@') {
        let (before, after) = (body.get(..at).unwrap_or_default(), body.get(at + 1..).unwrap_or_default());
        if before.ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let name = after.chars().take_while(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).take(64);
        let hash = name.filter(char::is_ascii_alphanumeric).fold(SEED, |hash, c| mix(hash, c.to_ascii_lowercase()));
        if hash == SEED || names.iter().take(count).any(|known| *known == hash) {
            continue;
        }
        if let Some(free) = names.get_mut(count) {
            *free = hash;
            count += 1;
        }
        if count > most as usize {
            break;
        }
    }
    count as u32
}

/// The same for texts that look the same but for white space, signs and digits around the words; `None`: it has less
/// than so many letters and digits.
pub(crate) fn print(skeleton: &str, least: u32) -> Option<u64> {
    let (mut words, mut core, mut letters, mut length) = (SEED, SEED, 0_u32, 0_u32);
    for c in skeleton.chars() {
        let is_letter = c.is_alphabetic();
        if is_letter || c.is_numeric() {
            length += 1;
            if is_letter || letters > 0 {
                words = mix(words, c);
            }
        }
        if is_letter {
            (core, letters) = (words, letters + 1);
        }
    }
    (length >= least && letters > 0).then_some(core)
}

/// A name without its digits and signs, small letters; `None`: hardly a letter is left, or it has no digit.
pub(crate) fn shape(name: &str) -> Option<u64> {
    let (mut hash, mut letters, mut was_digit, mut has_digit) = (SEED, 0, false, false);
    for c in name.chars().flat_map(char::to_lowercase) {
        let is_digit = c.is_numeric();
        if is_digit && !was_digit {
            hash = mix(hash, '0');
            has_digit = true;
        }
        if c.is_alphabetic() {
            hash = mix(hash, c);
            letters += 1;
        }
        if is_digit || c.is_alphabetic() {
            was_digit = is_digit;
        }
    }
    (has_digit && letters >= SHAPE_LETTERS).then_some(hash)
}

/// "a1" and "a2" are alike by chance.
const SHAPE_LETTERS: u32 = 3;

/// FNV-1a, a character at a time.
const SEED: u64 = 0xcbf2_9ce4_8422_2325;

const fn mix(hash: u64, c: char) -> u64 {
    (hash ^ c as u64).wrapping_mul(0x0000_0100_0000_01b3)
}
