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
        ] {
            assert_eq!(skeleton(&plain(body)), expected, "{body:?}");
        }
        // Russian stays Russian, but for letters that are Latin to the eye; lists are brought into the same form.
        assert_eq!(skeleton("привет"), skeleton("пpивeт"));
    }
}
