//! Reading a host out of a text: labels, and dots in all their disguises.

use std::borrow::Cow;

use crate::known::{self, Ending};

/// A host, as it stands in a text.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) labels: usize,
    /// Where the last label begins.
    pub(crate) last: usize,
    /// A dot of it is disguised.
    pub(crate) is_disguised: bool,
}

impl Run {
    /// Reads from `start` as long as there are labels; `None`: there is none.
    pub(crate) fn read(text: &str, start: usize) -> Option<Self> {
        let mut end = label_end(text, start, false);
        if end == start {
            return None;
        }
        let mut run = Self { start, end, labels: 1, last: start, is_disguised: false };
        while let Some(dot) = dot(text, end) {
            let next = label_end(text, dot.end, true);
            if next == dot.end {
                break;
            }
            end = next;
            run.labels += 1;
            run.last = dot.end;
            run.end = end;
            run.is_disguised |= dot.is_disguised;
        }
        // `_example.com_` is a host with emphasis.
        let behind = slice(text, run.last, run.end).bytes().rev().take_while(|byte| is_joint(*byte)).count();
        run.end -= behind;
        (run.end > run.start).then_some(run)
    }

    pub(crate) fn ending<'a>(&self, text: &'a str) -> &'a str {
        slice(text, self.last, self.end)
    }

    /// With dots that are dots.
    pub(crate) fn host<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if !self.is_disguised {
            return Cow::Borrowed(slice(text, self.start, self.end));
        }
        let (mut host, mut at) = (String::with_capacity(self.end - self.start), self.start);
        while at < self.end {
            let end = label_end(text, at, at > self.start);
            host.push_str(slice(text, at, end));
            match dot(text, end).filter(|dot| dot.end < self.end) {
                Some(dot) => at = dot.end,
                None => break,
            }
            host.push('.');
        }
        Cow::Owned(host)
    }
}

pub(crate) fn slice(text: &str, start: usize, end: usize) -> &str {
    text.get(start..end).unwrap_or_default()
}

/// Where the label before `end` begins, not before `floor`. What a script without spaces has before a Latin label is a
/// sentence, not a part of the host.
pub(crate) fn label_start(text: &str, floor: usize, end: usize) -> usize {
    let mut start = end;
    let mut has_spaced = false;
    for (at, c) in slice(text, floor, end).char_indices().rev() {
        if !is_label(c) || (has_spaced && is_unspaced(c)) {
            break;
        }
        has_spaced |= !is_unspaced(c);
        start = floor + at;
    }
    start + slice(text, start, end).bytes().take_while(|byte| is_joint(*byte)).count()
}

/// Where the label from `start` ends. Behind an ending a script without spaces goes on with its sentence.
fn label_end(text: &str, start: usize, may_be_last: bool) -> usize {
    let mut end = start;
    let mut is_latin = true;
    for (at, c) in slice(text, start, text.len()).char_indices() {
        if !is_label(c) {
            break;
        }
        if is_latin
            && may_be_last
            && at > 0
            && is_unspaced(c)
            && known::ending(slice(text, start, end)) > Ending::Unknown
        {
            break;
        }
        is_latin &= c.is_ascii();
        end = start + at + c.len_utf8();
    }
    end
}

const fn is_joint(byte: u8) -> bool {
    matches!(byte, b'-' | b'_')
}

pub(crate) fn is_label(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_') || (!c.is_ascii() && c.is_alphanumeric())
}

/// Letters of scripts that put no space between words, or put particles behind a name.
const fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1100}'..='\u{11ff}' | '\u{1780}'..='\u{17ff}'
        | '\u{2e80}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

pub(crate) struct Dot {
    /// Where the label behind it begins.
    pub(crate) end: usize,
    pub(crate) is_disguised: bool,
}

/// A dot at `at`: `.`, the ideographic one before a Latin label, `[.]`, `( dot )` and the like, with a space around.
pub(crate) fn dot(text: &str, at: usize) -> Option<Dot> {
    let rest = text.get(at..)?;
    if rest.starts_with('.') {
        return Some(Dot { end: at + 1, is_disguised: false });
    }
    if let Some(behind) = rest.strip_prefix('。') {
        let is_host = behind.starts_with(|c: char| c.is_ascii_alphanumeric());
        return is_host.then_some(Dot { end: at + '。'.len_utf8(), is_disguised: true });
    }
    let inner = without_space(rest);
    let close = match inner.bytes().next()? {
        b'[' => ']',
        b'(' => ')',
        b'{' => '}',
        b'<' => '>',
        _ => return None,
    };
    let inner = without_space(inner.get(1..)?);
    let inner = without_space(inner.strip_prefix("dot").or_else(|| inner.strip_prefix('.'))?).strip_prefix(close)?;
    Some(Dot { end: text.len() - without_space(inner).len(), is_disguised: true })
}

fn without_space(text: &str) -> &str {
    text.strip_prefix(' ').unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_with_their_dots() {
        for (text, expected) in [
            ("example.com/x", "example.com"),
            ("example.com. And", "example.com"),
            ("example[.]com", "example.com"),
            ("www (dot) example (dot) com", "www.example.com"),
            ("example{dot}com<.>net", "example.com.net"),
            ("example[ . ]com [ dot ] net", "example.com.net"),
            ("example。com谢谢", "example.com"),
            ("example.com에서", "example.com"),
            ("bücher.example", "bücher.example"),
            ("abc中文.com", "abc中文.com"),
            ("one...two", "one"),
        ] {
            assert_eq!(Run::read(text, 0).unwrap().host(text), expected, "{text}");
        }
        let text = "请看example.com";
        assert_eq!(label_start(text, 0, 13), 6);
        assert_eq!(label_start("--x.y", 0, 3), 2);
    }
}
