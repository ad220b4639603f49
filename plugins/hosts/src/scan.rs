//! Finding links in a text: one pass from dot to dot and colon to colon, which allocates nothing unless a dot is
//! disguised.

use std::borrow::Cow;
use std::ops::Range;

use crate::host::{self, Run, is_label, label_start, slice};
use crate::known::{self, Ending};

/// Bytes of a host.
pub const HOST_MAX: usize = 253;
/// Bytes of a scheme that are looked at.
const SCHEME_MAX: usize = 16;
/// Bytes of an IPv6 address in brackets.
const SIX_MAX: usize = 64;

/// Characters of a login behind `https:` without a slash: nothing ends these before the next one.
const SHORT_MAX: usize = 256;

/// Where `tg://join?invite=code` leads: it is the same as `https://t.me/+code`.
const TELEGRAM: &str = "t.me";

/// What a text looks like, letter by letter: letters of other scripts that look like Latin ones are these.
pub type Skeleton = fn(&str) -> Cow<'_, str>;

/// Something that may lead somewhere.
#[derive(Clone, Debug)]
pub struct Link<'a> {
    /// From the scheme to the end of the host.
    pub range: Range<usize>,
    pub host: Cow<'a, str>,
    /// What stands before an @ and the host; empty: nothing.
    pub userinfo: &'a str,
    /// All that follows the host.
    pub rest: &'a str,
    /// How sure it is that this is a link at all.
    pub ending: Ending,
    pub shape: Shape,
}

/// What it was found by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    Scheme,
    /// By its ending alone.
    Bare,
    /// By its ending, with a dot that is written otherwise: `[.]`, `(dot)`, `。`.
    Disguised,
}

/// Whether a text may have links: a look at its bytes.
pub fn may_have_links(text: &str) -> bool {
    text.bytes().any(|byte| matches!(byte, b'.' | b':' | b'[' | b'(' | b'{' | b'<' | 0xe3))
}

/// All links of a text in small letters.
pub struct Links<'a> {
    text: &'a str,
    /// The same, as it was written, byte for byte; else empty.
    written: &'a str,
    skeleton: Skeleton,
    at: usize,
    /// What is before this belongs to something else.
    floor: usize,
    /// Until here a link's path goes: its words are no hosts.
    path_end: usize,
}

impl<'a> Links<'a> {
    pub fn of(text: &'a str, written: &'a str, skeleton: Skeleton) -> Self {
        let written = if written.len() == text.len() { written } else { "" };
        Self { text, written, skeleton, at: 0, floor: 0, path_end: 0 }
    }

    /// Behind `scheme:`, at its colon.
    fn with_scheme(&self, colon: usize) -> Option<Link<'a>> {
        let text = self.text;
        let behind = text.get(colon + 1..)?;
        let behind = behind.strip_prefix(']').unwrap_or(behind);
        let slashes = behind.bytes().take_while(|byte| matches!(byte, b'/' | b'\\')).count();
        let before = slice(text, 0, colon);
        let before = before.strip_suffix('[').unwrap_or(before);
        let is_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'*');
        let start = before.len() - before.bytes().rev().take(SCHEME_MAX).take_while(is_scheme).count();
        let scheme = slice(text, start, before.len());
        let is_web = is_web(scheme);
        let is_short = slashes < if is_web { 1 } else { 2 };
        // Browsers take `https:paypal.com@evil.example`, too; without the @ it is found by its ending.
        if scheme.len() < 2 || (is_short && !(is_web && behind.starts_with(|c: char| c.is_alphanumeric()))) {
            return None;
        }
        // Browsers take any number of slashes; elsewhere a third one is the path of a file.
        let behind = behind.get(if is_web { slashes } else { 2 }..)?;
        let behind = behind.strip_prefix(']').unwrap_or(behind);
        let most = if is_short { SHORT_MAX } else { usize::MAX };
        let (userinfo, from) = self.userinfo(text.len() - behind.len(), most);
        let (host, end) = self.host_from(from)?;
        if is_short && (userinfo.is_empty() || !host.contains('.')) {
            return None;
        }
        if scheme == "tg" && slice(text, end, end + 1) == "?" {
            let rest = slice(text, from - 1, text.len());
            let (host, shape) = (TELEGRAM.into(), Shape::Scheme);
            return Some(Link { range: start..end, host, userinfo: "", rest, ending: Ending::Sure, shape });
        }
        let is_link = host.contains(['.', '[']) || (is_web && host != "localhost");
        // Elsewhere a login is one: `ftp://bob@example.com:secret@ftp.example.com`.
        let userinfo = if is_web { userinfo } else { "" };
        let rest = slice(text, end, text.len());
        let (ending, shape) = (Ending::Sure, Shape::Scheme);
        is_link.then_some(Link { range: start..end, host, userinfo, rest, ending, shape })
    }

    /// What names a user before the host, among so many characters, and where the host begins.
    fn userinfo(&self, from: usize, most: usize) -> (&'a str, usize) {
        let rest = slice(self.text, from, self.text.len());
        let mut count = 0;
        let is_end = |c: char| {
            count += 1;
            count > most || c.is_whitespace() || matches!(c, '/' | '\\' | '?' | '#' | '"' | '<' | '>' | '`')
        };
        let authority = rest.split(is_end).next().unwrap_or_default();
        authority.rsplit_once('@').map_or(("", from), |(userinfo, _)| (userinfo, from + userinfo.len() + 1))
    }

    fn host_from(&self, from: usize) -> Option<(Cow<'a, str>, usize)> {
        let rest = self.text.get(from..)?;
        if rest.starts_with('[') {
            let end = from + rest.bytes().take(SIX_MAX).position(|byte| byte == b']')? + 1;
            let is_six = |c: char| c.is_ascii_hexdigit() || matches!(c, ':' | '.' | '[' | ']');
            let six = slice(self.text, from, end);
            return (six.contains(':') && six.chars().all(is_six)).then_some((six.into(), end));
        }
        let run = Run::read(self.text, from)?;
        (run.end - run.start <= HOST_MAX).then(|| (run.host(self.text), run.end))
    }

    /// Around the dot at `at`.
    fn bare(&mut self, at: usize) -> Option<Link<'a>> {
        let text = self.text;
        let dot = host::dot(text, at)?;
        let is_bracket = dot.is_disguised && slice(text, at.saturating_sub(1), at) == " ";
        let label = if is_bracket { at - 1 } else { at };
        let start = label_start(text, self.floor.min(label), label);
        if start == label {
            return None;
        }
        let run = Run::read(text, start)?;
        self.at = run.end.max(self.at);
        self.floor = self.at;
        let rest = slice(text, run.end, text.len());
        if run.labels < 2 || run.end - run.start > HOST_MAX || !self.begins_word(start, rest.starts_with('/')) {
            return None;
        }
        let ending = self.ending(&run)?;
        let shape = if run.is_disguised { Shape::Disguised } else { Shape::Bare };
        Some(Link { range: start..run.end, host: run.host(text), userinfo: "", rest, ending, shape })
    }

    /// Not in a path, behind an `@` and so on.
    fn begins_word(&self, start: usize, has_path: bool) -> bool {
        let before = slice(self.text, 0, start);
        match before.chars().next_back() {
            None => true,
            Some('/') => before.strip_suffix("//").is_some_and(|it| !it.ends_with(|c: char| !c.is_whitespace())),
            // `@example.com/x` is no mail.
            Some('@') => has_path && !before.trim_end_matches('@').ends_with(is_label),
            Some(c) => !matches!(c, '\\' | '$' | '%'),
        }
    }

    /// How sure a bare host is; `None`: it is something else.
    fn ending(&self, run: &Run) -> Option<Ending> {
        let text = self.text;
        let rest = slice(text, run.end, text.len());
        let mut next = rest.chars();
        let (next, then) = (next.next(), next.next());
        let label = run.ending(text);
        if next == Some('@') {
            return None;
        }
        let is_code = matches!(next, Some('=' | '$')) || (next == Some('(') && label.len() > 3);
        let written = slice(text, run.start, run.end);
        if label.bytes().all(|byte| byte.is_ascii_digit()) {
            let is_path = next == Some('/') && then.is_some_and(char::is_alphabetic);
            let is_port =
                next == Some(':') && rest.trim_start_matches(|c: char| c == ':' || c.is_ascii_digit()).starts_with('/');
            // `//192.0.2.1/name` is a share.
            let is_share = slice(text, 0, run.start).ends_with('/');
            return (run.labels == 4 && !is_share && (is_path || is_port)).then_some(Ending::Sure);
        }
        if is_code || written.contains('_') || known::is_thing(written) {
            return Some(Ending::Unknown);
        }
        let is_www = written.starts_with("www.") && run.labels > 2;
        let is_path = next == Some('/') || (next == Some(':') && then.is_some_and(|c| c.is_ascii_digit()));
        let found = known::ending(label).max(self.spelled(label));
        Some(match found {
            _ if is_www => Ending::Sure,
            Ending::Doubtful if is_path || run.is_disguised => Ending::Sure,
            Ending::Sure if !is_path && !run.is_disguised && self.begins_sentence(run) => Ending::Doubtful,
            other => other,
        })
    }

    /// An ending with letters of another script among its own: nobody's word.
    fn spelled(&self, label: &str) -> Ending {
        if label.is_ascii() || !label.bytes().any(|byte| byte.is_ascii_alphabetic()) {
            return Ending::Unknown;
        }
        known::ending(&(self.skeleton)(label))
    }

    /// Whether the last label is rather the first word of a sentence, without a space before it: `end.De`. Of longer
    /// ones that is only so when what is before them is not written alike, as in `Example.Com`.
    fn begins_sentence(&self, run: &Run) -> bool {
        let is_capital = |at: usize| slice(self.written, at, at + 1).bytes().all(|byte| byte.is_ascii_uppercase());
        let is_word = !slice(self.written, run.last + 1, run.end).contains(|c: char| c.is_uppercase());
        let is_short = run.end - run.last == 2;
        !self.written.is_empty() && is_word && is_capital(run.last) && (is_short || !is_capital(run.start))
    }
}

impl<'a> Iterator for Links<'a> {
    type Item = Link<'a>;

    fn next(&mut self) -> Option<Link<'a>> {
        while let Some(&byte) = self.text.as_bytes().get(self.at) {
            let at = self.at;
            self.at += 1;
            let link = match byte {
                b':' => self.with_scheme(at),
                b'.' | b'[' | b'(' | b'{' | b'<' | 0xe3 if at >= self.path_end => self.bare(at),
                _ => None,
            };
            let Some(link) = link else { continue };
            let end = link.range.end;
            self.at = self.at.max(end);
            self.floor = self.floor.max(end);
            if end >= self.path_end && link.rest.starts_with(['/', '?', '#', ':', '\\']) {
                let is_end = |c: char| c.is_whitespace() || matches!(c, '\u{3000}'..='\u{303f}');
                let from = self.text.len() - link.rest.len();
                self.path_end = from + link.rest.find(is_end).unwrap_or(link.rest.len());
            }
            return Some(link);
        }
        None
    }
}

/// The path behind a host, as browsers read it: the host may end in a dot and have a port.
pub fn path(rest: &str) -> Option<&str> {
    let rest = rest.strip_prefix('.').unwrap_or(rest);
    let rest = rest.strip_prefix(':').map_or(rest, |port| port.trim_start_matches(|c: char| c.is_ascii_digit()));
    past_slashes(rest)
}

/// Any number of slashes, also those that lean the other way, are one, and so is `/./`.
pub fn past_slashes(path: &str) -> Option<&str> {
    let is_slash = |c: char| matches!(c, '/' | '\\');
    let mut rest = path.trim_start_matches(is_slash);
    let has_slash = rest.len() < path.len();
    while let Some(next) = rest.strip_prefix('.').filter(|next| has_slash && next.starts_with(is_slash)) {
        rest = next.trim_start_matches(is_slash);
    }
    has_slash.then_some(rest)
}

/// Whether a browser opens it.
fn is_web(scheme: &str) -> bool {
    let plain = scheme.strip_suffix('s').unwrap_or(scheme);
    ["http", "hxxp", "hxtp", "htxp", "h**p"].iter().any(|it| plain.ends_with(it)) || matches!(scheme, "ws" | "wss")
}
