//! All regular expressions of all lists: first which of them match, in one pass, then where.

use std::cell::OnceCell;

use regex::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

use crate::entry::{Entry, Shape};
use crate::hits::{Hits, How, Meta};

/// Bytes of a compiled pattern; more is refused.
const SIZE_MAX: usize = 1 << 20;
/// Of all of them together.
const SET_SIZE_MAX: usize = 3 << 20;
/// What the search may keep.
const CACHE_MAX: usize = 1 << 20;
/// Places of one pattern in one text that are looked at; all of them allowed is enough.
const PLACES_MAX: usize = 32;

/// Patterns that are searched together.
#[derive(Debug)]
pub(crate) struct Patterns {
    /// Finds all that match, and some that do not.
    set: RegexSet,
    each: Vec<Pattern>,
    tells_case: bool,
}

#[derive(Debug)]
struct Pattern {
    text: String,
    /// Made when it first matches: most never do.
    regex: OnceCell<Option<Regex>>,
    meta: Meta,
}

/// Compiles a pattern. Small and capital letters are the same, but for `(?-i)`.
///
/// # Errors
/// One line: what is wrong with it.
pub(crate) fn compile(pattern: &str) -> Result<Regex, String> {
    let mut builder = RegexBuilder::new(pattern);
    let built = builder.case_insensitive(true).size_limit(SIZE_MAX).dfa_size_limit(CACHE_MAX).build();
    let regex = built.map_err(|error| {
        let told = error.to_string();
        let last = told.lines().last().unwrap_or_default();
        format!("regex `{pattern}`: {}", last.trim_start_matches("error: "))
    })?;
    if regex.is_match("") {
        return Err(format!("regex `{pattern}`: it matches an empty text, so everything"));
    }
    Ok(regex)
}

/// A pattern without its `\b` and `\B`: it matches all that the pattern does, and more. In texts that are not ASCII
/// those make the search some twenty times slower, so they are asked only where the rest matches.
fn without_edges(pattern: &str) -> String {
    let (mut wider, mut rest) = (String::with_capacity(pattern.len()), pattern);
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        wider.push_str(before);
        let length = 1 + escape.chars().nth(1).map_or(0, char::len_utf8);
        let (escape, after) = escape.split_at(length);
        rest = after;
        if matches!(escape, r"\b" | r"\B") {
            // `\b{start}` and the like.
            let name = rest.strip_prefix('{').filter(|it| it.starts_with(|c: char| c.is_ascii_alphabetic()));
            rest = name.and_then(|it| it.split_once('}')).map_or(rest, |(_, after)| after);
            wider.push_str("(?:)");
        } else {
            wider.push_str(escape);
        }
    }
    wider.push_str(rest);
    // What cannot do without them stays as it is.
    if wider == pattern || Regex::new(&wider).is_ok() { wider } else { pattern.to_owned() }
}

impl Patterns {
    /// Takes the entries that are patterns; others are not for it. Those for small letters only are ready sooner.
    ///
    /// # Errors
    /// What is wrong, in one line.
    pub(crate) fn new<'a>(entries: impl Iterator<Item = &'a Entry>, only_small: bool) -> Result<Self, String> {
        let mut each = Vec::new();
        for entry in entries {
            if let Shape::Regex(text) = &entry.shape {
                let Entry { kind, rule, is_vague, .. } = *entry;
                let meta = Meta { kind, rule, is_vague };
                each.push(Pattern { text: text.clone(), regex: OnceCell::new(), meta });
            }
        }
        let wider = |pattern: &Pattern| if only_small { pattern.text.clone() } else { without_edges(&pattern.text) };
        let set = RegexSetBuilder::new(each.iter().map(wider))
            .case_insensitive(!only_small)
            .size_limit(SET_SIZE_MAX)
            .dfa_size_limit(CACHE_MAX)
            .build()
            .map_err(|error| format!("all regexes together: {error}"))?;
        let tells_case = each.iter().any(|pattern| pattern.text.contains("-i"));
        Ok(Self { set, each, tells_case })
    }

    /// Whether there are none.
    pub(crate) const fn is_empty(&self) -> bool {
        self.each.is_empty()
    }

    /// Whether small and capital letters may be told from each other: `(?-i)`.
    pub(crate) const fn tells_case(&self) -> bool {
        self.tells_case
    }

    /// Looks for patterns.
    pub(crate) fn find(&self, text: &str, hits: &mut Hits) {
        if self.is_empty() {
            return;
        }
        for number in &self.set.matches(text) {
            let Some(pattern) = self.each.get(number) else { continue };
            let Some(regex) = pattern.regex.get_or_init(|| compile(&pattern.text).ok()) else { continue };
            for found in regex.find_iter(text).take(PLACES_MAX) {
                // Numbers from the top, so that they are none of a word's.
                hits.add(pattern.meta, usize::MAX - number, How::Plainly, found.start(), found.end());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_go_and_nothing_else() {
        for (pattern, wider) in [
            (r"\bcat\b", "(?:)cat(?:)"),
            (r"\\bcat\d", r"\\bcat\d"),
            (r"\b{start}cat\B{2}", "(?:)cat(?:){2}"),
            ("plain", "plain"),
            (r"(?:\b|x)a", "(?:(?:)|x)a"),
        ] {
            assert_eq!(without_edges(pattern), wider);
        }
    }

    #[test]
    fn what_is_wrong_is_one_line() {
        for pattern in ["(", "a*", "[z-a]", "(?:a{1000}){1000}"] {
            let error = compile(pattern).unwrap_err();
            assert!(!error.contains('\n') && error.contains(pattern), "{error}");
        }
    }
}
