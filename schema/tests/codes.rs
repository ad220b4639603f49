//! The codes of `chat.capnp` and those of the crate are the same: each once, by name and number, in the
//! range that its comment promises.

use std::collections::BTreeMap;

use confab_protocol::close::{Close, CloseCode, Comeback};
use confab_protocol::limits::DETAIL_BYTES_MAX;
use confab_protocol::reject::RejectCode;

const SCHEMA: &str = include_str!("../chat.capnp");

/// Name without prefix, and number, of each `const <prefix>Name :UInt16 = number;`, in their order.
fn constants(prefix: &str) -> Vec<(String, u16)> {
    let parse = |line: &str| {
        let (name, value) = line.trim().strip_prefix("const ")?.strip_prefix(prefix)?.split_once(':')?;
        let (kind, value) = value.split_once('=')?;
        assert_eq!(kind.trim(), "UInt16", "{line}");
        let number = value.split_once(';')?.0.trim().parse().unwrap_or_else(|_| panic!("{line}"));
        Some((name.trim().to_owned(), number))
    };
    SCHEMA.lines().filter_map(parse).collect()
}

#[track_caller]
fn check_same(schema: &[(String, u16)], ours: &[(&str, u16)]) {
    let names: BTreeMap<&str, u16> = schema.iter().map(|(name, number)| (name.as_str(), *number)).collect();
    let numbers: BTreeMap<u16, &str> = schema.iter().map(|(name, number)| (*number, name.as_str())).collect();
    assert_eq!((names.len(), numbers.len()), (schema.len(), schema.len()), "a name or number is used twice");
    assert_eq!(names, ours.iter().copied().collect(), "by name");
    assert_eq!(schema.len(), ours.len(), "a code of ours stands for two");
}

#[test]
fn every_reject_of_the_schema_is_one_of_ours() {
    let ours: Vec<(&str, u16)> = RejectCode::ALL.iter().map(|code| (code.name(), code.number())).collect();
    let schema = constants("reject");
    assert!(schema.len() > 20, "the schema was not understood: {schema:?}");
    check_same(&schema, &ours);
}

#[test]
fn every_close_of_the_schema_is_one_of_ours() {
    let ours: Vec<(&str, u16)> = CloseCode::ALL.iter().map(|code| (code.name(), code.number())).collect();
    let schema = constants("close");
    assert!(schema.len() > 10, "the schema was not understood: {schema:?}");
    check_same(&schema, &ours);
}

#[test]
fn every_number_leads_back_to_its_code_and_no_other_does() {
    let rejects = constants("reject");
    let closes = constants("close");
    for number in 0..=u16::MAX {
        let reject = rejects.iter().find(|(_, known)| *known == number).map(|(name, _)| name.as_str());
        assert_eq!(RejectCode::from_number(number).map(RejectCode::name), reject, "{number}");
        let close = closes.iter().find(|(_, known)| *known == number).map(|(name, _)| name.as_str());
        assert_eq!(CloseCode::from_number(number).map(CloseCode::name), close, "{number}");
    }
}

#[test]
fn the_range_of_a_close_says_what_to_do() {
    for (name, number) in constants("close") {
        let comeback = Close { code: number, reason: String::new() }.comeback();
        let expected = match number / 100 {
            40 => Comeback::Reconnect,
            41 => Comeback::Never,
            42 => Comeback::NewCredentials,
            43 => Comeback::ReconnectLater,
            _ => panic!("{name} = {number} is in no range of the schema"),
        };
        assert_eq!(comeback, expected, "{name}");
    }
}

#[test]
fn rejects_are_in_the_ranges_of_the_schema() {
    for (name, number) in constants("reject") {
        assert!(matches!(number / 1000, 1..=5 | 9), "{name} = {number} is in no range of the schema");
    }
}

#[test]
fn texts_are_for_people_and_short() {
    let rejects = RejectCode::ALL.iter().map(|code| (code.name(), code.text()));
    let closes = CloseCode::ALL.iter().map(|code| (code.name(), code.text()));
    for (name, text) in rejects.chain(closes) {
        assert!(!text.is_empty() && text.len() <= DETAIL_BYTES_MAX, "{name}: {text}");
        assert!(!text.starts_with(char::is_uppercase) && !text.ends_with('.'), "{name}: {text}");
    }
}
