//! The forms of a body that plugins are given beside it: as a reader would say it, and what that looks like. The
//! server makes them once a message; a plugin that keeps lists brings them into the same forms.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{compose, is_combining_mark};

/// Encodings of encodings are undone so often: more is nobody's habit.
const DECODINGS_MAX: usize = 3;
/// Two letters of flags in a row are a flag; fewer or more spell something.
const FLAG: usize = 2;

/// Letters that UTS 39 leaves apart, as a style of its own, and those that they are read as, by their names in
/// UnicodeData.txt: LATIN LETTER SMALL CAPITAL, KRA, which is a small capital k, and TURNED W, which UTS 39 takes for a
/// small capital m; LATIN SMALL LETTER INSULAR. Then LISU LETTER I, which it takes for a small l: Lisu is written in
/// capitals.
const READ_AS: (&str, &str) = ("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘꞯʀꜱᴛᴜᴠᴡʏᴢĸʍꝺꝼᵹꞃꞅꞇꓲ", "abcdefghijklmnopqrstuvwyzkmdfgrsti");

/// A body as a reader would say it: NFKC (UAX #15), small letters, percent-encoding (RFC 3986, section 2.1) undone,
/// without characters that are not seen.
#[must_use]
pub fn plain(body: &str) -> Cow<'_, str> {
    let is_plain = |byte| is_seen_ascii(byte) && byte != b'%' && !byte.is_ascii_uppercase();
    if all(body, is_plain) {
        return Cow::Borrowed(body);
    }
    let decoded = undone(body);
    if decoded.is_ascii() {
        let mut text = decoded.into_owned();
        text.make_ascii_lowercase();
        if !all(&text, is_seen_ascii) {
            text.retain(is_seen);
        }
        return Cow::Owned(text);
    }
    Cow::Owned(decoded.nfkc().filter(|c| is_seen(*c)).flat_map(char::to_lowercase).collect())
}

/// Looks at each byte whatever the ones before it say: many at a time, for most texts are all plain.
fn all(text: &str, is: impl Fn(u8) -> bool) -> bool {
    text.bytes().fold(true, |all, byte| all & is(byte))
}

const fn is_seen_ascii(byte: u8) -> bool {
    matches!(byte, b'\n' | b' '..=b'~')
}

/// What a plain text looks like (UTS #39, section 4): each letter that imitates a Latin one, or a digit, is that, and
/// marks and strokes on Latin letters are gone, and so are marks that belong to no letter. What imitates nothing stays,
/// and so does ASCII.
#[must_use]
pub fn skeleton(plain: &str) -> Cow<'_, str> {
    if plain.is_ascii() {
        return Cow::Borrowed(plain);
    }
    let mut skeleton = String::with_capacity(plain.len());
    // What a mark would stand on; `None`: on ASCII, or on nothing.
    let mut under = None;
    let mut flags = 0;
    for c in plain.nfd() {
        if is_combining_mark(c) {
            push_mark(&mut skeleton, c, &mut under);
            continue;
        }
        if matches!(c, FLAG_A..=FLAG_Z) {
            flags += 1;
        } else {
            undo_flag(&mut skeleton, std::mem::take(&mut flags));
        }
        let from = skeleton.len();
        push_alike(&mut skeleton, c);
        under = Some(c).filter(|_| !skeleton[from..].is_ascii());
    }
    undo_flag(&mut skeleton, flags);
    Cow::Owned(skeleton.nfc().collect())
}

/// Marks on ASCII are gone, and so are those on other letters that are no part of one: й has its mark, и̶ has not.
fn push_mark(skeleton: &mut String, mark: char, under: &mut Option<char>) {
    let Some(letter) = *under else { return };
    let composed = compose(letter, mark);
    if composed.is_some() || !is_of_no_script(mark) {
        skeleton.push(mark);
        *under = Some(composed.unwrap_or(letter));
    }
}

/// Whether a mark belongs to no script: what strikes through, underlines, encircles or stresses letters of any.
const fn is_of_no_script(mark: char) -> bool {
    matches!(mark, '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

const FLAG_A: char = '\u{1f1e6}';
const FLAG_Z: char = '\u{1f1ff}';

/// Makes the letters at the end a flag again, if they were just that.
fn undo_flag(skeleton: &mut String, letters: usize) {
    if letters != FLAG {
        return;
    }
    let flag: Vec<char> = skeleton.bytes().rev().take(FLAG).filter_map(flag_of).collect();
    skeleton.truncate(skeleton.len() - FLAG);
    skeleton.extend(flag.into_iter().rev());
}

fn flag_of(letter: u8) -> Option<char> {
    char::from_u32(u32::from(FLAG_A) + u32::from(letter.checked_sub(b'a')?))
}

/// Appends what a letter looks like, if that is ASCII; else the letter. Marks that are drawn into it are no part of that:
/// ø looks like o.
fn push_alike(skeleton: &mut String, c: char) {
    let c = read_as(c);
    if c.is_ascii() {
        skeleton.push(c);
        return;
    }
    let from = skeleton.len();
    let mut letter = [0; 4];
    skeleton.extend(unicode_security::skeleton(c.encode_utf8(&mut letter)).filter(|it| !is_of_no_script(*it)));
    if skeleton.len() > from && skeleton[from..].is_ascii() {
        skeleton[from..].make_ascii_lowercase();
    } else {
        skeleton.truncate(from);
        skeleton.push(c);
    }
}

/// A letter of a style of its own as it is read.
fn read_as(c: char) -> char {
    let number = match c {
        // Letters in black circles and squares: unlike the white ones, nothing in NFKC.
        '\u{1f150}'..='\u{1f169}' => u32::from(c) - 0x1_f150,
        '\u{1f170}'..='\u{1f189}' => u32::from(c) - 0x1_f170,
        FLAG_A..=FLAG_Z => u32::from(c) - u32::from(FLAG_A),
        // Where they all stand: most letters are none of them.
        '\u{138}' | '\u{250}'..='\u{2af}' | '\u{1d00}'..='\u{1d7f}' | '\u{a4f2}' | '\u{a730}'..='\u{a7af}' => {
            let mut letters = READ_AS.0.chars().zip(READ_AS.1.chars());
            return letters.find(|(odd, _)| *odd == c).map_or(c, |(_, letter)| letter);
        }
        _ => return c,
    };
    char::from_u32(u32::from('a') + number).unwrap_or(c)
}

fn undone(body: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(body);
    for _ in 0..DECODINGS_MAX {
        match undone_once(&text) {
            Some(next) => text = Cow::Owned(next),
            None => break,
        }
    }
    text
}

/// `None`: there is nothing to undo. What is no text stays as it is written, and hides nothing beside it.
fn undone_once(text: &str) -> Option<String> {
    if !text.contains('%') {
        return None;
    }
    let (mut decoded, mut rest, mut is_changed) = (String::with_capacity(text.len()), text, false);
    while let Some(at) = rest.find('%') {
        let (before, run) = rest.split_at(at);
        decoded.push_str(before);
        let bytes = run_of_bytes(run);
        let (good, length) = match std::str::from_utf8(&bytes) {
            Ok(good) => (good, bytes.len()),
            Err(error) => (
                bytes.get(..error.valid_up_to()).map_or("", |it| str::from_utf8(it).unwrap_or("")),
                error.valid_up_to(),
            ),
        };
        is_changed |= length > 0;
        decoded.push_str(good);
        rest = run.get(3 * length..).unwrap_or("");
        if length == 0 {
            // This one sign is none of an encoding.
            decoded.push('%');
            rest = run.get(1..).unwrap_or("");
        }
    }
    decoded.push_str(rest);
    is_changed.then_some(decoded)
}

/// The bytes that `%66%72` and so on stand for, up to the first sign of another kind. NUL and controls stay as written.
fn run_of_bytes(text: &str) -> Vec<u8> {
    let byte = |it: &[u8]| match it {
        [b'%', digits @ ..] => std::str::from_utf8(digits).ok().and_then(|it| u8::from_str_radix(it, 16).ok()),
        _ => None,
    };
    let bytes = text.as_bytes().chunks_exact(3).map_while(byte);
    bytes.take_while(|byte| *byte >= b' ' && *byte != 0x7f).collect()
}

/// Whether a character is seen: controls, joiners, fillers, marks of direction and tags are not.
const fn is_seen(c: char) -> bool {
    !matches!(c,
        '\0'..='\x09' | '\x0b'..='\x1f' | '\x7f'..='\u{9f}'
        | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_as_a_reader_would_say_it() {
        for (body, expected) in [
            ("hello, world", "hello, world"),
            ("HeLLo", "hello"),
            ("f\u{200b}r\u{ad}ee", "free"),
            ("f\u{1bca0}r\u{1d173}e\u{fe00}e", "free"),
            ("ｆｕｌｌ　ｗｉｄｔｈ", "full width"),
            ("𝓯𝓪𝓷𝓬𝔂", "fancy"),
            ("%66%72ee %2566ree", "free free"),
            ("100% sure, 5%00", "100% sure, 5%00"),
            ("%ff", "%ff"),
            ("%66%72ee %ff %66%ff%e4x", "free %ff f%ff%e4x"),
            ("%C3%A9%", "é%"),
            ("%+6%", "%+6%"),
            ("two\nlines", "two\nlines"),
            ("ПРИВЕТ", "привет"),
        ] {
            assert_eq!(plain(body), expected, "{body:?}");
        }
    }

    #[test]
    fn what_it_looks_like() {
        for (body, expected) in [
            ("paypal", "paypal"),
            ("раураӏ", "paypal"),
            ("fr\u{e9}\u{e9}", "free"),
            ("cl0ck", "cl0ck"),
            ("naïve café", "naive cafe"),
            ("हिन्दी", "हिन्दी"),
            ("日本語", "日本語"),
            // Struck through, spaces and all; and what comes before everything.
            ("\u{336}f\u{336}r\u{336}e\u{336}e\u{336} \u{336}b\u{336}e\u{336}e\u{336}r", "free beer"),
            ("死\u{336}ね\u{336}", "死ね"),
            // Strokes.
            ("frɇɇ ƀøøł", "free bool"),
            ("ηiceɍ ꓠꓲꓚꓰꓣ", "nicer nicer"),
            ("ꜰʀᴇᴇ ʙᴇᴇʀ", "free beer"),
            ("🅵🆁🅴🅴 🅑🅔🅔🅡", "free beer"),
            // Letters of flags, and flags.
            ("🇫🇷🇪🇪 🇧🇪🇪🇷", "free beer"),
            ("🇫 🇷🇪🇪", "f ree"),
            ("from 🇩🇪 to 🇫🇷", "from 🇩🇪 to 🇫🇷"),
            ("🇩🇪", "🇩🇪"),
            // Stress, which is no part of a letter, and a breve that is.
            ("сто\u{301}ит \u{439}", "cтoит \u{439}"),
            ("\u{439}\u{336}", "\u{439}"),
            ("が \u{304b}\u{3099}", "が が"),
            ("\u{5e9}\u{5c1}\u{5dd} ความ हिन्दी", "\u{5e9}\u{5c1}\u{5dd} ความ हिन्दी"),
        ] {
            assert_eq!(skeleton(&plain(body)), expected, "{body:?}");
        }
        for (odd, letter) in READ_AS.0.chars().zip(READ_AS.1.chars()) {
            assert_eq!(read_as(odd), letter, "{odd}");
        }
        assert_eq!(READ_AS.0.chars().count(), READ_AS.1.chars().count());
        // Russian stays Russian, but for letters that are Latin to the eye; lists are brought into the same form.
        assert_eq!(skeleton("привет"), skeleton("пpивeт"));
    }
}
