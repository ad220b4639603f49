//! What stays and what goes, character by character.

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};
use unicode_properties::{GeneralCategory, UnicodeEmoji, UnicodeGeneralCategory};

use crate::forms::{fills, has_form, is_direction_mark, is_selector, turns};

/// Combining marks on one base; more are noise ("zalgo"). Vietnamese needs two, Hebrew with accents four.
const MARKS_MAX: usize = 4;
/// Rounds of cleaning; texts of people need one, made-up ones two or three.
const ROUNDS_MAX: usize = 8;
/// Tags behind a black flag; the longest region in use has five.
const FLAG_TAGS_MAX: usize = 8;

const ZWNJ: char = '\u{200c}';
const ZWJ: char = '\u{200d}';
const BLACK_FLAG: char = '\u{1f3f4}';
const CANCEL_TAG: char = '\u{e007f}';

/// The cleaned text, or `None` if it is clean as it is.
#[must_use]
pub fn clean(text: &str) -> Option<String> {
    if text.bytes().all(|byte| matches!(byte, b'\t' | b'\n' | b' '..=b'~')) {
        return None;
    }
    if text.chars().all(is_plain) {
        return None;
    }
    let (mut cleaned, mut is_settled) = pass(text);
    // Composing may bring together what only then is to go; each round has less to do.
    for _ in 0..ROUNDS_MAX {
        if is_settled {
            break;
        }
        (cleaned, is_settled) = pass(&cleaned);
    }
    (cleaned != text).then_some(cleaned)
}

/// One round, and whether another one would change nothing.
fn pass(text: &str) -> (String, bool) {
    // Composing comes after removing: what stood between a base and its mark may be what went.
    let composed = compose(&remove_banned(text));
    let limited = limit_marks(&composed);
    let is_settled = limited.len() == composed.len() && remove_banned(&limited).len() == limited.len();
    (limited, is_settled)
}

/// NFC. Nothing before a plain character changes with it or what follows, so only the others, each with what
/// stands before it, are given to the tables.
fn compose(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(found) = rest.find(|c| !is_plain(c)) {
        let (plain, tail) = rest.split_at(found);
        let base = plain.char_indices().next_back().map_or(0, |(index, _)| index);
        let end = tail.find(is_plain).map_or(rest.len(), |length| found + length);
        let (before, from_base) = rest.split_at(base);
        let (segment, after) = from_base.split_at(end - base);
        out.push_str(before);
        match is_nfc_quick(segment.chars()) {
            IsNormalized::Yes => out.push_str(segment),
            _ => out.extend(segment.nfc()),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The bulk of what people write, known by range to stay, to be composed, and to be no mark: Latin, Greek and
/// Cyrillic letters, ideographs, kana, Hangul, usual punctuation and pictures. The rest is looked up.
const fn is_plain(c: char) -> bool {
    matches!(c,
        '\t' | '\n' | ' '..='~' | '\u{a0}'..='\u{ac}' | '\u{ae}'..='\u{2ff}' | '\u{391}'..='\u{3a1}' | '\u{3a3}'..='\u{3ce}'
        | '\u{400}'..='\u{482}' | '\u{48a}'..='\u{52f}' | '\u{5d0}'..='\u{5ea}' | '\u{2010}'..='\u{2027}'
        | '\u{2030}'..='\u{205e}' | '\u{20a0}'..='\u{20bf}' | '\u{3001}'..='\u{3020}' | '\u{3041}'..='\u{3096}'
        | '\u{30a1}'..='\u{30fa}' | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}' | '\u{ff01}'..='\u{ff5e}'
        | '\u{1f300}'..='\u{1f3f3}' | '\u{1f400}'..='\u{1f64f}' | '\u{1f680}'..='\u{1f6ff}' | '\u{1f900}'..='\u{1f9ff}')
}

fn remove_banned(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut previous = None;
    // Tags spell the regions of some flags, behind a black flag, and hide text elsewhere.
    let mut flag_tags = None;
    while let Some(c) = chars.next() {
        if is_plain(c) {
            out.push(c);
            (previous, flag_tags) = (Some(c), None);
            continue;
        }
        // Of a message; what lines in other texts are is for the caller to say.
        let c = if is_line_end(c) { '\n' } else { c };
        let is_tag = matches!(c, '\u{e0020}'..=CANCEL_TAG);
        flag_tags = match flag_tags {
            _ if c == BLACK_FLAG => Some(0),
            Some(tags) if is_tag && tags < FLAG_TAGS_MAX => Some(tags + 1),
            _ => None,
        };
        let stays = if is_tag { flag_tags.is_some() } else { stays(c, previous, chars.peek().copied()) };
        if stays {
            out.push(c);
            previous = Some(c);
        }
    }
    out
}

fn limit_marks(text: &str) -> String {
    let mut marks = 0;
    let fits = |c: &char| {
        marks = if is_mark(*c) { marks + 1 } else { 0 };
        marks <= MARKS_MAX
    };
    text.chars().filter(fits).collect()
}

fn stays(c: char, previous: Option<char>, next: Option<char>) -> bool {
    match c {
        '\t' | '\n' => true,
        ZWJ => joins_emoji(previous, next) || previous.is_some_and(is_joining_script),
        ZWNJ => previous.is_some_and(is_joining_script),
        '\u{115f}' | '\u{1160}' => fills(c, previous, next),
        _ if is_direction_mark(c) => turns(previous, next),
        _ if is_selector(c) => previous.is_some_and(|base| has_form(base, c)),
        _ => !is_banned(c),
    }
}

fn is_banned(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'   // bidi embeddings, overrides, isolates
            | '\u{200b}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{feff}'  // zero width
            | '\u{ad}' | '\u{34f}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}' | '\u{3164}' | '\u{ffa0}'  // invisible
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' // formatting of shorthand and of music
            | '\u{fff0}'..='\u{fffb}'                             // unassigned, and interlinear annotation
            | '\u{e0000}'..='\u{e001f}' | '\u{e0080}'..='\u{e00ff}' | '\u{e01f0}'..='\u{e0fff}' // old tag, unassigned
            | '\u{fdd0}'..='\u{fdef}')
        || u32::from(c) & 0xfffe == 0xfffe // noncharacters
}

/// Separators of lines and of paragraphs, which draw what is one line to some as two to others.
pub(crate) const fn is_line_end(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

fn is_mark(c: char) -> bool {
    !is_plain(c) && matches!(c.general_category(), GeneralCategory::NonspacingMark | GeneralCategory::EnclosingMark)
        // They choose a form and stack nothing.
        && !is_selector(c)
}

fn joins_emoji(previous: Option<char>, next: Option<char>) -> bool {
    let is_emoji = |c: char| c == '\u{fe0f}' || (!c.is_ascii() && c.is_emoji_char());
    previous.is_some_and(is_emoji) && next.is_some_and(is_emoji)
}

/// Scripts whose shaping needs joiners: Arabic, Syriac, Mongolian and those of India and around.
fn is_joining_script(c: char) -> bool {
    !is_direction_mark(c)
        && matches!(c, '\u{600}'..='\u{8ff}' | '\u{900}'..='\u{dff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{18af}'
            | '\u{fb50}'..='\u{fdcf}' | '\u{fe70}'..='\u{fefc}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_of_many_scripts_stays_as_it_is() {
        for text in [
            "plain",
            "two\nlines\tand a tab",
            "<script>alert(1)</script> & <b>",
            "gr\u{fc}\u{df}e, na\u{ef}ve, \u{10d}au",
            "ti\u{1ebf}ng vi\u{1ec7}t",
            "\u{5e9}\u{5b8}\u{5c1}\u{5dc}\u{5d5}\u{5b9}\u{5dd}",
            "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}",
            "\u{915}\u{94d}\u{200d}\u{937}",
            "\u{65e5}\u{672c}\u{8a9e}",
            "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}",
            "\u{2764}\u{fe0f}\u{200d}\u{1f525}",
            "\u{1f44d}\u{1f3fd}",
            "\u{1f3f4}\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
            "\u{e01}\u{e34}\u{e48}\u{e19}",
            "\u{1e69}",
            // Forms: hearts, keys, a slashed zero, ideographs of names, Mongolian, Myanmar, quotation marks.
            "\u{2764}\u{fe0f} \u{2661}\u{fe0e} 1\u{fe0f}\u{20e3} \u{a9}\u{fe0f} 0\u{fe00} \u{1f3f3}\u{fe0f}\u{200d}\u{1f308}",
            "\u{845b}\u{e0100}\u{57ce} \u{8fbb}\u{e0101} \u{4fae}\u{fe00} \u{3002}\u{fe01} \u{201c}\u{fe00}",
            "\u{1820}\u{180b} \u{182d}\u{180c} \u{1000}\u{fe00} \u{2229}\u{fe00} \u{13091}\u{fe03}",
            // Directions beside what has none, and a syllable of old Korean without its first letter or its vowel.
            "\u{5d0} \u{200e}C++\u{200e} \u{200f}(1) \u{661}\u{61c}-\u{662} a\u{200e}\u{5d0}",
            "\u{115f}\u{1161} \u{115f}\u{1161}\u{11ab} \u{1100}\u{1160}\u{11ab}",
        ] {
            assert_eq!(clean(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_deceives_or_disturbs_goes() {
        for (text, cleaned) in [
            ("a\u{202e}b\u{2066}c\u{2069}", "abc"),
            ("vi\u{200b}ag\u{2060}ra\u{feff}", "viagra"),
            ("be\u{7}ll\u{1b}[31m\u{85}", "bell[31m"),
            ("a\u{200d}b\u{200c}c", "abc"),
            ("hid\u{e0068}\u{e0069}den", "hidden"),
            ("s\u{ad}pam\u{34f}", "spam"),
            ("x\u{fffe}\u{1ffff}\u{fdd0}y", "xy"),
            ("line\r\nend", "line\nend"),
            ("line\u{2028}end\u{2029}", "line\nend\n"),
            ("x\u{fe0f}\u{fe0f}", "x"),
            ("\u{2764}\u{fe0f}\u{fe0f}\u{fe01}\u{e0100} 1\u{fe01}", "\u{2764}\u{fe0f} 1"),
            ("\u{845b}\u{e0100}\u{e0101} a\u{e0100}b\u{e01ef}", "\u{845b}\u{e0100} ab"),
            ("a\u{180b}\u{180f} \u{1820}\u{180b}\u{180c}", "a \u{1820}\u{180b}"),
            ("\u{200e}\u{200f}\u{61c}\u{200e}a \u{5d0}\u{200f}\u{200f}", "\u{200e}a \u{5d0}\u{200f}"),
            ("fr\u{200f}ee ni\u{200e}\u{200b}tro \u{441}\u{61c}\u{43e}", "free nitro \u{441}\u{43e}"),
            ("\u{627}\u{61c}\u{200c}\u{61c}\u{200d}", "\u{627}\u{61c}"),
            ("a\u{115f}\u{1160}\u{3164}\u{ffa0}b \u{115f}\u{115f}\u{1161}", "ab \u{115f}\u{1161}"),
            ("\u{1160}\u{1160} \u{1100}\u{1160}\u{1160}", " \u{1100}\u{1160}"),
            ("a\u{1d173}\u{1d17a}\u{1bca0}\u{17b4}\u{17b5}\u{2065}\u{fff0}\u{e0080}\u{e0fff}b", "ab"),
            ("e\u{301}", "\u{e9}"),
            ("e\u{200b}\u{301}", "\u{e9}"),
            ("z\u{300}\u{301}\u{302}\u{303}\u{304}\u{305}\u{306}!", "z\u{300}\u{301}\u{302}\u{303}!"),
        ] {
            assert_eq!(clean(text).as_deref(), Some(cleaned), "{text:?}");
            assert_eq!(clean(cleaned), None, "cleaning is done once: {cleaned:?}");
        }
    }

    #[test]
    fn what_is_plain_by_range_is_plain_by_the_tables() {
        for c in ('\0'..=char::MAX).filter(|c| is_plain(*c)) {
            let mark = matches!(c.general_category(), GeneralCategory::NonspacingMark | GeneralCategory::EnclosingMark);
            let starts = unicode_normalization::char::canonical_combining_class(c) == 0;
            let composed = is_nfc_quick(std::iter::once(c)) == IsNormalized::Yes;
            assert!(
                !mark && starts && composed && (!is_banned(c) || matches!(c, '\t' | '\n')),
                "U+{:04X}",
                u32::from(c)
            );
        }
    }

    #[test]
    fn composing_by_segments_is_composing() {
        // Bases, marks of several classes, composed and decomposed letters, jamo, and what is excluded from composing.
        let alphabet = [
            'a',
            'o',
            ' ',
            '\u{e9}',
            '\u{308}',
            '\u{301}',
            '\u{323}',
            '\u{345}',
            '\u{1100}',
            '\u{1161}',
            '\u{11a8}',
            '\u{ac00}',
            '\u{915}',
            '\u{93c}',
            '\u{958}',
            '\u{212b}',
            '\u{5d0}',
            '\u{5b8}',
            '\u{1f44d}',
            '\u{65e5}',
        ];
        let mut seed = 1_u64;
        for _ in 0..20_000 {
            let text: String = (0..6)
                .map(|_| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    alphabet[(seed >> 33) as usize % alphabet.len()]
                })
                .collect();
            assert_eq!(compose(&text), text.nfc().collect::<String>(), "{text:?}");
        }
    }

    #[test]
    fn no_row_of_what_is_not_seen_stays() {
        // Default_Ignorable_Code_Point of Unicode 16, but for the two joiners, and what separates lines.
        let ranges = [
            ('\u{ad}', '\u{ad}'),
            ('\u{34f}', '\u{34f}'),
            ('\u{61c}', '\u{61c}'),
            ('\u{115f}', '\u{1160}'),
            ('\u{17b4}', '\u{17b5}'),
            ('\u{180b}', '\u{180f}'),
            ('\u{200b}', '\u{200f}'),
            ('\u{2028}', '\u{202e}'),
            ('\u{2060}', '\u{206f}'),
            ('\u{3164}', '\u{3164}'),
            ('\u{fe00}', '\u{fe0f}'),
            ('\u{feff}', '\u{feff}'),
            ('\u{ffa0}', '\u{ffa0}'),
            ('\u{fff0}', '\u{fff8}'),
            ('\u{1bca0}', '\u{1bca3}'),
            ('\u{1d173}', '\u{1d17a}'),
            ('\u{e0000}', '\u{e0fff}'),
        ];
        let unseen: Vec<char> = ranges.iter().flat_map(|(first, last)| *first..=*last).collect();
        let unseen_of = |text: &str| text.chars().filter(|c| unseen.contains(c)).count();
        for base in [
            "x",
            " ",
            "1",
            "\u{1f600}",
            "\u{4e00}",
            "\u{1820}",
            "\u{627}",
            "\u{915}",
            "\u{1100}",
            "\u{1000}",
            "\u{202f}",
        ] {
            for c in &unseen {
                let text = format!("{base}{}{base}", String::from(*c).repeat(50));
                let cleaned = clean(&text).expect("a row of them is not clean");
                assert!(unseen_of(&cleaned) <= 1, "{base:?} U+{:04X}: {cleaned:?}", u32::from(*c));
            }
            let all: String = unseen.iter().collect();
            let cleaned = clean(&format!("{base}{all}{all}{base}")).expect("it is not clean");
            // A mark of direction may begin each line.
            assert!(unseen_of(&cleaned) <= 1 + cleaned.matches('\n').count(), "{base:?}: {cleaned:?}");
        }
    }

    #[test]
    fn nothing_may_be_left() {
        assert_eq!(clean("\u{200b}\u{202e}").as_deref(), Some(""));
    }
}
