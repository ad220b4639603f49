//! The forms of a body that plugins are given beside it: as a reader would say it, and what that looks like. The
//! server makes them once a message; a plugin that keeps lists brings them into the same forms.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Encodings of encodings are undone so often: more is nobody's habit.
const DECODINGS_MAX: usize = 3;

/// A body as a reader would say it: NFKC (UAX #15), small letters, percent-encoding (RFC 3986, section 2.1) undone,
/// without characters that are not seen.
#[must_use]
pub fn plain(body: &str) -> Cow<'_, str> {
    if body.bytes().all(|byte| matches!(byte, b'\n' | b' '..=b'~') && byte != b'%' && !byte.is_ascii_uppercase()) {
        return Cow::Borrowed(body);
    }
    let decoded = undone(body);
    if decoded.is_ascii() {
        let seen = decoded.chars().filter(|c| is_seen(*c));
        return Cow::Owned(seen.map(|c| c.to_ascii_lowercase()).collect());
    }
    Cow::Owned(decoded.nfkc().filter(|c| is_seen(*c)).flat_map(char::to_lowercase).collect())
}

/// What a plain text looks like (UTS #39, section 4): each letter that imitates a Latin one, or a digit, is that, and
/// marks on Latin letters are gone. What imitates nothing stays, and so does ASCII.
#[must_use]
pub fn skeleton(plain: &str) -> Cow<'_, str> {
    if plain.is_ascii() {
        return Cow::Borrowed(plain);
    }
    let mut skeleton = String::with_capacity(plain.len());
    let mut is_latin = false;
    for c in plain.nfd() {
        if is_combining_mark(c) {
            if !is_latin {
                skeleton.push(c);
            }
            continue;
        }
        let from = skeleton.len();
        if c.is_ascii() {
            skeleton.push(c);
        } else {
            push_alike(&mut skeleton, c);
        }
        is_latin = skeleton[from..].bytes().all(|byte| byte.is_ascii_alphanumeric());
    }
    Cow::Owned(skeleton.nfc().collect())
}

fn push_alike(skeleton: &mut String, c: char) {
    let from = skeleton.len();
    let mut letter = [0; 4];
    skeleton.extend(unicode_security::skeleton(c.encode_utf8(&mut letter)));
    if skeleton[from..].is_ascii() {
        skeleton[from..].make_ascii_lowercase();
    } else {
        skeleton.truncate(from);
        skeleton.push(c);
    }
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

/// `None`: there is nothing to undo, or it is no text.
fn undone_once(text: &str) -> Option<String> {
    if !text.contains('%') {
        return None;
    }
    let bytes = text.as_bytes();
    let (mut decoded, mut at, mut is_changed) = (Vec::with_capacity(bytes.len()), 0, false);
    while let Some(&byte) = bytes.get(at) {
        let digits = bytes.get(at + 1..at + 3).filter(|_| byte == b'%');
        let number = digits.and_then(|it| std::str::from_utf8(it).ok()).and_then(|it| u8::from_str_radix(it, 16).ok());
        // NUL and controls stay as they are written.
        match number.filter(|number| *number >= b' ' && *number != 0x7f) {
            Some(number) => {
                decoded.push(number);
                (at, is_changed) = (at + 3, true);
            }
            None => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    if is_changed { String::from_utf8(decoded).ok() } else { None }
}

/// Whether a character is seen: controls, joiners, fillers, marks of direction and tags are not.
const fn is_seen(c: char) -> bool {
    !matches!(c,
        '\0'..='\x09' | '\x0b'..='\x1f' | '\x7f'..='\u{9f}'
        | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}')
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
            ("ｆｕｌｌ　ｗｉｄｔｈ", "full width"),
            ("𝓯𝓪𝓷𝓬𝔂", "fancy"),
            ("%66%72ee %2566ree", "free free"),
            ("100% sure, 5%00", "100% sure, 5%00"),
            ("%ff", "%ff"),
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
        ] {
            assert_eq!(skeleton(&plain(body)), expected, "{body:?}");
        }
        // Russian stays Russian, but for letters that are Latin to the eye; lists are brought into the same form.
        assert_eq!(skeleton("привет"), skeleton("пpивeт"));
    }
}
