//! What of a name is the same to the eye: two names with one key are taken for each other. Keys are stored and
//! compared, never shown.
//!
//! A key is the skeleton of UTS 39 section 4, of the name without its case (UTS 39 leaves case to the caller). Where
//! only the capital of a letter looks like a Latin one, as Greek Β does, the letter counts as that in both cases. All
//! of it is done again until nothing changes, so that a key is its own key.
//!
//! What UTS 39 leaves apart, because it is a style of its own and not an accident, is read all the same: small capitals,
//! letters of old hands, letters in black circles and squares ([`READ_AS`], [`plain`]). Upside-down text and letters of
//! flags are left apart.
//!
//! Stores hold keys: whoever changes what they are made of, be it by newer tables of Unicode, makes them anew in a
//! migration.

use std::fmt;

use confab_protocol::model::{RoomName, Username};
use unicode_normalization::UnicodeNormalization;

/// Two to three settle every name; the bound is for what no table should hold.
const ROUNDS_MAX: usize = 8;

/// Letters that are read as those below them, by their names in UnicodeData.txt: LATIN LETTER SMALL CAPITAL, KRA, which is a
/// small capital k, and TURNED W, which UTS 39 takes for a small capital m; then LATIN SMALL LETTER INSULAR.
const READ_AS: (&str, &str) = ("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘꞯʀꜱᴛᴜᴠᴡʏᴢĸʍꝺꝼᵹꞃꞅꞇ", "abcdefghijklmnopqrstuvwyzkmdfgrst");

/// What two names have in common that are taken for each other.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Key(Box<str>);

impl Key {
    /// As stores keep it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The key of a login name, which is shown in small letters.
#[must_use]
pub fn user_key(name: &Username) -> Key {
    skeleton(name.as_str())
}

/// The key of a room's name, which is shown as it was given: so a capital I may stand for a small l, and an i for
/// either.
#[must_use]
pub fn room_key(name: &RoomName) -> Key {
    let key = skeleton(name.as_str());
    Key(key.0.nfd().map(|c| if c == 'i' { 'l' } else { c }).nfc().collect::<String>().into())
}

/// The key of any text.
#[must_use]
pub fn skeleton(name: &str) -> Key {
    let mut key = name.to_owned();
    for _ in 0..ROUNDS_MAX {
        let next = once(&key);
        if next == key {
            break;
        }
        key = next;
    }
    Key(key.into())
}

fn once(name: &str) -> String {
    // Composed at first: what a letter looks like is known of it as a whole.
    let alike: String = name.nfkc().flat_map(|c| alike(c).chars().collect::<Vec<_>>()).collect();
    // A wide gap is read as a gap.
    let words: Vec<&str> = alike.split_whitespace().collect();
    // A dot above takes the place of the letter's own.
    let dotted: String = words.join(" ").nfd().collect();
    dotted.replace("i\u{307}", "i").replace("j\u{307}", "j").nfc().collect()
}

/// A letter of a style of its own as it is read.
fn plain(c: char) -> char {
    const A: u32 = 'a' as u32;
    let number = match c {
        // NEGATIVE CIRCLED and NEGATIVE SQUARED LATIN CAPITAL LETTER: unlike the white ones, nothing in NFKC.
        '\u{1f150}'..='\u{1f169}' => u32::from(c) - 0x1f150 + A,
        '\u{1f170}'..='\u{1f189}' => u32::from(c) - 0x1f170 + A,
        _ => {
            let mut letters = READ_AS.0.chars().zip(READ_AS.1.chars());
            return letters.find(|(odd, _)| *odd == c).map_or(c, |(_, letter)| letter);
        }
    };
    char::from_u32(number).unwrap_or(c)
}

/// What a letter looks like, in the case that looks more like a Latin one.
fn alike(c: char) -> String {
    let c = plain(c);
    let small: String = c.to_uppercase().flat_map(char::to_lowercase).collect();
    let as_small: String = unicode_security::skeleton(&small).collect();
    if as_small.is_ascii() {
        return as_small.to_ascii_lowercase();
    }
    let capital: String = small.chars().flat_map(char::to_uppercase).collect();
    let as_capital: String = unicode_security::skeleton(&capital).collect();
    if as_capital.is_ascii() { as_capital.to_ascii_lowercase() } else { as_small }
}
