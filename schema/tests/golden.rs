//! Golden frames: the bytes of one frame of each kind, kept for ever. Encoders must go on making them,
//! decoders must go on reading them. `BLESS=1` rewrites the file, which is right only for new kinds.

#[path = "golden/cases.rs"]
mod cases;
#[path = "golden/samples.rs"]
mod samples;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use bytes::Bytes;
use confab_protocol::codec::{
    decode_audit, decode_client_frame, decode_entry, decode_server_frame, encode_audit, encode_client_frame,
    encode_entry, encode_server_frame,
};

use crate::samples::{Sample, samples};

const GOLDEN: &str = include_str!("golden/frames.txt");
/// Frames as they were before fields were added to what they hold: name, then the bytes in hex.
const OLDER: &str = include_str!("golden/older.txt");
const GOLDEN_PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/frames.txt");
const SCHEMA: &str = include_str!("../chat.capnp");

const FILE_HEADER: &str = "\
# Golden frames of the protocol: name, then the bytes in hex. Never change a line: a released peer sends it.
# `BLESS=1 cargo test -p confab-protocol --test golden` rewrites this file; look at what it changed.
";

fn encode(sample: &Sample) -> Bytes {
    match sample {
        Sample::Client(frame) => encode_client_frame(frame),
        Sample::Server(frame) => encode_server_frame(frame),
        Sample::Entry(entry) => encode_entry(entry),
        Sample::Audit(record) => encode_audit(record),
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string");
        text
    })
}

fn from_hex(text: &str) -> Bytes {
    let digits: Vec<u8> = text.chars().map(|digit| digit.to_digit(16).expect("hex") as u8).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect::<Vec<u8>>().into()
}

fn golden() -> BTreeMap<&'static str, Bytes> {
    frames(GOLDEN).collect()
}

fn frames(text: &'static str) -> impl Iterator<Item = (&'static str, Bytes)> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let lines = lines.map(|line| line.split_once(' ').expect("a name and hex"));
    lines.map(|(name, hex)| (name, from_hex(hex)))
}

fn is_blessing() -> bool {
    std::env::var_os("BLESS").is_some_and(|value| value == "1")
}

#[test]
fn encoders_make_the_golden_bytes() {
    let samples = samples();
    if is_blessing() {
        let mut text = FILE_HEADER.to_owned();
        for (name, sample) in &samples {
            writeln!(text, "{name} {}", to_hex(&encode(sample))).expect("writing to a string");
        }
        std::fs::write(GOLDEN_PATH, text).expect("the golden file is writable");
        return;
    }
    let golden = golden();
    for (name, sample) in &samples {
        let Some(kept) = golden.get(name) else { panic!("{name} is not in the golden file: BLESS=1 adds it") };
        assert_eq!(to_hex(&encode(sample)), to_hex(kept), "{name}: a released peer sends and expects the latter");
    }
}

#[test]
fn decoders_read_the_golden_bytes() {
    let golden = golden();
    for (name, sample) in samples() {
        let Some(kept) = golden.get(name) else { continue };
        assert_read(name, kept, sample);
    }
}

/// What a peer of before does not send is as if it were none.
#[test]
fn decoders_read_frames_of_before() {
    let mut older = 0;
    for (name, kept) in frames(OLDER) {
        let sample = samples().into_iter().find(|(it, _)| *it == name).expect("a sample").1;
        assert_ne!(encode(&sample), kept, "{name}: nothing was added to it");
        assert_read(name, &kept, sample);
        older += 1;
    }
    assert!(older > 0);
}

fn assert_read(name: &str, kept: &Bytes, sample: Sample) {
    match sample {
        Sample::Client(frame) => assert_eq!(decode_client_frame(kept), Ok(frame), "{name}"),
        Sample::Server(frame) => assert_eq!(decode_server_frame(kept), Ok(frame), "{name}"),
        Sample::Entry(entry) => assert_eq!(decode_entry(kept), Ok(entry), "{name}"),
        Sample::Audit(record) => assert_eq!(decode_audit(kept), Ok(*record), "{name}"),
    }
}

#[test]
fn no_golden_frame_is_forgotten() {
    let names: Vec<&str> = samples().iter().map(|(name, _)| *name).collect();
    let unique: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(unique.len(), names.len(), "a name is used twice");
    if !is_blessing() {
        assert_eq!(golden().into_keys().collect::<BTreeSet<_>>(), unique, "the file and the samples differ");
    }
}

/// Every union member of the schema that has content, or is listed here, has a golden frame named after it.
#[test]
fn every_kind_has_a_golden_frame() {
    const VOID_BUT_SERVED: [&str; 6] =
        ["Request.ping", "Request.logout", "Reply.ok", "Ephemeral.missed", "Entry.void", "SelfNote.accountCreated"];
    let names: Vec<&str> = samples().iter().map(|(name, _)| *name).collect();
    let mut checked = 0;
    for wanted in ["ClientFrame", "ServerFrame", "Request", "Reply", "Push", "Ephemeral", "Entry", "SelfNote"] {
        for (member, kind) in union_members(wanted) {
            let kind_name = format!("{wanted}.{member}");
            if kind == "Void" && !VOID_BUT_SERVED.contains(&kind_name.as_str()) {
                continue;
            }
            checked += 1;
            let has = names.iter().any(|name| name.split('/').next() == Some(kind_name.as_str()));
            let is_outer =
                ["ClientFrame.request", "ServerFrame.reply", "ServerFrame.push", "Push.ephemeral", "Entry.selfNote"];
            assert!(has || is_outer.contains(&kind_name.as_str()), "no golden frame for {kind_name}");
        }
    }
    assert!(checked > 40, "the schema was not understood: {checked} kinds");
}

/// Name and type of the members of a struct's union, from the text of the schema.
fn union_members(name: &str) -> Vec<(&'static str, &'static str)> {
    let start = SCHEMA.find(&format!("\nstruct {name} {{")).expect("a struct of the schema");
    let body = &SCHEMA[start + 1..];
    let body = &body[body.find("union {").expect("a union")..body.find("\n}").expect("its end")];
    let member = |line: &'static str| {
        let code = line.split('#').next()?;
        let (name, rest) = code.trim().split_once(" @")?;
        let (_, kind) = rest.trim_end_matches(';').split_once(':')?;
        Some((name, kind.trim().trim_end_matches(';')))
    };
    body.lines().filter_map(member).collect()
}
