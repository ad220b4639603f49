//! The corpora that are made from something else: frames from the protocol's golden frames, lists of operations from
//! the ways that a conversation goes. Texts (`config`, `manifest`, `token`, `http_body`) are written by hand.

use std::fs;
use std::io;

use confab_protocol::frame::put_frame;

use crate::corpus;

const GOLDEN: &str = include_str!("../../schema/tests/golden/frames.txt");

/// Of a server session: a low half byte says what, a high one how many seconds passed.
const SERVER_SESSIONS: [(&str, &[u8]); 6] = [
    ("hello-and-nothing", &[0x00, 1, 0xff, 7, 0xff, 7, 0xff, 7, 0xff, 7]),
    ("logs-in", &[0x00, 1, 0x08, 0, 0x02, 5, 0, 0x0a, 5, 3, 60, 0x12, 6, 4, 0x1a, 6, 0]),
    ("active-until-the-token-ends", &[0x00, 1, 0x08, 61, 0x02, 1, 7, 0x1a, 1, 1, 0xff, 7, 0xff, 7, 0xff, 7, 0xff, 7]),
    ("a-part-of-a-frame", &[0x00, 1, 0x08, 255, 0x0f, 0, 0x3f, 1, 0x3f, 0, 0xff, 7, 0xff, 7]),
    (
        "asks-too-much",
        &[0x00, 1, 0x08, 255, 2, 1, 6, 255, 2, 2, 6, 201, 2, 3, 5, 2, 4, 4, 0x0a, 1, 0, 0x0e, 3, 0x02, 1, 0],
    ),
    (
        "goes-away-amid-noise",
        &[0x00, 1, 0x08, 255, 0x0d, 9, 0x07, 2, 0, 0, 0, 0, 1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0x0e, 0],
    ),
];
/// Of a client session: first which tokens, then in five bits what and in three how much time passed.
const CLIENT_SESSIONS: [(&str, &[u8]); 6] = [
    ("connects-and-is-silent", &[3, 20, 0, 3, 61, 0xf5, 0xf5, 0xf5, 0xf5, 0xf5, 0xf5]),
    ("follows-a-room", &[1, 20, 0, 3, 253, 27, 0, 0x83, 13, 3, 3, 16, 0, 2, 16, 0, 1, 6, 0, 0x89, 1, 13, 3, 9]),
    (
        "comes-back-and-resumes",
        &[3, 27, 1, 2, 20, 0, 3, 253, 13, 3, 5, 16, 1, 0, 19, 200, 21, 21, 0, 3, 253, 13, 0, 9, 30, 1],
    ),
    ("renews-its-token", &[3, 20, 0, 3, 9, 0xf5, 0xf5, 10, 0, 90, 1, 0xf5, 0xf5, 10, 0, 0, 4, 21, 21]),
    ("nobody-logs-in", &[0, 20, 0, 3, 0, 25, 3, 10, 0, 90, 1, 25, 5, 0, 25, 4, 1, 11, 0, 0, 6, 19, 10, 21]),
    ("asked-to-go", &[1, 20, 0, 3, 253, 25, 0, 18, 20, 10, 0, 0, 0, 21, 21, 0, 3, 253, 9, 1, 1, 2, 3, 4, 5, 6, 7, 8]),
];

/// Every generated file: its target, its name, what is in it.
#[must_use]
pub fn all() -> Vec<(&'static str, String, Vec<u8>)> {
    let golden = golden();
    let mut files: Vec<(&str, String, Vec<u8>)> =
        golden.iter().map(|(name, frame)| (target_of(name), name.replace('/', "-"), frame.clone())).collect();
    let sessions = |target, scripts: &[(&str, &[u8])]| {
        scripts.iter().map(move |(name, bytes)| (target, (*name).to_owned(), bytes.to_vec())).collect::<Vec<_>>()
    };
    files.extend(sessions("server_session", &SERVER_SESSIONS));
    files.extend(sessions("client_session", &CLIENT_SESSIONS));
    files.extend(streams(&golden));
    files
}

/// Some frames one after the other, in pieces of some sizes; and lengths that are none.
fn streams(golden: &[(&str, Vec<u8>)]) -> Vec<(&'static str, String, Vec<u8>)> {
    let stream = |step: u8, frames: &[(&str, Vec<u8>)]| {
        let mut bytes = vec![step];
        frames.iter().for_each(|(_, frame)| put_frame(&mut bytes, frame));
        bytes
    };
    let chunks = golden.chunks(12).zip([0, 1, 3, 7, 63, 255]).enumerate();
    let mut files: Vec<(&str, String, Vec<u8>)> =
        chunks.map(|(number, (frames, step))| ("frame", format!("stream-{number}"), stream(step, frames))).collect();
    let empty = ("", Vec::new());
    files.push(("frame", "empty-frames".into(), stream(0, &vec![empty; 5])));
    for (name, length) in [("largest", 65_536_u32), ("too-large", 65_537), ("far-too-large", u32::MAX)] {
        files.push(("frame", name.into(), [&[3], &length.to_le_bytes()[..], &[7; 40]].concat()));
    }
    files
}

/// Who decodes a golden frame of this name.
fn target_of(name: &str) -> &'static str {
    match name.split('.').next() {
        Some("ClientFrame" | "Request") => "client_frame",
        Some("Entry" | "SelfNote") => "entry",
        _ => "server_frame",
    }
}

fn golden() -> Vec<(&'static str, Vec<u8>)> {
    let lines = GOLDEN.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(' ')).map(|(name, hex)| (name, from_hex(hex))).collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// Writes what is missing or differs; says how many files that were.
///
/// # Errors
/// A folder that cannot be written.
pub fn write() -> io::Result<usize> {
    let mut written = 0;
    for (target, name, bytes) in all() {
        let path = corpus::folder(target).join(name);
        if fs::read(&path).ok().as_ref() != Some(&bytes) {
            fs::create_dir_all(corpus::folder(target))?;
            fs::write(&path, bytes)?;
            written += 1;
        }
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_generated_file_is_kept() {
        let is_other = |(target, name, bytes): &(&str, String, Vec<u8>)| {
            fs::read(corpus::folder(target).join(name)).ok().as_ref() != Some(bytes)
        };
        let missing: Vec<String> =
            all().into_iter().filter(is_other).map(|(target, name, _)| format!("{target}/{name}")).collect();
        assert!(missing.is_empty(), "`cargo xtask fuzz --seeds` writes {missing:?}");
    }
}
