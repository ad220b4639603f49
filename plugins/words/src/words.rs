//! All words of all lists, found in one pass over a folded text.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use confab_plugin::normal::skeleton;

use crate::entry::{Entry, Kind, Shape};
use crate::evade::{Odd, Squeezed, squeeze, undo};
use crate::fold::{Folded, Word, is_spaceless, word_at};
use crate::hits::{Hits, How, Meta};

/// Letters that a word has at least for its odd spellings to be told from other things.
const ODD_LETTERS_MIN: usize = 4;
/// The same in scripts without spaces, for those that stand apart.
const APART_LETTERS_MIN: usize = 2;

const PLAIN: u8 = 1;
const SKELETON: u8 = 2;

/// The words of all lists.
#[derive(Debug)]
pub(crate) struct Words {
    metas: Vec<Meta>,
    written: AhoCorasick,
    /// For each pattern of `written`: its entry, and the forms that it is looked for in.
    written_entries: Vec<(usize, u8)>,
    odd: AhoCorasick,
    /// For each pattern of `odd`: its entry, how often each letter stands in it, and how odd a spelling must be.
    odd_entries: Vec<(usize, Vec<u8>, Odd)>,
}

impl Words {
    /// Takes the entries that are words; others are not for it.
    ///
    /// # Errors
    /// Too many of them.
    pub(crate) fn new(entries: &[Entry]) -> Result<Self, String> {
        let (mut metas, mut written, mut written_entries) = (Vec::new(), Vec::new(), Vec::new());
        let (mut odd, mut odd_entries) = (Vec::new(), Vec::new());
        for entry in entries {
            let Shape::Words(words) = &entry.shape else { continue };
            let number = metas.len();
            let Entry { kind, rule, is_exact, is_vague, .. } = *entry;
            metas.push(Meta { kind, rule, is_vague });
            let alike = skeleton(words);
            let is_same = alike == words.as_str();
            written_entries.push((number, if is_same && !is_exact { PLAIN | SKELETON } else { PLAIN }));
            written.push(words.clone());
            if is_exact {
                continue;
            }
            if let Some(least) = odd_spellings(entry, words) {
                let squeezed = squeeze(&alike);
                odd.push(squeezed.text);
                odd_entries.push((number, squeezed.runs, least));
            }
            if !is_same {
                // Many type without marks; that makes another word of some words, but of hardly any phrase.
                let is_phrase = words.trim().contains(' ');
                // All letters that look Latin may be written so: then the text is its own skeleton.
                let is_of_two = alike.contains(|c: char| c.is_ascii_alphabetic()) && alike.contains(|c| c >= '\u{370}');
                written_entries.push((number, if is_phrase || is_of_two { PLAIN | SKELETON } else { SKELETON }));
                written.push(alike.into_owned());
            }
        }
        Ok(Self { metas, written: automaton(&written)?, written_entries, odd: automaton(&odd)?, odd_entries })
    }

    /// Looks for words as they are written.
    pub(crate) fn find_plain(&self, plain: &Folded, hits: &mut Hits) {
        for (entry, meta, range) in self.written_in(plain, PLAIN) {
            let place = place(&plain.words, &plain.text, range);
            hits.add(meta, entry, How::Plainly, place.from, place.to);
        }
    }

    /// Looks for words in what the text looks like, where that is another text.
    pub(crate) fn find_alike(&self, alike: &Folded, plain: &Folded, hits: &mut Hits) {
        for (entry, meta, range) in self.written_in(alike, SKELETON) {
            let place = place(&alike.words, &alike.text, range);
            let mut numbers = place.first..=place.last;
            // What is the same in both was decided as it is written: a cone is no cone with a tilde.
            if meta.kind.is_innocent() || numbers.any(|it| alike.word(it) != plain.word(it)) {
                hits.add(meta, entry, How::LookAlike, place.from, place.to);
            }
        }
    }

    /// Looks only for what is allowed.
    pub(crate) fn find_allowed(&self, folded: &Folded, hits: &mut Hits) {
        for (entry, meta, range) in self.written_in(folded, PLAIN) {
            if meta.kind.is_innocent() {
                let place = place(&folded.words, &folded.text, range);
                hits.add(meta, entry, How::Plainly, place.from, place.to);
            }
        }
    }

    /// Looks for odd spellings in what a text looks like.
    pub(crate) fn find_odd(&self, alike: &str, hits: &mut Hits) {
        let Some(undone) = undo(alike, 'i') else { return };
        self.odd_in(&undone, hits);
        if undone.has_one
            && let Some(undone) = undo(alike, 'l')
        {
            self.odd_in(&undone, hits);
        }
    }

    fn written_in<'a>(&'a self, folded: &'a Folded, form: u8) -> impl Iterator<Item = (usize, Meta, (usize, usize))> {
        self.written.find_overlapping_iter(&folded.text).filter_map(move |found| {
            let (entry, forms) = self.written_entries.get(found.pattern().as_usize())?;
            let meta = self.metas.get(*entry).filter(|_| forms & form != 0)?;
            Some((*entry, *meta, (found.start(), found.end())))
        })
    }

    fn odd_in(&self, undone: &Squeezed, hits: &mut Hits) {
        for found in self.odd.find_overlapping_iter(&undone.text) {
            let Some((entry, runs, least)) = self.odd_entries.get(found.pattern().as_usize()) else { continue };
            let place = place(&undone.words, &undone.text, (found.start(), found.end()));
            let is_odd = (place.first..=place.last).any(|it| undone.odd.get(it) >= Some(least));
            if is_odd
                && undone.has(found.start(), runs)
                && let Some(meta) = self.metas.get(*entry)
            {
                hits.add(*meta, *entry, How::Oddly, place.from, place.to);
            }
        }
    }
}

/// Which odd spellings of an entry are looked for. A word with marks on Latin letters is another word without them. In
/// scripts without spaces a word is short, and stands inside others: there only letters that stand apart tell something,
/// but also of what is innocent.
fn odd_spellings(entry: &Entry, words: &str) -> Option<Odd> {
    let letters = words.chars().filter(|c| c.is_alphabetic()).count();
    let is_of_one = words.is_ascii() || !words.contains(|c: char| c.is_ascii_alphabetic());
    match entry.kind {
        Kind::Hit if is_of_one && (entry.is_short || letters >= ODD_LETTERS_MIN) => Some(Odd::Letters),
        Kind::Hit | Kind::Allow if letters >= APART_LETTERS_MIN && words.chars().all(is_spaceless) => Some(Odd::Apart),
        _ => None,
    }
}

/// Where a match stands.
struct Place {
    /// The numbers of its first and its last word.
    first: usize,
    last: usize,
    /// Bytes of the source: whole words, but in scripts without spaces.
    from: usize,
    to: usize,
}

fn place(words: &[Word], text: &[u8], (start, end): (usize, usize)) -> Place {
    let is_space = |at: usize| text.get(at) == Some(&b' ');
    let (start, end) = (start + usize::from(is_space(start)), end - usize::from(is_space(end - 1)));
    let (first, last) = (word_at(words, start), word_at(words, end.saturating_sub(1)));
    let mut place = Place { first, last, from: 0, to: 0 };
    let found = text.get(start..end).and_then(|it| std::str::from_utf8(it).ok()).unwrap_or_default();
    if let Some(word) = words.get(first) {
        let is_inside = found.chars().next().is_some_and(is_spaceless) && is_as_written(words, text, first);
        place.from = if is_inside { word.from + (start - word.at) } else { word.from };
    }
    if let Some(word) = words.get(last) {
        let is_inside = found.chars().next_back().is_some_and(is_spaceless) && is_as_written(words, text, last);
        place.to = if is_inside { word.from + (end - word.at) } else { word.to };
    }
    place
}

/// Whether nothing was left out inside a word, so that its bytes stand as in the source.
fn is_as_written(words: &[Word], text: &[u8], number: usize) -> bool {
    let next = words.get(number + 1).map_or(text.len(), |word| word.at);
    words.get(number).is_some_and(|word| next.saturating_sub(1) == word.at + (word.to - word.from))
}

fn automaton<P: AsRef<[u8]>>(patterns: &[P]) -> Result<AhoCorasick, String> {
    AhoCorasick::builder()
        .match_kind(MatchKind::Standard)
        .kind(Some(AhoCorasickKind::ContiguousNFA))
        .build(patterns)
        .map_err(|error| format!("words: {error}"))
}
