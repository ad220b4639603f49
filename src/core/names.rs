//! Names that tell people and rooms apart: which may be given, and which are the same to the eye. Every way to give a
//! name goes through here, after the plugins had their say. Lengths are those of the types in the protocol; what a
//! message says is none of this module's business.
//!
//! Sources: UTS 39 (Unicode Security Mechanisms), UAX 31 section 2.3.1 and RFC 5892 appendix A (joiners), UTS 51
//! (emoji).

mod key;
mod reserved;

use confab_protocol::reject::{Reject, RejectCode};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::canonical_combining_class;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeEmoji, UnicodeGeneralCategory};
use unicode_script::{Script, ScriptExtension};
use unicode_security::mixed_script::AugmentedScriptSet;

pub use self::key::{Key, room_key, skeleton, user_key};
pub use self::reserved::{
    DEPUTY_ID_BYTES_MAX, DEPUTY_PREFIX, ERASED_PREFIX, check_display_name, check_user_name, deputy_name, is_reserved,
};

/// Combining marks of one base: Vietnamese needs 2, pointed Hebrew 3, Tibetan 4; more climb over the lines around them.
const MARKS_MAX: u32 = 4;

/// Canonical combining class of a virama, which joiners stand beside.
const VIRAMA: u8 = 9;
const ZERO_WIDTH_NON_JOINER: char = '\u{200c}';
const ZERO_WIDTH_JOINER: char = '\u{200d}';
const EMOJI_STYLE: char = '\u{fe0f}';

/// The flags that are spelled with tags: England, Scotland, Wales. Any other run of tags is a hidden text.
const TAGGED_FLAGS: [&str; 3] = [
    "\u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
    "\u{1f3f4}\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
    "\u{1f3f4}\u{e0067}\u{e0062}\u{e0077}\u{e006c}\u{e0073}\u{e007f}",
];

/// Why a name may not be given.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NameError {
    /// There is nothing to see.
    #[error("is blank")]
    Blank,
    /// Control, private use or unassigned: shown differently everywhere, if at all.
    #[error("holds characters that are not text")]
    NotText,
    /// It takes no room, or turns the direction of the text, where no script needs it.
    #[error("holds characters that cannot be seen")]
    Unseen,
    /// A mark with nothing to stand on.
    #[error("holds an accent without a letter")]
    LoneMark,
    /// Too many marks on one letter.
    #[error("piles up more than 4 accents on a letter")]
    TooManyMarks,
    /// Letters of scripts that nobody writes together look like others.
    #[error("mixes letters of different scripts")]
    MixedScripts,
}

impl NameError {
    /// The refusal of a name of this kind: `what` is "room name" or the like.
    #[must_use]
    pub fn reject(self, what: &str) -> Reject {
        Reject::new(RejectCode::NameInvalid, format!("the {what} {self}"))
    }
}

/// Whether a name may be given to a room or shown for a person. Login names are ASCII by their type and pass.
///
/// # Errors
/// The first rule that it breaks.
pub fn check(name: &str) -> Result<(), NameError> {
    let name = TAGGED_FLAGS.iter().fold(name.to_owned(), |name, flag| name.replace(flag, "\u{1f3f4}"));
    if name.chars().all(|c| c.is_whitespace() || is_unseen(c)) {
        return Err(NameError::Blank);
    }
    let mut before = None;
    let mut rest = name.chars().peekable();
    while let Some(c) = rest.next() {
        check_char(before, c, rest.peek().copied())?;
        before = Some(c);
    }
    check_marks(&name)?;
    // Word by word: `QA команда` is honest, and `раypal` is not.
    let is_of_a_word = |c: char| c.is_alphanumeric() || is_mark(c) || is_unseen(c);
    name.split(|c| !is_of_a_word(c)).try_for_each(check_scripts)
}

fn check_char(before: Option<char>, c: char, after: Option<char>) -> Result<(), NameError> {
    if is_unseen(c) {
        return if has_place(before, c, after) { Ok(()) } else { Err(NameError::Unseen) };
    }
    match c.general_category() {
        GeneralCategory::Control
        | GeneralCategory::PrivateUse
        | GeneralCategory::Surrogate
        | GeneralCategory::Unassigned
        | GeneralCategory::LineSeparator
        | GeneralCategory::ParagraphSeparator => Err(NameError::NotText),
        // The spaces of keyboards; the others differ from them by a hair.
        GeneralCategory::SpaceSeparator if !matches!(c, ' ' | '\u{a0}' | '\u{202f}' | '\u{3000}') => {
            Err(NameError::Unseen)
        }
        _ if is_mark(c) && before.is_none_or(char::is_whitespace) => Err(NameError::LoneMark),
        _ => Ok(()),
    }
}

/// What takes no room by itself, or shows as nothing.
fn is_unseen(c: char) -> bool {
    c.general_category() == GeneralCategory::Format
        || matches!(c,
            '\u{34f}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{2800}'
            | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{fffc}'..='\u{fffd}' | '\u{1d159}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Whether something unseen stands where a script or an emoji needs it.
fn has_place(before: Option<char>, c: char, after: Option<char>) -> bool {
    let (Some(before), after) = (before, after.unwrap_or(' ')) else { return false };
    let is_virama = |c| canonical_combining_class(c) == VIRAMA;
    match c {
        ZERO_WIDTH_JOINER if is_picture(after) => is_picture(before) || before == EMOJI_STYLE,
        ZERO_WIDTH_JOINER => is_virama(before) || is_virama(after),
        // Between letters that would join: Persian writes its prefixes and plurals so.
        ZERO_WIDTH_NON_JOINER => is_virama(before) || is_of(before, Script::Arabic) && is_of(after, Script::Arabic),
        '\u{fe0e}' | EMOJI_STYLE => before.is_emoji_char(),
        // Shapes of Han that names of people have, and of Mongolian letters.
        '\u{fe00}'..='\u{fe02}' | '\u{e0100}'..='\u{e01ef}' => is_of(before, Script::Han),
        '\u{180b}'..='\u{180f}' => is_of(before, Script::Mongolian),
        _ => false,
    }
}

fn is_picture(c: char) -> bool {
    !c.is_ascii() && c.is_emoji_char()
}

/// Whether a character belongs to a script, and not to all of them.
fn is_of(c: char, script: Script) -> bool {
    let scripts = ScriptExtension::from(c);
    !scripts.is_common() && !scripts.is_inherited() && scripts.contains_script(script)
}

fn is_mark(c: char) -> bool {
    c.general_category_group() == GeneralCategoryGroup::Mark
}

fn check_marks(name: &str) -> Result<(), NameError> {
    let mut marks = 0;
    // Decomposed: a letter may bring some with it. What is unseen parts no letter from its marks.
    for c in name.nfd().filter(|c| !is_unseen(*c)) {
        marks = if is_mark(c) { marks + 1 } else { 0 };
        if marks > MARKS_MAX {
            return Err(NameError::TooManyMarks);
        }
    }
    Ok(())
}

/// One script (UTS 39 section 5.1: Japanese, Korean and Han with Bopomofo are one), or one of these three with Latin
/// letters, as its section 5.2 calls "highly restrictive".
fn check_scripts(name: &str) -> Result<(), NameError> {
    let mut all = AugmentedScriptSet::default();
    let mut others = AugmentedScriptSet::default();
    for c in name.chars().map(plain_letter) {
        all.intersect_with(c.into());
        if !is_of(c, Script::Latin) {
            others.intersect_with(c.into());
        }
    }
    if all.is_empty() && !others.jpan && !others.kore && !others.hanb {
        return Err(NameError::MixedScripts);
    }
    Ok(())
}

/// Mathematical letters belong to no script, but are read as the letters that they stand for.
fn plain_letter(c: char) -> char {
    let mut plain = std::iter::once(c).nfkc();
    match (plain.next(), plain.next()) {
        (Some(letter), None) if c.is_alphabetic() && letter.is_ascii_alphabetic() => letter,
        _ => c,
    }
}

#[cfg(test)]
mod tests;
