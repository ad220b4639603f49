//! What a text is like, in one pass over it each: lines, letters and emoji of the body; of its skeleton, what it is
//! remembered by.

/// Emoji are counted in quarters: the squares of puzzle results are four to one.
const WHOLE: u32 = 4;
/// How many times longer a run may be that draws a line, or is one of a few characters in turn.
const RULER: u32 = 3;
/// So many.
const TURN_MAX: usize = 4;
/// Texts with so many letters are remembered by their words alone, without digits around them.
const LONG_LETTERS: u32 = 32;
/// Texts with so many letters and digits are remembered without what comes behind the last one.
const WORDY: u32 = 8;

/// Of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) lines: u32,
    pub(crate) emoji: u32,
    /// Letters that are capitals, of scripts that have them.
    pub(crate) upper: u32,
    pub(crate) lower: u32,
}

impl Look {
    pub(crate) fn of(body: &str) -> Self {
        let (mut look, mut quarters, mut previous) = (Self { lines: 1, emoji: 0, upper: 0, lower: 0 }, 0, ' ');
        for c in body.strip_suffix('\n').unwrap_or(body).chars() {
            match c {
                'a'..='z' => look.lower += 1,
                'A'..='Z' => look.upper += 1,
                '\n' if previous == '\r' => {}
                '\n' | '\r' | '\x0b' | '\x0c' | '\u{85}' | '\u{2028}' | '\u{2029}' => look.lines += 1,
                _ if c.is_ascii() => {}
                _ if is_upper(c) => look.upper += 1,
                _ if c.is_lowercase() => look.lower += 1,
                // What a joiner adds to an emoji is the same one.
                _ if previous == '\u{200d}' => {}
                _ => quarters += emoji_quarters(c),
            }
            previous = c;
        }
        Self { emoji: quarters / WHOLE, ..look }
    }
}

/// Capitals of scripts that use both; Cherokee is written in what Unicode calls capitals.
pub(crate) fn is_upper(c: char) -> bool {
    c.is_uppercase() && !matches!(c, '\u{13a0}'..='\u{13f5}')
}

/// By range; arrows, pieces of games and signs of text are none.
const fn emoji_quarters(c: char) -> u32 {
    match c {
        '\u{1f3fb}'..='\u{1f3ff}' => 0, // tones of skin
        '\u{1f1e6}'..='\u{1f1ff}' => WHOLE / 2,
        '\u{1f7e5}'..='\u{1f7eb}' | '\u{2b1b}' | '\u{2b1c}' => 1,
        // Stones of games, cards and letters in squares that are shown as emoji.
        '\u{1f004}' | '\u{1f0cf}' | '\u{1f170}' | '\u{1f171}' | '\u{1f17e}' | '\u{1f17f}' | '\u{1f18e}' => WHOLE,
        '\u{1f191}'..='\u{1f19a}' | '\u{1f201}'..='\u{1f265}' => WHOLE,
        '\u{1f300}'..='\u{1f64f}'
        | '\u{1f680}'..='\u{1f6ff}'
        | '\u{1f7e0}'..='\u{1f7e4}'
        | '\u{1f90c}'..='\u{1faff}' => WHOLE,
        '\u{2600}'..='\u{2604}' | '\u{2614}' | '\u{2615}' | '\u{2618}'..='\u{2623}' | '\u{2639}'..='\u{263a}' => WHOLE,
        '\u{2693}'..='\u{26ff}' | '\u{2702}'..='\u{2712}' | '\u{2728}'..='\u{2767}' | '\u{2b50}' | '\u{2b55}' => WHOLE,
        '\u{20e3}' | '\u{231a}' | '\u{231b}' | '\u{23e9}'..='\u{23f3}' => WHOLE,
        _ => 0,
    }
}

/// Of the skeleton.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Print {
    /// The same for texts that look the same.
    pub(crate) hash: u64,
    /// Characters, white space as one.
    pub(crate) length: u32,
    /// Whether one character comes too often in a row, or a few in turn.
    pub(crate) is_run: bool,
}

impl Print {
    pub(crate) fn of(skeleton: &str, run_max: u32) -> Self {
        let (mut seen, mut worded, mut words, mut core) = (SEED, SEED, SEED, SEED);
        let (mut length, mut letters, mut wordy) = (0_u32, 0_u32, 0_u32);
        let (mut previous, mut run, mut is_run) = ('\0', 0_u32, false);
        for c in skeleton.chars() {
            run = if c == previous { run + 1 } else { 1 };
            is_run |= run > run_max && (run > run_max.saturating_mul(RULER) || !is_ruler(c));
            let is_gap = c.is_whitespace();
            length += u32::from(!is_gap || !previous.is_whitespace());
            previous = c;
            if is_gap {
                continue;
            }
            seen = mix(seen, c);
            let (is_letter, is_digit) = (c.is_alphabetic(), c.is_numeric());
            if is_letter || is_digit {
                (worded, wordy) = (seen, wordy + 1);
            }
            if is_letter || (is_digit && letters > 0) {
                words = mix(words, c);
            }
            if is_letter {
                (core, letters) = (words, letters + 1);
            }
        }
        let hash = match () {
            () if letters >= LONG_LETTERS => core,
            () if wordy >= WORDY => worded,
            () => seen,
        };
        Self { hash, length, is_run: run_max > 0 && (is_run || is_chant(skeleton, run_max)) }
    }
}

/// Whether a few characters, letters among them, come in turn for too long: `abababab`.
fn is_chant(skeleton: &str, run_max: u32) -> bool {
    let most = run_max.saturating_mul(RULER);
    // Most texts are too short for it.
    if skeleton.len() <= most as usize {
        return false;
    }
    let (mut last, mut runs) = (['\0'; TURN_MAX], [0_u32; TURN_MAX]);
    for c in skeleton.chars() {
        for (before, run) in last.iter().zip(&mut runs) {
            *run = if *before == c { *run + 1 } else { 0 };
        }
        if c.is_alphabetic() && runs.iter().any(|run| *run > most) {
            return true;
        }
        last.rotate_right(1);
        last[0] = c;
    }
    false
}

/// What lines and tables are drawn with.
const fn is_ruler(c: char) -> bool {
    matches!(c, ' ' | '\n' | '-' | '=' | '_' | '*' | '#' | '~' | '+' | '.' | '/' | '\u{2014}' | '\u{2500}'..='\u{257f}')
}

/// FNV-1a, a character at a time.
const SEED: u64 = 0xcbf2_9ce4_8422_2325;

const fn mix(hash: u64, c: char) -> u64 {
    (hash ^ c as u64).wrapping_mul(0x0000_0100_0000_01b3)
}
