//! Texts that people choose, as types that cannot hold what is not allowed. The core refuses and never
//! changes a body; folding applies to usernames only.

use std::fmt;

use unicode_segmentation::UnicodeSegmentation;

use crate::limits;

/// Why a text is not one of the types here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TextError {
    /// Empty, or only white space.
    #[error("is blank")]
    Blank,
    /// Over the bound in bytes or graphemes.
    #[error("is too long")]
    TooLong,
    /// Not UTF-8, or holds characters that are not allowed.
    #[error("holds characters that are not allowed")]
    Invalid,
}

macro_rules! text_type {
    ($($(#[$doc:meta])* $name:ident: $check:expr;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// Checks the text and keeps it.
            ///
            /// # Errors
            /// [`TextError`] says which rule it breaks.
            pub fn parse(text: &str) -> Result<Self, TextError> {
                let check: fn(&str) -> Result<Box<str>, TextError> = $check;
                check(text).map(Self)
            }
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str { &self.0 }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }
    )+};
}

text_type! {
    /// What a message says: 1 to 16 KiB of UTF-8, at most 4,000 graphemes, not blank, no NUL. Its
    /// `Debug` shows the length only, so that no log holds what people wrote.
    Body: |text| {
        if text.len() > limits::BODY_BYTES_MAX { return Err(TextError::TooLong); }
        if text.contains('\0') { return Err(TextError::Invalid); }
        if text.trim().is_empty() { return Err(TextError::Blank); }
        // A grapheme is at least a byte, so only long texts need counting.
        if text.len() > limits::BODY_GRAPHEMES_MAX
            && text.graphemes(true).nth(limits::BODY_GRAPHEMES_MAX).is_some() {
            return Err(TextError::TooLong);
        }
        Ok(text.into())
    };
    /// A room's name: one line, at most 80 bytes, no white space at either end.
    RoomName: |text| one_line(text, limits::ROOM_NAME_BYTES_MAX, false);
    /// What a room is about: one line, at most 256 bytes, may be empty.
    Topic: |text| one_line(text, limits::TOPIC_BYTES_MAX, true);
    /// Why something was done to somebody: one line, at most 256 bytes, may be empty.
    Reason: |text| one_line(text, limits::REASON_BYTES_MAX, true);
    /// What is said of a case: at most 1,000 bytes, may have lines and may be empty. Its `Debug` shows the length only.
    CaseText: |text| {
        if text.len() > limits::CASE_TEXT_BYTES_MAX { return Err(TextError::TooLong); }
        let is_bad = |c: char| c.is_control() && c != '\n' && c != '\t' || is_deceptive(c);
        if text.chars().any(is_bad) { return Err(TextError::Invalid); }
        Ok(text.into())
    };
    /// A reaction: one grapheme of at most 32 bytes.
    Emoji: |text| {
        let emoji = one_line(text, limits::EMOJI_BYTES_MAX, false)?;
        if emoji.graphemes(true).nth(1).is_some() { return Err(TextError::TooLong); }
        Ok(emoji)
    };
    /// A name for people: one line, at most 64 bytes.
    DisplayName: |text| one_line(text, limits::DISPLAY_NAME_BYTES_MAX, false);
    /// The name of a device: one line, at most 64 bytes, may be empty.
    DeviceName: |text| one_line(text, limits::DEVICE_NAME_BYTES_MAX, true);
    /// A login name, folded to lower case: 1 to 32 of `a-z 0-9 . _ -`.
    Username: |text| {
        if text.is_empty() { return Err(TextError::Blank); }
        if text.len() > limits::USERNAME_BYTES_MAX { return Err(TextError::TooLong); }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if !text.bytes().all(allowed) { return Err(TextError::Invalid); }
        Ok(text.to_ascii_lowercase().into())
    };
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.0.len())
    }
}

impl Default for CaseText {
    fn default() -> Self {
        Self("".into())
    }
}

impl fmt::Debug for CaseText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CaseText({} bytes)", self.0.len())
    }
}

macro_rules! plain_debug {
    ($($name:ident),+) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { fmt::Debug::fmt(&self.0, f) }
        }
    )+};
}

plain_debug!(RoomName, Topic, Reason, Emoji, DisplayName, DeviceName, Username);

fn one_line(text: &str, bytes_max: usize, may_be_empty: bool) -> Result<Box<str>, TextError> {
    if text.len() > bytes_max {
        return Err(TextError::TooLong);
    }
    if text.trim().is_empty() && !(may_be_empty && text.is_empty()) {
        return Err(TextError::Blank);
    }
    if text.trim() != text || text.chars().any(|c| c.is_control() || is_deceptive(c)) {
        return Err(TextError::Invalid);
    }
    Ok(text.into())
}

/// Characters that show a name as another one: bidi embeddings, overrides and isolates (CVE-2021-42574), and what
/// takes no room. No script needs them in a name.
#[must_use]
pub const fn is_deceptive(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

/// A secret that a person typed or a token: dropped from every `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the one who checks or sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies() {
        let cases: &[(&str, Result<(), TextError>)] = &[
            ("hello", Ok(())),
            ("  indented, kept as it is ", Ok(())),
            ("two\nlines", Ok(())),
            ("", Err(TextError::Blank)),
            (" \n\t\u{3000}", Err(TextError::Blank)),
            ("a\0b", Err(TextError::Invalid)),
        ];
        for (text, expected) in cases {
            assert_eq!(Body::parse(text).map(|body| assert_eq!(body.as_str(), *text)), *expected, "{text:?}");
        }
        assert_eq!(Body::parse(&"x".repeat(4_000)).err(), None);
        assert_eq!(Body::parse(&"x".repeat(4_001)).err(), Some(TextError::TooLong));
        // Four bytes and one grapheme each: bounded by bytes.
        assert_eq!(Body::parse(&"\u{1f600}".repeat(4_000)).err(), None);
        assert_eq!(Body::parse(&"e\u{301}\u{302}".repeat(3_300)).err(), Some(TextError::TooLong));
    }

    #[test]
    fn names() {
        assert_eq!(Username::parse("Alice.B-1_x").unwrap().as_str(), "alice.b-1_x");
        assert_eq!(Username::parse("al ice").err(), Some(TextError::Invalid));
        assert_eq!(Username::parse("\u{430}lice").err(), Some(TextError::Invalid));
        assert_eq!(RoomName::parse("general chat").err(), None);
        assert_eq!(RoomName::parse("a\nb").err(), Some(TextError::Invalid));
        assert_eq!(RoomName::parse("a\u{202e}b").err(), Some(TextError::Invalid));
        assert_eq!(DisplayName::parse("ad\u{200b}min").err(), Some(TextError::Invalid));
        assert_eq!(RoomName::parse(" a").err(), Some(TextError::Invalid));
        assert_eq!(RoomName::parse("").err(), Some(TextError::Blank));
        assert_eq!(Topic::parse("").err(), None);
    }

    #[test]
    fn debug_shows_no_body_and_no_secret() {
        assert_eq!(format!("{:?}", Body::parse("hush").unwrap()), "Body(4 bytes)");
        assert_eq!(format!("{:?}", Secret::new("hush")), "Secret(..)");
    }
}
