//! Characters that are not seen, and which of them a text needs where they stand: to choose a form of what stands before
//! (variation selectors), to turn the direction of what stands beside (UAX #9), to fill half a Korean syllable (Unicode,
//! section 3.12). In rows, and anywhere else, they hide a text in another.

use unicode_properties::{GeneralCategory, UnicodeEmoji, UnicodeGeneralCategory};

/// Whether a variation selector has a meaning behind a character; so there is one at most. By
/// `StandardizedVariants.txt`, `emoji-variation-sequences.txt` and UTS #37, as far as ranges tell.
pub(crate) fn has_form(base: char, selector: char) -> bool {
    match selector {
        '\u{fe0e}' | '\u{fe0f}' => base.is_emoji_char() || is_sign(base),
        '\u{fe00}'..='\u{fe02}' => {
            base == '0' || is_ideograph(base) || is_sign(base) || is_quote(base) || is_shaped_script(base)
        }
        '\u{fe03}'..='\u{fe06}' => matches!(base, '\u{13000}'..='\u{1342f}'),
        '\u{180b}'..='\u{180d}' | '\u{180f}' => matches!(base, '\u{1820}'..='\u{18aa}'),
        '\u{e0100}'..='\u{e01ef}' => is_ideograph(base),
        _ => false,
    }
}

pub(crate) const fn is_selector(c: char) -> bool {
    matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{180b}'..='\u{180d}' | '\u{180f}' | '\u{e0100}'..='\u{e01ef}')
}

pub(crate) const fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{61c}')
}

/// Whether a mark of direction turns anything: no second one does, nor one within a word that is written to the right.
pub(crate) fn turns(previous: Option<char>, next: Option<char>) -> bool {
    let is_rightward = |c: char| c.is_alphanumeric() && !is_leftward(c);
    let within_a_word = previous.is_some_and(is_rightward) && next.is_some_and(is_rightward);
    !within_a_word && !previous.is_some_and(is_direction_mark)
}

/// Whether a filler stands for the first letter of a syllable whose vowel follows, or for the vowel behind the first.
pub(crate) fn fills(filler: char, previous: Option<char>, next: Option<char>) -> bool {
    match filler {
        '\u{115f}' => next.is_some_and(|c| matches!(c, '\u{1161}'..='\u{11a7}' | '\u{d7b0}'..='\u{d7c6}')),
        '\u{1160}' => previous.is_some_and(|c| matches!(c, '\u{1100}'..='\u{115e}' | '\u{a960}'..='\u{a97c}')),
        _ => false,
    }
}

const fn is_leftward(c: char) -> bool {
    matches!(c, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefe}' | '\u{10800}'..='\u{10fff}'
        | '\u{1e800}'..='\u{1efff}')
}

/// Signs and pictures, newer ones than the tables know, too.
fn is_sign(c: char) -> bool {
    !c.is_ascii()
        && (matches!(c, '\u{1f000}'..='\u{1faff}')
            || matches!(c.general_category(), GeneralCategory::MathSymbol | GeneralCategory::OtherSymbol))
}

/// Quotation marks and the punctuation of East Asia, which stand at one side of their square or in the middle.
const fn is_quote(c: char) -> bool {
    matches!(
        c,
        '\u{2018}'
            | '\u{2019}'
            | '\u{201c}'
            | '\u{201d}'
            | '\u{3001}'
            | '\u{3002}'
            | '\u{ff01}'
            | '\u{ff0c}'
            | '\u{ff0e}'
            | '\u{ff10}'
            | '\u{ff1a}'
            | '\u{ff1b}'
            | '\u{ff1f}'
    )
}

const fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3005}' | '\u{3007}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3fffd}')
}

/// Myanmar, Phags-pa, Manichaean, hieroglyphs.
const fn is_shaped_script(c: char) -> bool {
    matches!(c, '\u{1000}'..='\u{109f}' | '\u{a840}'..='\u{a877}' | '\u{aa60}'..='\u{aa7f}' | '\u{10ac0}'..='\u{10aff}'
        | '\u{13000}'..='\u{1342f}')
}
