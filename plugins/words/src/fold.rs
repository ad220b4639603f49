//! A text as its words alone: one space before, between and behind them, whatever stood there. So a phrase is found
//! however it is punctuated, and a whole word is one with a space on either side.

/// Letters in a row from which on a word is stretched: no language needs so many.
pub(crate) const STRETCHED: usize = 3;
/// Single letters in a row from which on they may spell a word.
pub(crate) const SPELLED: usize = 4;
/// The same in scripts without spaces, where most words have two.
pub(crate) const SPELLED_SPACELESS: usize = 2;
/// Marks of formatting in a row inside a word at most; more stand for letters that somebody left out.
const MARKS_MAX: usize = 4;

/// Where a word stands: in the folded text, and in its source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word {
    pub at: usize,
    pub from: usize,
    pub to: usize,
}

/// A text's words.
#[derive(Debug)]
pub(crate) struct Folded {
    pub text: Vec<u8>,
    pub words: Vec<Word>,
    /// Whether something is stretched, spelled, or written with digits and signs for letters.
    pub is_odd: bool,
    /// Whether a word is being written.
    is_open: bool,
    /// Kinds of the characters in it, as bits.
    kinds: u8,
    last: u8,
    run: usize,
    /// Characters of the word that is being written.
    length: usize,
    /// Words of one character in a row.
    singles: usize,
}

/// What a character does to a word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Belongs to one.
    Part,
    /// Is one by itself: an emoji.
    Alone,
    /// Is left out inside one.
    Apostrophe,
    Separator,
}

const LETTER: u8 = 1;
const LEET: u8 = 2;
const SPACELESS: u8 = 4;

/// Of each ASCII character.
static ASCII: [Class; 128] = ascii();

const fn ascii() -> [Class; 128] {
    let mut table = [Class::Separator; 128];
    let mut at = 0;
    while at < 128 {
        if (at as u8).is_ascii_alphanumeric() {
            table[at] = Class::Part;
        }
        at += 1;
    }
    table[b'\'' as usize] = Class::Apostrophe;
    table
}

/// What a character is.
pub(crate) fn class(c: char) -> Class {
    match c {
        '\0'..='\x7f' => ASCII[c as usize],
        '\u{2018}' | '\u{2019}' | '\u{2bc}' => Class::Apostrophe,
        '\u{1f000}'..='\u{1faff}' | '\u{2600}'..='\u{27bf}' => Class::Alone,
        // Marks, among them those that scripts of India and Thailand write vowels with.
        '\u{300}'..='\u{36f}' | '\u{900}'..='\u{dff}' | '\u{e00}'..='\u{e7f}' => Class::Part,
        c if c.is_alphanumeric() => Class::Part,
        _ => Class::Separator,
    }
}

/// Whether a script is written without spaces, or with endings glued to its words; then a word is found inside others.
pub(crate) const fn is_spaceless(c: char) -> bool {
    matches!(c, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3040}'..='\u{30ff}'
        | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}' | '\u{20000}'..='\u{3ffff}')
}

/// Folds a text that is in small letters.
pub(crate) fn fold(text: &str) -> Folded {
    let mut folded = Folded::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte.is_ascii() {
            match ASCII[usize::from(byte)] {
                Class::Part => folded.push(byte, at),
                Class::Apostrophe => folded.elide(&bytes[at + 1..]),
                _ => {
                    folded.close();
                    folded.is_odd |= matches!(byte, b'@' | b'$' | b'!' | b'|') && is_sign_for_letter(bytes, at);
                    folded.is_odd |= is_mark(byte) && marks_inside(text, at) > 0;
                }
            }
            at += 1;
        } else {
            let Some(c) = text[at..].chars().next() else { break };
            folded.push_wide(c, at, &bytes[at + c.len_utf8()..]);
            at += c.len_utf8();
        }
    }
    folded.close();
    folded
}

/// Whether `@`, `$`, `!` or `|` stands where a letter might: `sh!t`, `@nd`, `a$$`, `k|ll`.
pub(crate) fn is_sign_for_letter(bytes: &[u8], at: usize) -> bool {
    let is_letter = |byte: Option<&u8>| byte.is_some_and(|it| it.is_ascii_alphabetic() || matches!(it, b'$' | b'@'));
    let before = at.checked_sub(1).and_then(|it| bytes.get(it));
    let after = bytes.get(at + 1);
    match bytes.get(at) {
        Some(b'!' | b'|') => is_letter(before) && is_letter(after),
        Some(b'$') => is_letter(before) || is_letter(after),
        Some(b'@') => is_letter(after),
        _ => false,
    }
}

const fn is_mark(byte: u8) -> bool {
    matches!(byte, b'*' | b'_' | b'~' | b'|' | b'`')
}

/// How many bytes at a place are marks of formatting inside a word, which nobody sees when they are shown: `k**ill`.
pub(crate) fn marks_inside(text: &str, at: usize) -> usize {
    let rest = text.as_bytes().get(at..).unwrap_or_default();
    let marks = rest.iter().take_while(|byte| is_mark(**byte)).take(MARKS_MAX + 1).count();
    let is_formatting = match marks {
        0 => false,
        1 => rest.first() == Some(&b'`'),
        more => more <= MARKS_MAX,
    };
    let is_letter = |c: Option<char>| c.is_some_and(char::is_alphabetic);
    let is_inside = || is_letter(text[..at].chars().next_back()) && is_letter(text[at + marks..].chars().next());
    if is_formatting && is_inside() { marks } else { 0 }
}

impl Folded {
    fn with_capacity(capacity: usize) -> Self {
        let mut text = Vec::with_capacity(capacity + 2);
        text.push(b' ');
        let words = Vec::with_capacity(capacity / 4 + 1);
        Self { text, words, is_odd: false, is_open: false, kinds: 0, last: 0, run: 0, length: 0, singles: 0 }
    }

    fn open(&mut self, from: usize) {
        if !self.is_open {
            self.is_open = true;
            self.words.push(Word { at: self.text.len(), from, to: from });
        }
    }

    fn push(&mut self, byte: u8, at: usize) {
        self.open(at);
        self.run = if byte == self.last { self.run + 1 } else { 1 };
        self.last = byte;
        if byte.is_ascii_digit() {
            self.kinds |= if matches!(byte, b'0' | b'1' | b'3'..=b'5' | b'7' | b'9') { LEET } else { 0 };
        } else {
            self.kinds |= LETTER;
            self.is_odd |= self.run >= STRETCHED;
        }
        self.text.push(byte);
        self.length += 1;
        self.reach(at + 1);
    }

    fn push_wide(&mut self, c: char, at: usize, rest: &[u8]) {
        match class(c) {
            Class::Part => {}
            Class::Alone => self.close(),
            Class::Apostrophe => return self.elide(rest),
            Class::Separator => return self.close(),
        }
        self.open(at);
        // The last byte tells repeated letters well enough for a first look.
        let mut bytes = [0; 4];
        let bytes = c.encode_utf8(&mut bytes).as_bytes();
        let last = bytes.last().copied().unwrap_or_default();
        self.run = if last == self.last { self.run + 1 } else { 1 };
        (self.last, self.kinds) = (last, self.kinds | if is_spaceless(c) { LETTER | SPACELESS } else { LETTER });
        self.is_odd |= self.run >= STRETCHED;
        self.text.extend_from_slice(bytes);
        self.length += 1;
        self.reach(at + bytes.len());
        if class(c) == Class::Alone {
            // Letters with emoji between them may spell a word, too.
            let singles = self.singles;
            self.close();
            self.singles = singles;
        }
    }

    fn reach(&mut self, to: usize) {
        if let Some(word) = self.words.last_mut() {
            word.to = to;
        }
    }

    /// `don't` is `dont`; but `l'ami`, `i'm`, `he'll`, `who're` and `kim's` are two words, or some would be quite others.
    fn elide(&mut self, rest: &[u8]) {
        let is_end = |at: usize| rest.get(at).is_none_or(|byte| !byte.is_ascii_alphanumeric());
        let is_apart = || match rest {
            [b's', ..] => is_end(1),
            [b'l', b'l', ..] | [b'r' | b'v', b'e', ..] => is_end(2),
            _ => false,
        };
        if self.is_open && (self.length == 1 || is_apart()) {
            self.close();
        }
    }

    fn close(&mut self) {
        if !self.is_open {
            return;
        }
        self.is_open = false;
        self.singles = if self.length == 1 { self.singles + 1 } else { 0 };
        let spelled = if self.kinds & SPACELESS == 0 { SPELLED } else { SPELLED_SPACELESS };
        self.is_odd |= self.singles >= spelled || self.kinds & (LETTER | LEET) == LETTER | LEET;
        (self.kinds, self.last, self.run, self.length) = (0, 0, 0, 0);
        self.text.push(b' ');
    }

    /// A word's text.
    pub(crate) fn word(&self, number: usize) -> &[u8] {
        let from = self.words.get(number).map_or(self.text.len(), |word| word.at);
        let to = self.words.get(number + 1).map_or(self.text.len(), |word| word.at);
        self.text.get(from..to).unwrap_or_default()
    }
}

/// The number of the word at a place of a folded text.
pub(crate) fn word_at(words: &[Word], at: usize) -> usize {
    words.partition_point(|word| word.at <= at).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_are_left() {
        for (text, expected) in [
            ("", " "),
            ("...", " "),
            ("hello", " hello "),
            ("  kill -- your.self! ", " kill your self "),
            ("don't, i'm l'ami, who're", " dont i m l ami who re "),
            ("kim's, kims', 'st, x'sy", " kim s kims st x sy "),
            ("na\u{ef}ve \u{2014} \u{440}\u{434}", " na\u{ef}ve \u{440}\u{434} "),
            ("ha\u{1f595}\u{1f595}ha", " ha \u{1f595} \u{1f595} ha "),
        ] {
            assert_eq!(String::from_utf8(fold(text).text).unwrap(), expected, "{text:?}");
        }
    }

    #[test]
    fn words_know_where_they_stood() {
        let text = "\u{e9}t\u{e9}, 'tis don't! x";
        let found: Vec<&str> = fold(text).words.iter().map(|word| &text[word.from..word.to]).collect();
        assert_eq!(found, ["\u{e9}t\u{e9}", "tis", "don't", "x"]);
    }

    #[test]
    fn odd_spellings_are_seen() {
        for text in [
            "sooo",
            "f u c k",
            "f.u.c.k",
            "h3llo",
            "sh!t",
            "a$$",
            "@ss",
            "\u{443}\u{443}\u{443}",
            "f\u{1f602}u\u{1f602}c\u{1f602}k",
            "ni99er",
            "k|ll",
            "k**ill",
            "ki||ll||",
            "`k`ill",
            "\u{53bb} \u{6b7b}",
        ] {
            assert!(fold(text).is_odd, "{text:?}");
        }
        for text in [
            "hello, world!",
            "a b c",
            "2026 10000",
            "100$",
            "well!",
            "good! bad",
            "book keeper",
            "x 86",
            "is it on me",
            "**bold** and ||hidden||",
            "a || b",
            "`code`",
            "2**8",
            "snake_case",
            "f*****r",
            "\u{53bb}, let us",
            "cat a | wc",
        ] {
            assert!(!fold(text).is_odd, "{text:?}");
        }
    }
}
