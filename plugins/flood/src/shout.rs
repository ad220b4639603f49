//! Shouting: sentences in capitals. Acronyms, names of constants, code, tables, codes of letters and licences are none.

use crate::config::Config;
use crate::look::{Look, is_upper};

/// Words in capitals that make a sentence.
const WORDS_LEAST: u32 = 4;
/// Of these, words that are longer than acronyms are.
const LONG_LEAST: u32 = 2;
const LONG_LETTERS: usize = 5;
/// A text is code when it has more than one sign of code for so many capitals.
const LETTERS_PER_SIGN: u32 = 16;
/// So many of what licences shout make one.
const LEGAL_LEAST: usize = 2;
const LEGAL: &[&str] = &[
    "\"AS IS\"",
    "BSD",
    "COPYING",
    "COPYRIGHT",
    "DAMAGES",
    "GPL",
    "LIABLE",
    "LICENCE",
    "LICENSE",
    "MERCHANTABILITY",
    "SOFTWARE",
    "WARRANT",
];

pub(crate) fn is_shouting(config: &Config, look: &Look, body: &str) -> bool {
    config.caps_least > 0
        && look.upper >= config.caps_least
        && look.upper * 100 > config.caps_percent * (look.upper + look.lower)
        && config.caps_action.is_on()
        && is_sentence(body)
        && !is_code(body, look.upper)
        && LEGAL.iter().filter(|it| body.contains(**it)).count() < LEGAL_LEAST
}

fn is_sentence(body: &str) -> bool {
    let (mut words, mut long, mut listed) = (0, 0, 0);
    for token in body.split_whitespace() {
        let word = token.trim_matches(|c: char| !c.is_alphanumeric());
        let letters = word.chars().filter(|c| c.is_alphabetic()).count();
        if letters < 2 || !word.chars().all(is_of_word) || is_of_codes(word) {
            continue;
        }
        words += 1;
        long += u32::from(letters >= LONG_LETTERS);
        listed += u32::from(token.ends_with([',', ';']));
    }
    words >= WORDS_LEAST && long >= LONG_LEAST && listed * 2 < words
}

/// Letters in capitals, and what may stand between them, seen or not.
fn is_of_word(c: char) -> bool {
    is_upper(c)
        || matches!(c, '\'' | '\u{2019}' | '\u{df}' | '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
        || matches!(c, '\u{300}'..='\u{36f}')
}

/// Hexadecimal, bases of DNA, Roman numbers, or Latin letters that nobody can say.
fn is_of_codes(word: &str) -> bool {
    let is_of = |letters: &str| word.chars().all(|c| letters.contains(c));
    let is_unsayable = word.len() >= LONG_LETTERS && word.is_ascii() && !word.contains(['A', 'E', 'I', 'O', 'U', 'Y']);
    is_of("ABCDEF") || is_of("ACGTUN") || is_of("IVXLCDM") || is_unsayable
}

fn is_code(body: &str, letters: u32) -> bool {
    let is_sign = |c: char| "`{}[]<>()=;_|\\/$#@*&^~0123456789".contains(c);
    let signs = body.chars().filter(|c| is_sign(*c)).count() as u32;
    // Three spaces in a row are columns.
    is_query(body) || body.contains('`') || body.contains("   ") || signs * LETTERS_PER_SIGN > letters
}

/// SQL, which many write in capitals: one of its verbs first, and what belongs to it behind.
fn is_query(body: &str) -> bool {
    let mut words = body.split_whitespace();
    let then = match words.next() {
        Some("SELECT" | "DELETE") => "FROM",
        Some("INSERT") => "INTO",
        Some("UPDATE") => "SET",
        Some("CREATE" | "ALTER" | "DROP") => "TABLE",
        _ => return false,
    };
    words.any(|word| word == then)
}
