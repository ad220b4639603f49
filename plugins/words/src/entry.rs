//! Entries of lists: words, phrases and patterns, and what a match of one means.

use confab_plugin::normal::plain;

use crate::fold::{fold, is_spaceless};

/// An entry is at most so long; a sentence is no word.
const LENGTH_MAX: usize = 512;

/// What a match of an entry means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It is what the list is of.
    Hit,
    /// What it covers is innocent.
    Allow,
    /// What begins before it or with it, and ends in it, is innocent.
    Ending,
    /// A sign, worth so many points; it takes some together.
    Cue(u8),
}

impl Kind {
    /// Whether it makes something else innocent.
    pub(crate) const fn is_innocent(self) -> bool {
        matches!(self, Self::Allow | Self::Ending)
    }
}

/// An entry of a list.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub kind: Kind,
    /// Which rule it belongs to; `None`: an allowance for all.
    pub rule: Option<usize>,
    /// Only as it is written: odd spellings and look-alikes of it are other words.
    pub is_exact: bool,
    /// It has innocent meanings: flagged at most.
    pub is_vague: bool,
    /// Odd spellings of it are looked for, few as its letters are.
    pub is_short: bool,
    pub shape: Shape,
}

/// How an entry is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Among the folded words; a space at an end is the end of a word.
    Words(String),
    /// As a regular expression.
    Regex(String),
}

impl Shape {
    /// Bytes of its text.
    pub(crate) const fn len(&self) -> usize {
        let (Self::Words(text) | Self::Regex(text)) = self;
        text.len()
    }
}

/// The shape of a word or phrase: `*` at an end means that the word may go on there.
///
/// # Errors
/// What keeps it from being looked for, without where it stands.
pub(crate) fn shape(text: &str) -> Result<Shape, String> {
    let text = text.trim();
    if text.len() > LENGTH_MAX {
        return Err(format!("an entry is longer than {LENGTH_MAX} bytes"));
    }
    let core = text.trim_matches('*').trim();
    if core.is_empty() {
        return Err(format!("`{text}` would match everything"));
    }
    let (is_open_left, is_open_right) = (text.starts_with('*'), text.ends_with('*'));
    let core = plain(core).into_owned();
    if has_signs(&core) {
        return Ok(Shape::Regex(literal(&core, is_open_left, is_open_right)));
    }
    let folded = String::from_utf8(fold(&core).text).map_err(|error| error.to_string())?;
    let words = folded.trim();
    if words.is_empty() {
        return Err(format!("`{text}` has no letter: write it as a regex"));
    }
    let is_glued = |c: Option<char>| c.is_some_and(is_spaceless);
    let left = if is_open_left || is_glued(words.chars().next()) { "" } else { " " };
    let right = if is_open_right || is_glued(words.chars().next_back()) { "" } else { " " };
    Ok(Shape::Words(format!("{left}{words}{right}")))
}

/// Whether signs are what an entry is about: `c++`, `@everyone`, `:)`. Folding would lose them, and match too much.
fn has_signs(core: &str) -> bool {
    let is_sign = |c: char| c.is_ascii_punctuation();
    let is_joint = |c: char| matches!(c, '-' | '.' | ',' | ';' | ':' | '\'' | '"' | '/' | '_' | '*' | '(' | ')');
    core.starts_with(is_sign) || core.ends_with(is_sign) || core.contains(|c| is_sign(c) && !is_joint(c))
}

/// A regular expression for an entry as it is written, with white space as it comes.
fn literal(core: &str, is_open_left: bool, is_open_right: bool) -> String {
    let parts: Vec<String> = core.split_whitespace().map(regex::escape).collect();
    let edge =
        |is_open: bool, c: Option<char>| if !is_open && c.is_some_and(char::is_alphanumeric) { r"\b" } else { "" };
    let left = edge(is_open_left, core.chars().next());
    let right = edge(is_open_right, core.chars().next_back());
    format!("{left}{}{right}", parts.join(r"\s+"))
}

/// The entries of a stock list, one a line. Marks before an entry: `#` a remark, `=` only as it is written, `?` has
/// innocent meanings, `!` innocent, `>` innocent what ends in it, `~` in odd spellings, too, few as its letters are, `+` a sign, once for each point;
/// `/.../` is a regular expression.
///
/// # Errors
/// What is wrong, with the line's number.
pub(crate) fn stock(list: &str, rule: usize) -> Result<Vec<Entry>, String> {
    let mut entries = Vec::new();
    for (number, line) in (1..).zip(list.lines().map(str::trim)) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let text = line.trim_start_matches(['=', '?', '!', '>', '~', '+']);
        let marks = &line[..line.len() - text.len()];
        let points = marks.bytes().filter(|mark| *mark == b'+').count();
        let shape = match text.strip_prefix('/').and_then(|it| it.strip_suffix('/')) {
            Some(pattern) => Shape::Regex(pattern.to_owned()),
            None => shape(text).map_err(|error| format!("line {number}: {error}"))?,
        };
        let kind = match points {
            _ if marks.contains('!') => Kind::Allow,
            _ if marks.contains('>') => Kind::Ending,
            0 => Kind::Hit,
            points => Kind::Cue(points as u8),
        };
        let (is_exact, is_vague, is_short) = (marks.contains('='), marks.contains('?'), marks.contains('~'));
        entries.push(Entry { kind, rule: Some(rule), is_exact, is_vague, is_short, shape });
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_shapes() {
        for (text, expected) in [
            ("Word", " word "),
            ("word*", " word"),
            ("*word", "word "),
            ("*word*", "word"),
            ("two  words", " two words "),
            ("don't-stop", " dont stop "),
            ("discord.gg", " discord gg "),
            ("\u{6b7b}\u{306d}", "\u{6b7b}\u{306d}"),
            ("\u{1f595}", " \u{1f595} "),
        ] {
            assert_eq!(shape(text), Ok(Shape::Words(expected.into())), "{text:?}");
        }
        for (text, expected) in
            [("c++", r"\bc\+\+"), ("@everyone", r"@everyone\b"), ("a$$ hat*", r"\ba\$\$\s+hat"), (":)", r":\)")]
        {
            assert_eq!(shape(text), Ok(Shape::Regex(expected.into())), "{text:?}");
        }
        for text in ["", "*", "**", " * "] {
            assert!(shape(text).is_err(), "{text:?}");
        }
    }
}
