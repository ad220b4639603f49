//! What a server keeps of what a plugin says, so that golden files say the same natively and in the sandbox.
//!
//! ```
//! use confab_plugin::kept;
//!
//! assert_eq!(kept::name("Buy now!"), "uynow");
//! assert_eq!(kept::text("buy\u{202e} later\n".to_owned()), "buy later");
//! ```

/// At most so many characters of a name, of a rule or a label say.
pub const NAME_CHARS_MAX: usize = 64;
/// At most so many bytes of a reason or a note.
pub const TEXT_BYTES_MAX: usize = 256;

/// Of a name: a-z 0-9 . _ -
#[must_use]
pub fn name(said: &str) -> String {
    let kept = said.chars().filter(|c| matches!(c, 'a'..='z' | '0'..='9' | '.' | '_' | '-'));
    kept.take(NAME_CHARS_MAX).collect()
}

/// Of a reason or a note. What deceives goes as well: a case and a reason take no such text, and whole notes would be lost.
#[must_use]
pub fn text(mut said: String) -> String {
    said.truncate(said.floor_char_boundary(TEXT_BYTES_MAX));
    said.retain(is_tame);
    said
}

/// Whether it moves nothing on a terminal, and shows no text as another one.
#[must_use]
pub fn is_tame(c: char) -> bool {
    let is_direction = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let takes_no_room = matches!(c, '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{feff}');
    !c.is_control() && !is_direction && !takes_no_room
}
