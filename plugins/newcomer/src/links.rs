//! Links in the texts of newcomers: what the plugin `links` takes for one, too, but more is needed than a host's name.

use std::borrow::Cow;

use confab_hosts::address;
use confab_hosts::known::{self, Ending};
use confab_hosts::scan::{Link, Links, Shape, past_slashes};

/// Ends of hosts that stand in names of people for nothing else.
const HOSTS: [&str; 19] = [
    "biz", "cfd", "club", "com", "cyou", "gg", "icu", "info", "ly", "net", "online", "org", "ru", "sbs", "shop",
    "site", "tk", "top", "xyz",
];

/// Ends of pages: `shop.de/shop.html` is one.
const PAGES: [&str; 6] = ["asp", "aspx", "htm", "html", "jsp", "php"];

/// Ends of files that stand on both sides of a slash, the first of them as often the end of a host.
const FILES: [&str; 27] = [
    "c", "cc", "cfg", "conf", "cpp", "css", "csv", "h", "hpp", "in", "ini", "js", "json", "lock", "log", "md", "mk",
    "out", "pl", "ps", "py", "rs", "sh", "toml", "txt", "yaml", "yml",
];

/// What stands before the path of a package, which begins with a host.
const COMMANDS: [&str; 9] = [
    "apiversion:",
    "docker pull",
    "go get",
    "go get -u",
    "go install",
    "go mod init",
    "image:",
    "import",
    "podman pull",
];

/// What names of packages begin with where a host ends: `com.example.app`.
const REVERSED: [&str; 8] = ["com", "de", "dev", "edu", "gov", "io", "net", "org"];
/// And what they end with, beside doubtful ends.
const PACKAGES: [&str; 4] = ["dev", "io", "tv", "vip"];

/// Hosts that are the first part of names in code, `networking.k8s.io/v1`, and lead to nobody else.
const NAMESPACES: [&str; 2] = ["k8s.io", "kubernetes.io"];

/// Whether a text has a link: with a scheme, a host that begins with `www.`, a host with a path or with a hidden dot.
/// The skeleton shows what is spelled with letters of other scripts; endings of other scripts are only in the plain text.
pub(crate) fn has_link(plain: &str, skeleton: &str, written: &str) -> bool {
    has_scheme(skeleton)
        || has_www(skeleton)
        || scan(plain, written).any(|link| leads(plain, &link))
        || (skeleton != plain && scan(skeleton, "").any(|link| leads(skeleton, &link)))
}

/// Whether a text has a host without more: only for names of people.
pub(crate) fn has_bare_host(skeleton: &str) -> bool {
    scan(skeleton, "").any(|link| {
        let end = link.host.rsplit('.').next().unwrap_or_default();
        link.ending > Ending::Unknown && HOSTS.contains(&end)
    })
}

fn scan<'a>(text: &'a str, written: &'a str) -> Links<'a> {
    Links::of(text, written, as_it_is)
}

fn as_it_is(letters: &str) -> Cow<'_, str> {
    Cow::Borrowed(letters)
}

fn has_scheme(text: &str) -> bool {
    text.match_indices("://").any(|(at, sign)| {
        let (before, after) = (text.get(..at).unwrap_or_default(), text.get(at + sign.len()..).unwrap_or_default());
        // A face, `:///`, is none.
        // So is a drive, `c://`; and `file:///` leads to nobody.
        before.bytes().rev().take(2).filter(u8::is_ascii_alphanumeric).count() == 2
            && after.starts_with(|c: char| c.is_alphanumeric() || c == '[')
            && !is_own(host(after))
    })
}

/// One's own machine or network: what those who ask for help write.
fn is_own(host: &str) -> bool {
    host == "localhost" || address::parse(host).is_some_and(|it| address::is_at_home(it) && address::is_usual(host))
}

/// What stands before the port and the path.
fn host(text: &str) -> &str {
    let is_end = |c: char| c.is_whitespace() || "/\\?#<>\"'`()".contains(c);
    let authority = text.split(is_end).next().unwrap_or_default();
    match authority.strip_prefix('[').and_then(|six| six.split_once(']')) {
        Some((six, _)) => authority.get(..six.len() + 2).unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    }
}

fn has_www(text: &str) -> bool {
    text.match_indices("www.").any(|(at, sign)| {
        let (before, after) = (text.get(..at).unwrap_or_default(), text.get(at + sign.len()..).unwrap_or_default());
        !before.ends_with(char::is_alphanumeric) && after.starts_with(char::is_alphanumeric)
    })
}

/// Whether it is more than the name of a host, and nothing else than a link.
fn leads(text: &str, link: &Link<'_>) -> bool {
    if link.ending != Ending::Sure || is_own(&link.host) {
        return false;
    }
    match link.shape {
        Shape::Scheme => true,
        // The ideographic full stop ends sentences.
        Shape::Disguised if !text.get(link.range.clone()).unwrap_or_default().contains('。') => true,
        Shape::Bare | Shape::Disguised => {
            let before = text.get(..link.range.start).unwrap_or_default();
            has_path(link) && !is_code(before, &link.host, path(link.rest))
        }
    }
}

fn has_path(link: &Link<'_>) -> bool {
    let rest = past_port(link.rest);
    let is_page = |c: char| c.is_alphanumeric() || "?#@_-~+!".contains(c);
    match rest.chars().next() {
        Some('/') => past_slashes(rest).is_some_and(|path| path.starts_with(is_page)),
        Some('?') => rest.get(1..).is_some_and(|query| query.starts_with(char::is_alphanumeric)),
        // `irc.example.net#room` is how rooms are named.
        Some('#') => {
            !link.host.starts_with("irc.") && rest.get(1..).is_some_and(|part| part.starts_with(char::is_alphanumeric))
        }
        _ => false,
    }
}

fn past_port(rest: &str) -> &str {
    rest.strip_prefix(':').map_or(rest, |port| port.trim_start_matches(|c: char| c.is_ascii_digit()))
}

fn path(rest: &str) -> &str {
    let is_end = |c: char| c.is_whitespace() || "()<>[]{}\"'`|,;".contains(c);
    let path = past_slashes(rest).unwrap_or_default().split(is_end).next().unwrap_or_default();
    path.trim_end_matches(|c: char| !c.is_alphanumeric())
}

/// Whether it is a name in code, or two of a kind.
fn is_code(before: &str, host: &str, path: &str) -> bool {
    is_member_of_same(host, path)
        || are_files(host, path)
        || is_package(host)
        || is_command(before)
        || is_namespace(host)
}

/// `System.in/System.out`, `log.info/log.warn`, `messages.de/messages.fr`: two of a kind, not a page.
fn is_member_of_same(host: &str, path: &str) -> bool {
    let (Some((of, _)), Some((other, member))) = (host.rsplit_once('.'), path.split_once('.')) else { return false };
    of == other && member.chars().all(char::is_alphabetic) && !PAGES.contains(&member)
}

/// `input.in/output.out`, `main.rs/lib.rs`.
fn are_files(host: &str, path: &str) -> bool {
    let is_file = |name: &str| name.split_once('.').is_some_and(|(_, end)| FILES.contains(&end));
    is_file(host) && is_file(path)
}

/// `com.example.app/MainActivity`. Who has a host below one of these ends may name it so; it takes a host for it.
fn is_package(host: &str) -> bool {
    let (Some((first, rest)), Some((_, last))) = (host.split_once('.'), host.rsplit_once('.')) else { return false };
    let ends = known::ending(last) == Ending::Doubtful || PACKAGES.contains(&last);
    ends && rest.contains('.') && REVERSED.contains(&first)
}

/// `go get example.com/a/b`.
fn is_command(before: &str) -> bool {
    let before = before.trim_end_matches([' ', '"', '\'', '`']);
    COMMANDS.iter().any(|command| {
        before.strip_suffix(command).is_some_and(|start| !start.ends_with(|c: char| c.is_alphanumeric() || c == '-'))
    })
}

fn is_namespace(host: &str) -> bool {
    NAMESPACES.iter().any(|it| host.strip_suffix(it).is_some_and(|below| below.is_empty() || below.ends_with('.')))
}
