//! What a text says when it is spelled to get past lists: `fuuuck`, `f u c k`, `f.u.c.k`, `sh1t`, `a$$`.
//!
//! Each letter is kept once with the number of times that it stood there, so that a stretched word matches the word and
//! a shorter one does not: `niger` has one g.

use crate::fold::{Class, SPELLED, STRETCHED, Word, class, is_sign_for_letter};

/// Set in the number of a letter that must be there exactly so often.
const EXACT: u8 = 0x80;
const RUN_MAX: u8 = 0x7f;
/// Letters that a word with digits and signs has at least: hex and codes have few.
const LETTERS_MIN: usize = 2;
/// Bytes between spelled letters at most.
const GAP_MAX: usize = 8;

/// A text, or a word of a list, with each letter once.
#[derive(Debug, Default)]
pub(crate) struct Squeezed {
    pub text: Vec<u8>,
    /// For each byte of the text: how often its letter stood there.
    pub runs: Vec<u8>,
    pub words: Vec<Word>,
    /// For each word: whether it was not just written.
    pub odd: Vec<bool>,
    /// Whether a `1` or a `!` stands for a letter: for i, or for l.
    pub has_one: bool,
}

/// A folded word or phrase of a list, squeezed.
pub(crate) fn squeeze(folded: &str) -> Squeezed {
    let mut squeezed = Squeezed::default();
    push_runs(&mut squeezed, folded.chars());
    squeezed
}

/// A text with its odd spellings undone; `one` is what `1` and `!` stand for. `None`: there are none.
pub(crate) fn undo(text: &str, one: char) -> Option<Squeezed> {
    let tokens = tokens(text);
    let mut undone = Squeezed::with_capacity(text.len());
    let (mut rest, mut letters) = (tokens.as_slice(), String::new());
    while let Some(first) = rest.first() {
        let count = spelled(text, rest);
        let (taken, after) = rest.split_at(count.max(1));
        let to = taken.last().map_or(first.1, |it| it.1);
        letters.clear();
        taken.iter().for_each(|it| letters.push_str(&text[it.0..it.1]));
        undone.push(&letters, (first.0, to), count > 0, one);
        if count > SPELLED && letters.starts_with(['a', 'i', 'u']) {
            // A word by itself, it may be, with a spelled one behind it.
            undone.push(&letters[1..], (first.0, to), true, one);
        }
        rest = after;
    }
    undone.odd.contains(&true).then_some(undone)
}

/// The words of a text, signs for letters taken as letters.
fn tokens(text: &str) -> Vec<(usize, usize)> {
    let bytes = text.as_bytes();
    let (mut tokens, mut from) = (Vec::with_capacity(text.len() / 4 + 1), None);
    for (at, c) in text.char_indices() {
        let is_part = match class(c) {
            Class::Part => true,
            Class::Apostrophe => from.is_some_and(|from| at - from > 1),
            _ => is_sign_for_letter(bytes, at),
        };
        match (is_part, from) {
            (true, None) => from = Some(at),
            (false, Some(start)) => {
                tokens.push((start, at));
                from = None;
            }
            _ => {}
        }
    }
    tokens.extend(from.map(|from| (from, text.len())));
    tokens
}

/// How many tokens at the beginning are single letters with the same between them; 0: too few to spell a word.
fn spelled(text: &str, tokens: &[(usize, usize)]) -> usize {
    let is_single = |it: &(usize, usize)| text[it.0..it.1].chars().nth(1).is_none();
    let gap_before = |at: usize| text.get(tokens.get(at - 1)?.1..tokens.get(at)?.0);
    let Some(gap) = (tokens.len() >= SPELLED).then(|| gap_before(1)).flatten() else { return 0 };
    if gap.len() > GAP_MAX || !tokens.first().is_some_and(is_single) {
        return 0;
    }
    let follows = |at: &usize| tokens.get(*at).is_some_and(is_single) && gap_before(*at) == Some(gap);
    let count = 1 + (1..tokens.len()).take_while(follows).count();
    if count >= SPELLED { count } else { 0 }
}

impl Squeezed {
    fn with_capacity(capacity: usize) -> Self {
        let (mut text, mut runs) = (Vec::with_capacity(capacity + 2), Vec::with_capacity(capacity + 2));
        text.push(b' ');
        runs.push(1 | EXACT);
        Self { text, runs, ..Self::default() }
    }

    fn push(&mut self, letters: &str, (from, to): (usize, usize), is_spelled: bool, one: char) {
        let count = letters.chars().filter(|c| c.is_alphabetic()).count();
        let is_leet = count >= LETTERS_MIN && letters.chars().any(|c| letter_of(c, one) != c);
        self.has_one |= is_leet && letters.contains(['1', '!']);
        self.words.push(Word { at: self.text.len(), from, to });
        let first = self.runs.len();
        let read = letters.chars().filter(|c| class(*c) != Class::Apostrophe);
        let longest = push_runs(self, read.map(|c| if is_leet { letter_of(c, one) } else { c }));
        let is_stretched = longest >= STRETCHED && count > 0;
        if !is_stretched {
            self.runs.iter_mut().skip(first).for_each(|run| *run |= EXACT);
        }
        self.odd.push(is_spelled || is_leet || is_stretched);
        self.text.push(b' ');
        self.runs.push(1 | EXACT);
    }

    /// Whether this word of a list is at a place of the text where all its letters are.
    pub(crate) fn has(&self, at: usize, listed: &[u8]) -> bool {
        let fits = |(here, run): (&u8, &u8)| {
            let times = here & RUN_MAX;
            if here & EXACT == 0 { times >= *run } else { times == *run }
        };
        self.runs.get(at..at + listed.len()).is_some_and(|here| here.iter().zip(listed).all(fits))
    }
}

/// Appends characters, each once. Returns the longest run.
fn push_runs(into: &mut Squeezed, chars: impl Iterator<Item = char>) -> usize {
    let (mut last, mut longest) = (None, 0);
    let (mut from, mut run) = (into.runs.len(), 0_u8);
    for c in chars {
        if last == Some(c) {
            run = (run + 1).min(RUN_MAX);
            into.runs.iter_mut().skip(from).for_each(|it| *it = run);
        } else {
            (last, from, run) = (Some(c), into.runs.len(), 1);
            let mut bytes = [0; 4];
            let bytes = c.encode_utf8(&mut bytes).as_bytes();
            into.text.extend_from_slice(bytes);
            into.runs.extend(bytes.iter().map(|_| run));
        }
        longest = longest.max(usize::from(run));
    }
    longest
}

const fn letter_of(c: char, one: char) -> char {
    match c {
        '0' => 'o',
        '1' | '!' => one,
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(text: &str, listed: &str) -> bool {
        let listed = squeeze(&format!(" {listed} "));
        ['i', 'l'].into_iter().filter_map(|one| undo(text, one)).any(|undone| {
            let places = 0..undone.text.len();
            places.into_iter().any(|at| undone.text[at..].starts_with(&listed.text) && undone.has(at, &listed.runs))
        })
    }

    #[test]
    fn odd_spellings_are_undone() {
        for (text, listed) in [
            ("fuuuuck", "fuck"),
            ("asssshoooole", "asshole"),
            ("f u c k", "fuck"),
            ("oh f.u.c.k.!", "fuck"),
            ("f - u - c - k", "fuck"),
            ("sh!t", "shit"),
            ("5h1t", "shit"),
            ("s1ut", "slut"),
            ("@$$h0le", "asshole"),
            ("k1ll yourself", "kill yourself"),
            ("s h 1 t", "shit"),
            ("you are a f u c k", "fuck"),
            ("f\u{1f602}u\u{1f602}c\u{1f602}k", "fuck"),
        ] {
            assert!(matches(text, listed), "{text:?} {listed}");
        }
    }

    #[test]
    fn what_only_looks_like_it_is_not() {
        for (text, listed) in [
            ("nigerrrr", "nigger"),
            ("asss", "asses"),
            ("classs", "ass"),
            ("a b c", "abc"),
            ("s c u n t h o r p e", "cunt"),
            ("f u, c k", "fuck"),
            ("putto 1337 hax0r", "puto"),
            ("455", "ass"),
            ("fsck", "fuck"),
        ] {
            assert!(!matches(text, listed), "{text:?} {listed}");
        }
        assert!(undo("nothing odd in here", 'i').is_none());
    }

    #[test]
    fn long_runs_are_linear() {
        let text = "u".repeat(16 * 1024);
        assert_eq!(undo(&text, 'i').unwrap().text, b" u ");
        let text = "b ".repeat(8 * 1024);
        assert_eq!(undo(&text, 'i').unwrap().text, b" b ");
    }
}
