//! What a search sees of a message and of a query: words, and what both indexes are asked for them. It knows the
//! notations of FTS5 and of Postgres; who asks the stores, and who may see what they answer, is none of its business.
//!
//! Words are found here and by neither database, so that both answer alike: FTS5 splits at spaces (`tokenize='ascii'`,
//! `detail=full`), Postgres takes literals and parses no text. Stored indexes hold folded words: whoever changes
//! [`words`] builds them anew.

use std::collections::{BTreeMap, HashMap};

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{canonical_combining_class, is_combining_mark};
use unicode_segmentation::UnicodeSegmentation;

use crate::core::seal::Blinder;

/// A word, characters after folding; what is longer is cut, in messages and queries alike.
pub const WORD_CHARS_MAX: usize = 64;
/// Words of one message; later ones are not found.
pub const WORDS_MAX: usize = 8_000;
/// Occurrences of one word in one message that count; Postgres keeps no more positions of a lexeme.
pub const OCCURRENCES_MAX: usize = 255;
/// Words of one query, all terms together.
pub const QUERY_WORDS_MAX: usize = 64;

// Postgres knows positions up to 16,383 and lexemes below 2 KiB.
const _: () = assert!(WORDS_MAX <= 16_383 && OCCURRENCES_MAX <= 255);
const _: () = assert!(WORD_CHARS_MAX * 4 < 2_048);

/// What a message must hold to be found: every term, in any order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// At least one.
    pub terms: Vec<Term>,
}

/// Words that stand next to each other, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// At least one, as [`words`] folds them.
    pub words: Vec<String>,
    /// The last word may go on.
    pub is_prefix: bool,
}

/// Why there is nothing to search for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// Neither a letter nor a digit.
    #[error("the query has no word")]
    Empty,
    /// More than [`QUERY_WORDS_MAX`] words.
    #[error("the query has more than {QUERY_WORDS_MAX} words")]
    TooLong,
}

/// The words of a text as both indexes hold them, in order; a word's position is its place here.
///
/// Each is a word of UAX #29 without accents and case, of letters and digits only. Occurrences past
/// [`OCCURRENCES_MAX`] are left out before positions are given.
pub fn words(text: &str) -> Vec<String> {
    let mut counts = HashMap::<String, usize>::new();
    let mut counted = |word: &String| match counts.get_mut(word) {
        Some(count) => {
            *count += 1;
            *count <= OCCURRENCES_MAX
        }
        None => counts.insert(word.clone(), 1).is_none(),
    };
    text.unicode_words().flat_map(fold).filter(|word| counted(word)).take(WORDS_MAX).collect()
}

/// One word of a text as it is indexed: none, one or, where it has marks inside, several.
fn fold(word: &str) -> Vec<String> {
    // Most words, in a third of the time.
    if word.is_ascii() {
        return split(&word.to_ascii_lowercase()).collect();
    }
    let bare = word.nfkd().filter(|c| !is_accent(*c)).flat_map(fold_case);
    // Recomposed, which without accents is Hangul and kana: a prefix is then of syllables, as they are typed.
    let folded: String = bare.nfc().collect();
    // Found anew: one character may stand for words that are apart when written out (U+309F, U+FDFA).
    folded.unicode_words().flat_map(split).collect()
}

/// Whether a word is found without it. Vowel signs (of class 0) are letters in all but name, and a voiced kana is another
/// letter than the unvoiced.
fn is_accent(c: char) -> bool {
    let is_letter = c.is_alphanumeric() && canonical_combining_class(c) == 0 || matches!(c, '\u{3099}' | '\u{309a}');
    is_combining_mark(c) && !is_letter
}

/// The letters and digits of a folded word.
fn split(word: &str) -> impl Iterator<Item = String> {
    let parts = word.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty());
    parts.map(|part| part.chars().take(WORD_CHARS_MAX).collect())
}

/// Lower case by way of upper case, so that what shouting makes one is one: ς and σ, ß and ss, ı and i.
fn fold_case(c: char) -> impl Iterator<Item = char> {
    c.to_lowercase().flat_map(char::to_uppercase).flat_map(char::to_lowercase)
}

/// Reads a query: words, `"phrases"` and `prefixes*`. Nothing is a syntax error; what is no word is passed over.
///
/// # Errors
///
/// When there is no word, or too many.
pub fn parse(query: &str) -> Result<Query, QueryError> {
    let mut terms = Vec::new();
    for (nth, part) in quoted_parts(query).into_iter().enumerate() {
        if nth % 2 == 1 {
            terms.extend(Term::new(part, false));
        } else {
            terms.extend(part.split_whitespace().filter_map(|piece| Term::new(piece, piece.ends_with('*'))));
        }
    }
    match terms.iter().map(|term| term.words.len()).sum() {
        0 => Err(QueryError::Empty),
        1..=QUERY_WORDS_MAX => Ok(Query { terms }),
        _ => Err(QueryError::TooLong),
    }
}

/// The query split at its quotes: every second part stands inside of some. Which kind opens and which closes is a
/// matter of country.
fn quoted_parts(query: &str) -> Vec<&str> {
    let (mut parts, mut from) = (Vec::new(), 0);
    let is_hebrew = |c: char| ('\u{5d0}'..='\u{5ea}').contains(&c);
    for (at, quote) in query.match_indices(['"', '\u{201c}', '\u{201d}', '\u{201e}']) {
        let (before, after) = (query.get(from..at).unwrap_or_default(), query.get(at + quote.len()..));
        // Inside a Hebrew word it marks an abbreviation.
        if before.ends_with(is_hebrew) && after.is_some_and(|after| after.starts_with(is_hebrew)) {
            continue;
        }
        parts.push(before);
        from = at + quote.len();
    }
    parts.push(query.get(from..).unwrap_or_default());
    parts
}

impl Query {
    /// As it is asked of an index of such words. `None`: it asks for beginnings, which are not seen in it.
    #[must_use]
    pub fn blinded(&self, blinder: &Blinder) -> Option<Self> {
        if !blinder.is_clear() && self.terms.iter().any(|term| term.is_prefix) {
            return None;
        }
        let blinded = |term: &Term| {
            let words = term.words.iter().map(|word| blinder.blind(word.clone())).collect();
            Term { words, ..*term }
        };
        Some(Self { terms: self.terms.iter().map(blinded).collect() })
    }

    /// The expression behind FTS5's `MATCH`.
    pub fn to_fts5(&self) -> String {
        self.terms.iter().map(Term::to_fts5).collect::<Vec<_>>().join(" AND ")
    }

    /// A literal of Postgres' `tsquery`.
    pub fn to_tsquery(&self) -> String {
        self.terms.iter().map(Term::to_tsquery).collect::<Vec<_>>().join(" & ")
    }

    /// Whether a message of these [`words`] is one that both indexes find.
    pub fn matches(&self, words: &[String]) -> bool {
        self.terms.iter().all(|term| (0..words.len()).any(|at| term.begins(words.get(at..).unwrap_or_default())))
    }
}

impl Term {
    /// A term of the words in a piece of a query, if there are any.
    fn new(piece: &str, is_prefix: bool) -> Option<Self> {
        let words = words(piece);
        // A single letter begins a large part of all words.
        let is_long = words.last().is_some_and(|word| word.len() > 1);
        (!words.is_empty()).then_some(Self { words, is_prefix: is_prefix && is_long })
    }

    fn to_fts5(&self) -> String {
        let star = if self.is_prefix { " *" } else { "" };
        format!("\"{}\"{star}", self.words.join(" ").replace('"', "\"\""))
    }

    fn to_tsquery(&self) -> String {
        let star = if self.is_prefix { ":*" } else { "" };
        let lexemes: Vec<_> = self.words.iter().map(|word| lexeme(word)).collect();
        match lexemes.as_slice() {
            [lexeme] => format!("{lexeme}{star}"),
            _ => format!("({}{star})", lexemes.join(" <-> ")),
        }
    }

    /// Whether a text that goes on like this goes on with this term.
    fn begins(&self, text: &[String]) -> bool {
        let Some((last, first)) = self.words.split_last() else {
            return false;
        };
        let is_last = |word: &String| if self.is_prefix { word.starts_with(last.as_str()) } else { word == last };
        text.starts_with(first) && text.get(first.len()).is_some_and(is_last)
    }
}

/// A literal of Postgres' `tsvector` for a message of these [`words`].
pub fn to_tsvector(words: &[String]) -> String {
    let mut positions = BTreeMap::<&str, Vec<String>>::new();
    for (at, word) in words.iter().enumerate() {
        positions.entry(word).or_default().push((at + 1).to_string());
    }
    let lexemes = positions.iter().map(|(word, at)| format!("{}:{}", lexeme(word), at.join(",")));
    lexemes.collect::<Vec<_>>().join(" ")
}

/// What FTS5 indexes for a message of these [`words`].
pub fn to_text(words: &[String]) -> String {
    words.join(" ")
}

/// Quoted as literals of `tsvector` and `tsquery` have it. Words hold nothing that needs it; a door is locked anyway.
fn lexeme(word: &str) -> String {
    format!("'{}'", word.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn term(words: &[&str], is_prefix: bool) -> Term {
        Term { words: words.iter().map(ToString::to_string).collect(), is_prefix }
    }

    #[test]
    fn words_are_folded_in_many_languages() {
        for (text, expected) in [
            ("Hello, World", "hello world"),
            ("Straße STRASSE STRA\u{1e9e}E", "strasse strasse strasse"),
            ("İstanbul ISTANBUL ıstanbul istanbul", "istanbul istanbul istanbul istanbul"),
            ("Ça, Été e\u{301}te\u{301} À-côté", "ca ete ete a cote"),
            ("l'Œuvre øre Łódź", "l œuvre øre łodz"),
            ("ΟΔΟΣ οδός Ὀδός", "οδοσ οδοσ οδοσ"),
            ("Ёлка ЕЛКА Київ", "елка елка киів"),
            ("Ա\u{587} ԱԵՒ", "աեւ աեւ"),
            ("Ა ა", "ა ა"),
            // Arabic with vowel signs; hamza on its alef; a ligature that is a sentence; Persian with a non-joiner.
            ("مُحَمَّد محمد", "محمد محمد"),
            ("أحمد احمد", "احمد احمد"),
            ("\u{fdfa}", "صلى الله عليه وسلم"),
            ("می\u{200c}خواهم", "می خواهم"),
            // Hebrew with points, with an abbreviation.
            ("שָׁלוֹם שלום", "שלום שלום"),
            ("צה\"ל צה\u{5f4}ל", "צה ל צה ל"),
            // Signs of vowels are marks: what is left of Hindi are its consonants.
            ("हिन्दी की", "हिनदी की"),
            // Scripts without spaces are letter by letter.
            ("ที่นี่ น้ำ", "ท\u{e35} น\u{e35} น \u{e4d} า"),
            ("\u{edc}\u{e81}", "ຫ ນ ກ"),
            ("你好世界", "你 好 世 界"),
            ("ひらがな カタカナ ｶﾀｶﾅ", "ひ ら が な カタカナ カタカナ"),
            ("ガ ｶﾞ カ\u{3099} \u{309f}", "ガ ガ ガ よ り"),
            ("한국어 \u{1112}\u{1161}\u{11ab}국어 ㅋㅋ", "한국어 한국어 \u{110f}\u{110f}"),
            ("Ｆｕｌｌ　ｗｉｄｔｈ １２", "full width 12"),
            ("ﬁne \u{1d407}i ſ \u{212a}", "fine hi s k"),
            ("x² ① Ⅷ ½", "x 2 1 viii 1 2"),
        ] {
            assert_eq!(words(text).join(" "), expected, "{text}");
        }
    }

    #[test]
    fn words_are_of_letters_and_digits_only() {
        for (text, expected) in [
            ("don't 3.14 1,000 snake_case a.b:c", "don t 3 14 1 000 snake case a b c"),
            ("don\u{2019}t co\u{ad}operate a\u{2060}b a\u{ff3f}b", "don t co operate a b a b"),
            ("a\0b \0 \u{7f} \u{feff}c", "a b c"),
            ("https://example.org/?q=1#x me@example.org", "https example org q 1 x me example org"),
            ("\u{1f600} \u{1f1e9}\u{1f1ea} 1\u{fe0f}\u{20e3} \u{2764}\u{fe0f}", "1"),
            ("'\"\\:*!&|()<->", ""),
            ("", ""),
        ] {
            assert_eq!(words(text).join(" "), expected, "{text:?}");
        }
    }

    #[test]
    fn no_character_makes_a_word_that_an_index_would_read_otherwise() {
        // Without most ideographs, syllables of Hangul and what is private: many and alike.
        let many =
            [('\u{3400}', '\u{9fff}'), ('\u{ac80}', '\u{d7a2}'), ('\u{e001}', '\u{f8ff}'), ('\u{12000}', '\u{15fff}')];
        let characters = ('\0'..='\u{1ffff}').filter(|c| !many.iter().any(|(from, to)| (from..=to).contains(&c)));
        for c in characters {
            let found = words(&format!("{c} a{c}b \u{915}{c}\u{30ab}"));
            let is_word = |word: &String| !word.is_empty() && word.chars().all(char::is_alphanumeric);
            assert!(found.iter().all(is_word), "{c:?} {found:?}");
            assert!(!found.concat().contains(|c: char| c.is_ascii_uppercase() || is_accent(c)), "{c:?}");
            assert_eq!(words(&to_text(&found)), found, "folded twice: {c:?}");
        }
    }

    #[test]
    fn words_are_bounded() {
        assert_eq!(words(&"ü".repeat(100_000)), ["u".repeat(WORD_CHARS_MAX)]);
        assert_eq!(words(&"한".repeat(65)), ["한".repeat(WORD_CHARS_MAX)]);
        assert_eq!(words(&format!("{} next", "x".repeat(65))), ["x".repeat(WORD_CHARS_MAX), "next".to_owned()]);

        let many: Vec<String> = (0..WORDS_MAX + 10).map(|n| n.to_string()).collect();
        assert_eq!(words(&many.join(" ")), many[..WORDS_MAX]);

        let again = words(&format!("{} last", "La lA ".repeat(OCCURRENCES_MAX)));
        assert_eq!(again.len(), OCCURRENCES_MAX + 1);
        assert_eq!(again.last().unwrap(), "last");
        assert!(parse("\"la last\"").unwrap().matches(&again), "positions are given to what counts");
    }

    #[test]
    fn queries_are_read() {
        for (query, expected) in [
            ("foo", vec![term(&["foo"], false)]),
            (" Foo\tBÄR\u{3000}foo ", vec![term(&["foo"], false), term(&["bar"], false), term(&["foo"], false)]),
            ("foo-bar", vec![term(&["foo", "bar"], false)]),
            ("你好", vec![term(&["你", "好"], false)]),
            ("\"foo  bar\" baz", vec![term(&["foo", "bar"], false), term(&["baz"], false)]),
            ("a\"b c\"d", vec![term(&["a"], false), term(&["b", "c"], false), term(&["d"], false)]),
            (
                "\u{201e}foo bar\u{201c} \u{201c}a b\u{201d}",
                vec![term(&["foo", "bar"], false), term(&["a", "b"], false)],
            ),
            ("\"foo bar", vec![term(&["foo", "bar"], false)]),
            ("x \"", vec![term(&["x"], false)]),
            ("\"\" x \" \"", vec![term(&["x"], false)]),
            ("pre*", vec![term(&["pre"], true)]),
            ("foo-pre** x*y *z", vec![term(&["foo", "pre"], true), term(&["x", "y"], false), term(&["z"], false)]),
            ("\"foo*\" * \"bar\"*", vec![term(&["foo"], false), term(&["bar"], false)]),
            ("צה\"ל חדש", vec![term(&["צה", "ל"], false), term(&["חדש"], false)]),
            ("\"צה\"ל חדש\" x", vec![term(&["צה", "ל", "חדש"], false), term(&["x"], false)]),
            ("NEAR(a b, 2)", vec![term(&["near", "a"], false), term(&["b"], false), term(&["2"], false)]),
            ("a AND NOT b", ["a", "and", "not", "b"].map(|word| term(&[word], false)).to_vec()),
            ("words:x ^y {z}", vec![term(&["words", "x"], false), term(&["y"], false), term(&["z"], false)]),
            (
                "it's \\'a':* !b&c|d",
                vec![term(&["it", "s"], false), term(&["a"], false), term(&["b", "c", "d"], false)],
            ),
            ("a\0b", vec![term(&["a", "b"], false)]),
        ] {
            assert_eq!(parse(query), Ok(Query { terms: expected }), "{query:?}");
        }
    }

    #[test]
    fn queries_without_words_and_with_too_many_are_refused() {
        for query in ["", " ", "*", "\"", "\"\"", "- \0 \u{1f600} !* \u{301}", "\u{201e}\u{201c}"] {
            assert_eq!(parse(query), Err(QueryError::Empty), "{query:?}");
        }
        assert_eq!(parse(&"a".repeat(1_000_000)).unwrap().terms, [term(&[&"a".repeat(WORD_CHARS_MAX)], false)]);
        assert_eq!(parse(&"a ".repeat(QUERY_WORDS_MAX)).unwrap().terms.len(), QUERY_WORDS_MAX);
        for query in
            ["a ".repeat(QUERY_WORDS_MAX + 1), "a-".repeat(100_000), format!("\"{}", "好".repeat(QUERY_WORDS_MAX + 1))]
        {
            assert_eq!(parse(&query), Err(QueryError::TooLong));
        }
    }

    #[test]
    fn queries_are_written_for_both_indexes() {
        for (query, fts5, tsquery) in [
            ("foo \"foo bar\" pre*", r#""foo" AND "foo bar" AND "pre" *"#, "'foo' & ('foo' <-> 'bar') & 'pre':*"),
            ("one-two-thr*", r#""one two thr" *"#, "('one' <-> 'two' <-> 'thr':*)"),
            ("OR", r#""or""#, "'or'"),
        ] {
            let query = parse(query).unwrap();
            assert_eq!((query.to_fts5().as_str(), query.to_tsquery().as_str()), (fts5, tsquery));
        }
        // No parser makes these.
        let hostile = Query { terms: vec![term(&["a\"b'c\\"], true)] };
        assert_eq!(hostile.to_fts5(), r#""a""b'c\" *"#);
        assert_eq!(hostile.to_tsquery(), r#"'a"b''c\\':*"#);
    }

    #[test]
    fn messages_are_written_for_both_indexes() {
        let words = words("Foo bar, foo!");
        assert_eq!(to_text(&words), "foo bar foo");
        assert_eq!(to_tsvector(&words), "'bar':2 'foo':1,3");
        assert_eq!((to_text(&[]), to_tsvector(&[])), (String::new(), String::new()));
        assert_eq!(to_tsvector(&["a'\\".to_owned()]), r"'a''\\':1");
    }

    #[test]
    fn a_query_matches_what_holds_all_its_terms() {
        let text = "The quick brown fox; the Straße ist naß. 你好世界 한국어 don't";
        for (query, expected) in [
            ("fox quick", true),
            ("fox cat", false),
            ("\"quick brown\" the", true),
            ("\"brown quick\"", false),
            ("\"quick fox\"", false),
            ("\"the the\"", false),
            ("qui", false),
            ("qui*", true),
            ("quick*", true),
            ("quick-bro*", true),
            ("qui-brown*", false),
            ("t*", true),
            ("STRASSE NASS", true),
            ("世界", true),
            ("好界", false),
            ("한국*", true),
            ("하*", false),
            ("dont", false),
            ("don't", true),
            ("\"don t\"", true),
            ("t-x", false),
        ] {
            assert_eq!(parse(query).unwrap().matches(&words(text)), expected, "{query}");
        }
        assert!(!parse("x").unwrap().matches(&[]));
        assert!(!Query { terms: vec![term(&[], true)] }.matches(&words(text)), "no parser makes an empty term");
    }
}
