//! Punycode (RFC 3492), decoding only: what a host with `xn--` shows.

const BASE: u32 = 36;
const T_MIN: u32 = 1;
const T_MAX: u32 = 26;
const SKEW: u32 = 38;
const DAMP: u32 = 700;
const BIAS: u32 = 72;
const FIRST: u32 = 0x80;
/// Letters of a label; a host has no longer ones.
const LABEL_MAX: usize = 63;

/// The label behind `xn--`; `None`: it says nothing.
pub(crate) fn decode(label: &str) -> Option<String> {
    if label.len() > LABEL_MAX || !label.is_ascii() {
        return None;
    }
    let (basic, extended) = label.rsplit_once('-').unwrap_or(("", label));
    let mut out: Vec<char> = basic.chars().collect();
    let (mut code, mut place, mut bias) = (FIRST, 0_u32, BIAS);
    let mut digits = extended.bytes().map(digit).peekable();
    while digits.peek().is_some() {
        let (before, mut weight, mut k) = (place, 1_u32, BASE);
        loop {
            let digit = digits.next()??;
            place = place.checked_add(digit.checked_mul(weight)?)?;
            let threshold = k.saturating_sub(bias).clamp(T_MIN, T_MAX);
            if digit < threshold {
                break;
            }
            weight = weight.checked_mul(BASE - threshold)?;
            k = k.checked_add(BASE)?;
        }
        let count = u32::try_from(out.len()).ok()?.checked_add(1)?;
        bias = adapt(place - before, count, before == 0);
        code = code.checked_add(place / count)?;
        place %= count;
        out.insert(usize::try_from(place).ok()?, char::from_u32(code)?);
        place += 1;
    }
    (!out.is_empty()).then(|| out.into_iter().collect())
}

const fn digit(byte: u8) -> Option<u32> {
    match byte {
        b'a'..=b'z' => Some((byte - b'a') as u32),
        b'A'..=b'Z' => Some((byte - b'A') as u32),
        b'0'..=b'9' => Some((byte - b'0') as u32 + 26),
        _ => None,
    }
}

fn adapt(delta: u32, count: u32, is_first: bool) -> u32 {
    let mut delta = if is_first { delta / DAMP } else { delta / 2 };
    delta += delta / count;
    let mut k = 0;
    while delta > ((BASE - T_MIN) * T_MAX) / 2 {
        delta /= BASE - T_MIN;
        k += BASE;
    }
    k + (BASE - T_MIN + 1) * delta / (delta + SKEW)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_the_world() {
        for (label, expected) in [
            ("mnchen-3ya", Some("münchen")),
            ("fiqs8s", Some("中国")),
            ("p1ai", Some("рф")),
            ("80ak6aa92e", Some("аррӏе")),
            ("ihqwcrb4cv8a8dqg056pqjye", Some("他们为什么不说中文")),
            ("3b-ww4c5e180e575a65lsy2b", Some("3年b組金八先生")),
            ("", None),
            ("99999999", None),
            ("a-!", None),
        ] {
            assert_eq!(decode(label).as_deref(), expected, "{label}");
        }
    }
}
