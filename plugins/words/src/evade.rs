//! What a text says when it is spelled to get past lists: `fuuuck`, `f u c k`, `f.u.c.k`, `sh1t`, `a$$`, `f**u**ck`.
//!
//! Each letter is kept once with the number of times that it stood there, so that a stretched word matches the word and
//! a shorter one does not: `niger` has one g.

use crate::fold::{
    Class, SPELLED, SPELLED_SPACELESS, STRETCHED, Word, class, is_sign_for_letter, is_spaceless, marks_inside,
};

/// Set in the number of a letter that must be there exactly so often.
const EXACT: u8 = 0x80;
const RUN_MAX: u8 = 0x7f;
/// Letters that a word with digits and signs has at least: hex and codes have few.
const LETTERS_MIN: usize = 2;
/// Bytes between spelled letters at most.
const GAP_MAX: usize = 8;
/// Bytes of signs between them that need not be the same each time.
const SIGNS_MAX: usize = 2;

/// How a word was spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Odd {
    /// It was just written.
    Not,
    /// Stretched, or with digits and signs for letters.
    Letters,
    /// Its letters stood apart, or marks of formatting among them.
    Apart,
}

/// A word of a text, signs for letters in it.
#[derive(Clone, Copy, Debug)]
struct Token {
    from: usize,
    to: usize,
    /// Whether marks of formatting stand inside.
    is_marked: bool,
}

/// A text, or a word of a list, with each letter once.
#[derive(Debug, Default)]
pub(crate) struct Squeezed {
    pub text: Vec<u8>,
    /// For each byte of the text: how often its letter stood there.
    pub runs: Vec<u8>,
    pub words: Vec<Word>,
    /// Of each word.
    pub odd: Vec<Odd>,
    /// Whether a `1`, `!` or `|` stands for a letter: for i, or for l.
    pub has_one: bool,
}

/// A folded word or phrase of a list, squeezed.
pub(crate) fn squeeze(folded: &str) -> Squeezed {
    let mut squeezed = Squeezed::default();
    push_runs(&mut squeezed, folded.chars());
    squeezed
}

/// A text with its odd spellings undone; `one` is what `1`, `!` and `|` stand for. `None`: there are none.
pub(crate) fn undo(text: &str, one: char) -> Option<Squeezed> {
    let tokens = tokens(text);
    let mut undone = Squeezed::with_capacity(text.len());
    let (mut rest, mut letters) = (tokens.as_slice(), String::new());
    while let Some(first) = rest.first() {
        let count = spelled(text, rest);
        let (taken, after) = rest.split_at(count.max(1));
        let place = (first.from, taken.last().map_or(first.to, |it| it.to));
        letters.clear();
        taken.iter().for_each(|it| read(text, *it, &mut letters));
        undone.push(&letters, place, count > 0 || first.is_marked, one);
        if count > SPELLED && letters.starts_with(['a', 'i', 'u']) {
            // A word by itself, it may be, with a spelled one behind it.
            undone.push(&letters[1..], place, true, one);
        }
        rest = after;
    }
    undone.odd.iter().any(|odd| *odd > Odd::Not).then_some(undone)
}

/// Appends a word as it is shown.
fn read(text: &str, token: Token, letters: &mut String) {
    let mut at = token.from;
    while let Some(c) = text[at..token.to].chars().next() {
        let marks = if token.is_marked { marks_inside(text, at) } else { 0 };
        if marks == 0 {
            letters.push(c);
        }
        at += marks.max(c.len_utf8());
    }
}

/// The words of a text, signs for letters taken as letters.
fn tokens(text: &str) -> Vec<Token> {
    let bytes = text.as_bytes();
    let mut tokens: Vec<Token> = Vec::with_capacity(text.len() / 4 + 1);
    let (mut open, mut marked_to): (Option<Token>, usize) = (None, 0);
    for (at, c) in text.char_indices() {
        if at < marked_to {
            continue;
        }
        let is_part = match class(c) {
            Class::Part => true,
            Class::Apostrophe => open.is_some_and(|it| at - it.from > 1),
            _ => is_sign_for_letter(bytes, at),
        };
        if is_part {
            open.get_or_insert(Token { from: at, to: text.len(), is_marked: false });
        } else if let Some(token) = &mut open {
            let marks = marks_inside(text, at);
            if marks > 0 {
                (token.is_marked, marked_to) = (true, at + marks);
            } else {
                token.to = at;
                tokens.extend(open.take());
            }
        }
    }
    tokens.extend(open);
    tokens
}

/// How many tokens at the beginning are single letters with the same between them, or with a sign or two each; 0: too
/// few to spell a word.
fn spelled(text: &str, tokens: &[Token]) -> usize {
    let single = |at: usize| {
        let mut letters = tokens.get(at).map(|it| text[it.from..it.to].chars())?;
        letters.next().filter(|_| letters.next().is_none())
    };
    let gap_before = |at: usize| text.get(tokens.get(at - 1)?.to..tokens.get(at)?.from);
    let (Some(first), Some(gap)) = (single(0), gap_before(1)) else { return 0 };
    if gap.len() > GAP_MAX {
        return 0;
    }
    let is_of_signs = |gap: &str| gap.len() <= SIGNS_MAX && !gap.contains(char::is_whitespace);
    let is_alike = |other: &str| other == gap || is_of_signs(gap) && is_of_signs(other);
    let follows = |at: &usize| {
        single(*at).is_some_and(|c| is_spaceless(c) == is_spaceless(first)) && gap_before(*at).is_some_and(is_alike)
    };
    let count = 1 + (1..tokens.len()).take_while(follows).count();
    let least = if is_spaceless(first) { SPELLED_SPACELESS } else { SPELLED };
    if count >= least { count } else { 0 }
}

impl Squeezed {
    fn with_capacity(capacity: usize) -> Self {
        let (mut text, mut runs) = (Vec::with_capacity(capacity + 2), Vec::with_capacity(capacity + 2));
        text.push(b' ');
        runs.push(1 | EXACT);
        Self { text, runs, ..Self::default() }
    }

    fn push(&mut self, letters: &str, (from, to): (usize, usize), is_apart: bool, one: char) {
        let count = letters.chars().filter(|c| c.is_alphabetic()).count();
        let is_leet = count >= LETTERS_MIN && letters.chars().any(|c| letter_of(c, one) != c);
        self.has_one |= is_leet && letters.contains(['1', '!', '|']);
        self.words.push(Word { at: self.text.len(), from, to });
        let first = self.runs.len();
        let read = letters.chars().filter(|c| class(*c) != Class::Apostrophe);
        let longest = push_runs(self, read.map(|c| if is_leet { letter_of(c, one) } else { c }));
        let is_stretched = longest >= STRETCHED && count > 0;
        if !is_stretched {
            self.runs.iter_mut().skip(first).for_each(|run| *run |= EXACT);
        }
        self.odd.push(match (is_apart, is_leet || is_stretched) {
            (true, _) => Odd::Apart,
            (false, true) => Odd::Letters,
            (false, false) => Odd::Not,
        });
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
        '1' | '!' | '|' => one,
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        '9' => 'g',
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
            ("f.u.c-k", "fuck"),
            ("f|ght di99er", "fight digger"),
            ("s|ut", "slut"),
            ("**k**ill k||i||ll k`i`ll k~~ill~~", "kill kill kill kill"),
            ("\u{53bb} \u{6b7b}", "\u{53bb}\u{6b7b}"),
            ("\u{53bb}.\u{6b7b}", "\u{53bb}\u{6b7b}"),
            ("\u{6211}\u{53bb}**\u{6b7b}**", "\u{6211}\u{53bb}\u{6b7b}"),
            ("\u{ac1c} \u{c0c8} \u{b07c}", "\u{ac1c}\u{c0c8}\u{b07c}"),
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
            ("f u. c k", "fuck"),
            ("k*****ill", "kill"),
            ("f*uck", "fuck"),
            ("\u{56de}\u{53bb} \u{6b7b}\u{795e}", "\u{53bb}\u{6b7b}"),
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
