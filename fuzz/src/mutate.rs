//! New inputs from kept ones: a few changes on top of each other, of kinds that suit the shape of the input.

use crate::random::Random;

/// Longest input that is made, bytes: above the bound of a frame, which must be refused.
pub const INPUT_BYTES_MAX: usize = 96 * 1024;

const WORD: usize = 8;
/// One input has at most so many changes.
const CHANGES_MAX: usize = 6;
/// Numbers at which lengths, counts and signs turn over.
const NUMBERS: [u64; 22] = [
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    16,
    64,
    200,
    201,
    255,
    1 << 15,
    (1 << 16) - 1,
    1 << 16,
    (1 << 29) - 1,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
    1 << 32,
    1 << 63,
    u64::MAX,
];
/// What parsers of text trip over: brackets, quotes, escapes, signs, numbers past their types, odd characters.
const MARKS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "[[",
    "]]",
    "(",
    "\"",
    "\"\"\"",
    "'",
    "'''",
    "\\",
    "\\u0000",
    "\\ud800",
    "\\uffff",
    "\\x",
    ",",
    ":",
    "=",
    ".",
    "#",
    "-",
    "+",
    "/",
    "../",
    "%",
    "\n",
    "\r",
    "\t",
    "\0",
    " ",
    "0",
    "-1",
    "1e999",
    "0x",
    "1_",
    "NaN",
    "inf",
    "null",
    "true",
    "18446744073709551616",
    "-9223372036854775809",
    "1979-05-27T07:32:00Z",
    "\u{feff}",
    "\u{202e}",
    "\u{200d}",
    "\u{301}",
    "\u{10ffff}",
    "\u{ff}",
];

/// How inputs are built, hence what a change does to them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// Cap'n Proto: a header with the length in words, then words; the header is put right most of the time, so
    /// that what is inside is read.
    Frame,
    /// Anything.
    Bytes,
    /// Words and marks.
    Text,
}

/// An endless source of inputs.
pub struct Mutator<'a> {
    corpus: &'a [Vec<u8>],
    words: Vec<&'a [u8]>,
    shape: Shape,
    random: Random,
    bytes: Vec<u8>,
}

impl<'a> Mutator<'a> {
    /// Of this corpus, which is not empty; the same inputs for the same seed.
    #[must_use]
    pub fn new(corpus: &'a [Vec<u8>], shape: Shape, seed: u64) -> Self {
        assert!(!corpus.is_empty(), "nothing to mutate");
        let words = match shape {
            Shape::Text => corpus.iter().flat_map(|text| words(text)).chain(MARKS.iter().map(|mark| mark.as_bytes())),
            Shape::Frame | Shape::Bytes => return Self::without_words(corpus, shape, seed),
        };
        Self { words: words.collect(), ..Self::without_words(corpus, shape, seed) }
    }

    const fn without_words(corpus: &'a [Vec<u8>], shape: Shape, seed: u64) -> Self {
        Self { corpus, words: Vec::new(), shape, random: Random::new(seed), bytes: Vec::new() }
    }

    /// The next input.
    pub fn next_input(&mut self) -> &[u8] {
        self.bytes.clear();
        self.bytes.extend_from_slice(self.random.pick(self.corpus).as_slice());
        // Few more often than many: what is changed all over is refused at the first look.
        let changes = 1 + self.random.below(CHANGES_MAX);
        for _ in 0..=self.random.below(changes) {
            match self.shape {
                Shape::Text if !self.random.once_in(4) => self.change_text(),
                _ => self.change(),
            }
        }
        self.bytes.truncate(INPUT_BYTES_MAX);
        if self.shape == Shape::Frame && !self.random.once_in(8) {
            reframe(&mut self.bytes);
        }
        &self.bytes
    }

    fn change(&mut self) {
        let len = self.bytes.len();
        match self.random.below(32) {
            0..=6 if len > 0 => {
                let at = self.random.below(len);
                self.bytes[at] ^= 1 << self.random.below(8);
            }
            7..=9 if len > 0 => {
                let (at, value) = (self.random.below(len), self.number() as u8);
                self.bytes[at] = value;
            }
            10..=12 => self.overwrite(4),
            13..=17 => self.overwrite(WORD),
            18..=20 => self.swap_words(),
            21 => self.bytes.truncate(self.random.below(len + 1)),
            22 => {
                let range = self.range(len);
                self.bytes.drain(range);
            }
            23 | 24 => self.double(),
            25..=27 => self.splice(),
            28 => self.cross(),
            29 => self.grow(),
            _ => {
                let (at, number) = (self.random.below(len + 1), self.number().to_le_bytes());
                let width = *self.random.pick(&[1, 2, 4, WORD]);
                self.insert(at, &number[..width]);
            }
        }
    }

    /// A number at an edge, a small one, or any.
    fn number(&mut self) -> u64 {
        match self.random.below(4) {
            0 => self.random.any(),
            1 => self.random.any() & 0xff,
            _ => *self.random.pick(&NUMBERS),
        }
    }

    /// As a pointer to a struct or list nearby, a count, or a number.
    fn word(&mut self) -> u64 {
        match self.random.below(4) {
            0 => {
                let offset = (self.random.below(64) as u64).wrapping_sub(32) << 2 & 0xffff_fffc;
                let (kind, sizes) = (self.random.below(4) as u64, self.random.any() & 0x0003_0007);
                sizes << 32 | offset | kind
            }
            1 => self.number() << 32 | self.random.any() & 0xff,
            _ => self.number(),
        }
    }

    fn overwrite(&mut self, width: usize) {
        let places = self.bytes.len() / width;
        let word = self.word().to_le_bytes();
        if places > 0 {
            let at = self.random.below(places) * width;
            self.bytes[at..at + width].copy_from_slice(&word[..width]);
        }
    }

    fn swap_words(&mut self) {
        let width = *self.random.pick(&[4, WORD]);
        let places = self.bytes.len() / width;
        let (one, other) = (self.random.below(places) * width, self.random.below(places) * width);
        if one != other {
            (0..width).for_each(|byte| self.bytes.swap(one + byte, other + byte));
        }
    }

    /// Up to 64 bytes somewhere in so many; whole words where the input is made of words.
    fn range(&mut self, len: usize) -> std::ops::Range<usize> {
        let step = if self.shape == Shape::Frame { WORD } else { 1 };
        let from = self.random.below(len / step + 1) * step;
        let more = (1 + self.random.below(64 / step)) * step;
        from..(from + more).min(len).max(from)
    }

    fn double(&mut self) {
        let range = self.range(self.bytes.len());
        let piece = self.bytes[range.clone()].to_vec();
        // Long lists and deep nesting are piece after piece of the same.
        let times = if self.random.once_in(8) { 1 + self.random.below(400) } else { 1 };
        self.insert(range.end, &piece.repeat(times));
    }

    fn splice(&mut self) {
        let other = self.random.pick(self.corpus);
        let from = self.range(other.len());
        let at = self.range(self.bytes.len());
        if self.random.once_in(2) {
            self.insert(at.start, &other[from]);
        } else {
            let end = (at.start + from.len()).min(self.bytes.len());
            self.bytes.splice(at.start..end, other[from].iter().copied());
        }
    }

    /// The beginning of this, the end of another, at the same place.
    fn cross(&mut self) {
        let other = self.random.pick(self.corpus);
        let at = self.range(self.bytes.len().min(other.len())).start;
        self.bytes.truncate(at);
        self.bytes.extend_from_slice(&other[at..]);
    }

    fn grow(&mut self) {
        // Rarely far: past the bound of a frame.
        let most = if self.random.once_in(16) { INPUT_BYTES_MAX } else { 512 };
        let len = self.bytes.len() + self.random.below(most);
        let fill = *self.random.pick(&[0, 0, 0xff, b'a', b'[']);
        self.bytes.resize(len, fill);
    }

    fn insert(&mut self, at: usize, piece: &[u8]) {
        let room = INPUT_BYTES_MAX.saturating_sub(self.bytes.len());
        self.bytes.splice(at..at, piece[..piece.len().min(room)].iter().copied());
    }

    /// Puts a word or mark somewhere, or in the place of another.
    fn change_text(&mut self) {
        let word = *self.random.pick(&self.words);
        let found: Vec<(usize, usize)> = word_ranges(&self.bytes).collect();
        if found.is_empty() || self.random.once_in(2) {
            let at = self.random.below(self.bytes.len() + 1);
            return self.insert(at, word);
        }
        let (start, end) = *self.random.pick(&found);
        self.bytes.splice(start..end, word.iter().copied());
    }
}

/// Makes it whole words, and its header say how many.
pub fn reframe(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(WORD).max(2 * WORD), 0);
    let words = u32::try_from(bytes.len() / WORD - 1).unwrap_or(u32::MAX);
    bytes[..4].fill(0);
    bytes[4..8].copy_from_slice(&words.to_le_bytes());
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    word_ranges(text).map(|(start, end)| &text[start..end])
}

/// Runs of letters, digits and underscores, and each other character that can be seen.
fn word_ranges(text: &[u8]) -> impl Iterator<Item = (usize, usize)> {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let mut at = 0;
    std::iter::from_fn(move || {
        at += text[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let len = text[at..].iter().take_while(|byte| is_word(byte)).count().max(1);
        let range = (at, at + len);
        at = range.1;
        (range.1 <= text.len()).then_some(range)
    })
    .fuse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_makes_the_same_inputs() {
        let corpus = [vec![1; 40], b"{\"username\": \"alice\"}".to_vec(), Vec::new()];
        for shape in [Shape::Frame, Shape::Bytes, Shape::Text] {
            let (mut one, mut other) = (Mutator::new(&corpus, shape, 7), Mutator::new(&corpus, shape, 7));
            let mut different = Mutator::new(&corpus, shape, 8);
            let mut differ = 0;
            for _ in 0..5_000 {
                let input = one.next_input();
                assert_eq!(input, other.next_input());
                assert!(input.len() <= INPUT_BYTES_MAX);
                differ += usize::from(input != different.next_input());
            }
            assert!(differ > 4_000, "{shape:?}: {differ}");
        }
    }

    #[test]
    fn words_of_a_text() {
        let found: Vec<&[u8]> = words(b" a_b = \"c\"\n").collect();
        assert_eq!(found, [&b"a_b"[..], b"=", b"\"", b"c", b"\""]);
        assert_eq!(words(b"").count() + words(b" \n").count(), 0);
    }

    #[test]
    fn most_mutated_frames_have_a_true_header() {
        let corpus = [vec![0; 64]];
        let mut mutator = Mutator::new(&corpus, Shape::Frame, 1);
        let is_true = |bytes: &[u8]| {
            bytes.len() >= 16 && bytes[..4] == [0; 4] && bytes[4..8] == ((bytes.len() / 8 - 1) as u32).to_le_bytes()
        };
        let count = (0..1_000).filter(|_| is_true(mutator.next_input())).count();
        assert!((800..1_000).contains(&count), "{count}");
    }
}
