//! What stands in a text: mentions, and what it is remembered by.

/// Different names that are told apart; as many as a message may mention.
const NAMES_MAX: usize = 21;
/// Different names behind an `@` that begins a word, as the server reads them; no more than one above `most`.
pub(crate) fn mentions(body: &str, most: u32) -> u32 {
    let (mut names, mut count) = ([0_u64; NAMES_MAX], 0_usize);
    for (at, _) in body.match_indices('@') {
        let (before, after) = (body.get(..at).unwrap_or_default(), body.get(at + 1..).unwrap_or_default());
        if before.ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let name = after.chars().take_while(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).take(64);
        let hash = name.filter(char::is_ascii_alphanumeric).fold(SEED, |hash, c| mix(hash, c.to_ascii_lowercase()));
        if hash == SEED || names.iter().take(count).any(|known| *known == hash) {
            continue;
        }
        if let Some(free) = names.get_mut(count) {
            *free = hash;
            count += 1;
        }
        if count > most as usize {
            break;
        }
    }
    count as u32
}

/// The same for texts that look the same but for white space, signs and digits around the words; `None`: it has less
/// than so many letters and digits.
pub(crate) fn print(skeleton: &str, least: u32) -> Option<u64> {
    let (mut words, mut core, mut letters, mut length) = (SEED, SEED, 0_u32, 0_u32);
    for c in skeleton.chars() {
        let is_letter = c.is_alphabetic();
        if is_letter || c.is_numeric() {
            length += 1;
            if is_letter || letters > 0 {
                words = mix(words, c);
            }
        }
        if is_letter {
            (core, letters) = (words, letters + 1);
        }
    }
    (length >= least && letters > 0).then_some(core)
}

/// A name without its digits and signs, small letters; `None`: hardly a letter is left, or it has no digit.
pub(crate) fn shape(name: &str) -> Option<u64> {
    let (mut hash, mut letters, mut was_digit, mut has_digit) = (SEED, 0, false, false);
    for c in name.chars().flat_map(char::to_lowercase) {
        let is_digit = c.is_numeric();
        if is_digit && !was_digit {
            hash = mix(hash, '0');
            has_digit = true;
        }
        if c.is_alphabetic() {
            hash = mix(hash, c);
            letters += 1;
        }
        if is_digit || c.is_alphabetic() {
            was_digit = is_digit;
        }
    }
    (has_digit && letters >= SHAPE_LETTERS).then_some(hash)
}

/// "a1" and "a2" are alike by chance.
const SHAPE_LETTERS: u32 = 3;

/// FNV-1a, a character at a time.
const SEED: u64 = 0xcbf2_9ce4_8422_2325;

const fn mix(hash: u64, c: char) -> u64 {
    (hash ^ c as u64).wrapping_mul(0x0000_0100_0000_01b3)
}
