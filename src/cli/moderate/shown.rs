//! How things are printed: names, times, tables. Whatever others wrote is one line and moves nothing on the terminal.

use std::collections::HashMap;

use confab_protocol::command::Member;
use confab_protocol::model::{Millis, RoomId, UserId};
use serde_json::Value;

use crate::cli::chat::printable;

/// For what is not there.
pub(super) const NONE: &str = "-";

/// What people and rooms are called, as far as it was asked.
#[derive(Default)]
pub(super) struct Names {
    pub(super) people: HashMap<UserId, Member>,
    /// Rooms of two have an empty one.
    pub(super) rooms: HashMap<RoomId, String>,
}

impl Names {
    /// User names tell people apart, and the names that they show do not. Who is unknown is their id.
    pub(super) fn person(&self, user: UserId) -> String {
        match self.people.get(&user) {
            _ if user.is_none() => NONE.to_owned(),
            Some(member) => format!("@{}", one_line(&member.username)),
            None => user.to_string(),
        }
    }

    /// With the name that they show; behind the other one, for what it looks like is up to them.
    pub(super) fn in_full(&self, user: UserId) -> String {
        match self.people.get(&user) {
            Some(member) => format!("{} ({})", self.person(user), one_line(&member.display_name)),
            None => self.person(user),
        }
    }

    pub(super) fn room(&self, room: RoomId) -> String {
        match self.rooms.get(&room).map(String::as_str) {
            _ if room.is_none() => NONE.to_owned(),
            None => room.to_string(),
            Some("") => format!("(direct) {room}"),
            Some(name) => one_line(name),
        }
    }
}

/// Others' text within a line of ours.
pub(super) fn one_line(text: &str) -> String {
    let tame = |c| match c {
        '\n' | '\t' => ' ',
        c if is_turning(c) => '\u{fffd}',
        c => c,
    };
    printable(text).chars().map(tame).collect()
}

/// Others' text of several lines: each stands in so far that it cannot pass for a line of ours.
pub(super) fn lines_under(text: &str, indent: &str) -> String {
    text.split('\n').map(one_line).collect::<Vec<_>>().join(&format!("\n{indent}"))
}

/// On one line, and safe to look at: JSON leaves some characters as they are that terminals obey. Escaped they are the
/// same to a program.
pub(super) fn json_line(value: &Value) -> String {
    let is_bare = |c: char| !c.is_control() && !is_turning(c);
    let escaped = |c: char| if is_bare(c) { c.to_string() } else { format!("\\u{:04x}", u32::from(c)) };
    value.to_string().chars().map(escaped).collect()
}

/// Bidi embeddings, overrides and isolates, which show a line as another one, and Unicode's own ends of lines.
const fn is_turning(c: char) -> bool {
    matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// In UTC, to the second.
pub(super) fn when(time: Millis) -> String {
    let seconds = i64::try_from(time.0 / 1_000).unwrap_or(i64::MAX);
    let Ok(at) = time::OffsetDateTime::from_unix_timestamp(seconds) else { return format!("{} ms", time.0) };
    let (hour, minute, second) = at.to_hms();
    format!("{} {hour:02}:{minute:02}:{second:02} UTC", at.date())
}

/// Each column as wide as what is in it.
pub(super) fn table<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let mut widths = [0_usize; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use confab_protocol::model::RoomRole;

    use super::*;

    #[test]
    fn what_others_wrote_moves_nothing() {
        assert_eq!(one_line("a\u{1b}[2J\u{9b}1A\r\n\tb\u{202e}c"), "a\u{fffd}[2J\u{fffd}1A\u{fffd}  b\u{fffd}c");
        assert_eq!(lines_under("a\n> b\n", "    "), "a\n    > b\n    ");
        let value = serde_json::json!({ "text": "\u{1b}\u{7f}\u{9b}\u{202e}\u{e9}\n" });
        let line = json_line(&value);
        assert_eq!(line, r#"{"text":"\u001b\u007f\u009b\u202eé\n"}"#);
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), value, "and a program reads the same");
    }

    #[test]
    fn people_are_told_apart() {
        let (mallory, nobody) = (UserId::from_u128(1), UserId::from_u128(2));
        let member = Member {
            user: mallory,
            username: "mallory".to_owned(),
            display_name: "Alice\u{7}".to_owned(),
            role: Some(RoomRole::Member),
        };
        let names = Names { people: [(mallory, member)].into(), rooms: HashMap::new() };
        assert_eq!(names.in_full(mallory), "@mallory (Alice\u{fffd})");
        assert_eq!(names.in_full(nobody), "00000000-0000-0000-0000-000000000002");
        assert_eq!((names.person(UserId::NONE), names.room(RoomId::NONE)), ("-".to_owned(), "-".to_owned()));
    }

    #[test]
    fn times_and_tables() {
        assert_eq!(when(Millis(1_700_000_000_999)), "2023-11-14 22:13:20 UTC");
        assert_eq!(when(Millis(u64::MAX)), "18446744073709551615 ms");
        let row = |cells: [&str; 3]| cells.map(str::to_owned);
        assert_eq!(table(&[row(["case", "by", ""]), row(["a", "bob", "x"])]), ["case  by", "a     bob  x"]);
    }
}
