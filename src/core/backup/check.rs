//! Whether the rows of a backup belong together: what a store promises of its logs, looked at row by row.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use confab_protocol::codec::decode_entry;
use confab_protocol::model::{ClientId, RoomId, Seq, UserId};

use super::Table;
use super::rows::Row;
use crate::core::seal::{Place, Vault};

/// What is told of many faults.
const FAULTS_TOLD: usize = 5;

#[derive(Debug)]
struct Log {
    head: i64,
    next: i64,
}

/// Takes all rows in their order, and says what is wrong with them.
#[derive(Debug)]
pub struct Checker<'a> {
    vault: &'a Vault,
    unopened: u64,
    keys: HashSet<u32>,
    users: HashSet<u128>,
    logs: HashMap<u128, Log>,
    last_key: Vec<u8>,
    last_table: Option<&'static str>,
    faults: Vec<String>,
    count: u64,
}

impl<'a> Checker<'a> {
    /// With keys for what is sealed.
    #[must_use]
    pub fn new(vault: &'a Vault) -> Self {
        Self {
            vault,
            unopened: 0,
            keys: HashSet::new(),
            users: HashSet::new(),
            logs: HashMap::new(),
            last_key: Vec::new(),
            last_table: None,
            faults: Vec::new(),
            count: 0,
        }
    }

    /// Looks at a row.
    pub fn take(&mut self, table: &'static Table, row: &Row) {
        self.check_order(table, row);
        let id = |name| row.id(table.position(name));
        match table.name {
            "seal_keys" => self.keys.extend(row.number(0).and_then(|id| u32::try_from(id).ok())),
            "users" => self.users.extend(id("id")),
            "rooms" => self.take_room(table, row),
            "entries" => self.take_entry(table, row),
            _ => {
                for column in ["room", "user_id", "author"] {
                    let is_known = match column {
                        // That a plugin began.
                        "room" if table.name == "observed" && id(column) == Some(0) => true,
                        "room" => id(column).is_none_or(|id| self.logs.contains_key(&id)),
                        _ => id(column).is_none_or(|id| self.users.contains(&id)),
                    };
                    if !is_known {
                        self.fault(format!("table {}: a row's {column} is not there", table.name));
                    }
                }
            }
        }
        if matches!(table.name, "entry_revisions" | "unappended" | "evidence") {
            self.check_payload(table, row);
        }
    }

    /// How many payloads are sealed with keys that are not at hand, and could not be looked at.
    ///
    /// # Errors
    /// The first faults, and how many there are.
    pub fn finish(mut self) -> Result<u64, String> {
        for (room, log) in std::mem::take(&mut self.logs) {
            if log.next != log.head.wrapping_add(1) {
                self.fault(format!("room {}: ends before entry {} of {}", name(room), log.next, log.head));
            }
        }
        match self.count {
            0 => Ok(self.unopened),
            count => Err(format!("{count} faults: {}", self.faults.join("; "))),
        }
    }

    fn fault(&mut self, what: String) {
        self.count += 1;
        if self.faults.len() < FAULTS_TOLD {
            self.faults.push(what);
        }
    }

    /// Keys go up, so none comes twice. Their encoding is in their order, for none is negative; a shorter text is
    /// before a longer one that begins with it, so texts are compared as they are and not by their lengths.
    fn check_order(&mut self, table: &'static Table, row: &Row) {
        let mut key = Vec::with_capacity(self.last_key.len());
        for index in 0..table.key {
            key.extend(row.field(index).unwrap_or_default());
            key.push(0);
        }
        if self.last_table == Some(table.name) && key <= self.last_key {
            self.fault(format!("table {}: a row is out of order or there twice", table.name));
        }
        (self.last_table, self.last_key) = (Some(table.name), key);
    }

    fn take_room(&mut self, table: &Table, row: &Row) {
        let number = |name| row.number(table.position(name)).unwrap_or_default();
        let (first, head) = (number("first_seq"), number("head"));
        let room = row.id(0).unwrap_or_default();
        if first < 1 || head < first - 1 || head == i64::MAX || number("incarnation") < 1 {
            self.fault(format!("room {}: has no log from {first} to {head}", name(room)));
        }
        self.logs.insert(room, Log { head, next: first });
    }

    fn take_entry(&mut self, table: &Table, row: &Row) {
        let number = |name| row.number(table.position(name)).unwrap_or_default();
        let (room, seq) = (row.id(0).unwrap_or_default(), number("seq"));
        let fault = match self.logs.get_mut(&room) {
            None => Some(format!("entry {seq}: its room {} is not there", name(room))),
            Some(log) if log.next == seq && seq <= log.head => {
                log.next = log.next.wrapping_add(1);
                None
            }
            Some(log) => {
                let expected = log.next;
                log.next = seq.wrapping_add(1);
                Some(format!("room {}: entry {seq} stands where {expected} is to be", name(room)))
            }
        };
        if !self.users.contains(&row.id(table.position("author")).unwrap_or_default()) {
            self.fault(format!("room {}: the author of entry {seq} is not there", name(room)));
        }
        fault.into_iter().for_each(|fault| self.fault(fault));
        self.check_payload(table, row);
    }

    fn check_payload(&mut self, table: &Table, row: &Row) {
        let payload = row.field(table.position("payload")).unwrap_or_default();
        let id = |column| row.id(table.position(column)).unwrap_or_default();
        let number = |column| row.number(table.position(column)).unwrap_or_default();
        let room = RoomId::from_u128(id("room"));
        let place = if table.name == "unappended" {
            Place::Unappended(room, UserId::from_u128(id("author")), ClientId::from_u128(id("client_id")))
        } else {
            Place::Entry(room, Seq(number("seq").cast_unsigned()), number("rev") as u32)
        };
        if Vault::key_of(payload).is_some_and(|key| !self.keys.contains(&key)) {
            self.fault(format!("{place:?} is sealed with a key that sealed nothing here"));
            return;
        }
        if !self.vault.has_key_of(payload) {
            self.unopened += 1;
            return;
        }
        match self.vault.open(place, Bytes::copy_from_slice(payload)) {
            Err(error) => self.fault(error.to_string()),
            // Of what was refused there is none.
            Ok(payload) if payload.is_empty() && table.name == "unappended" => {}
            Ok(payload) if decode_entry(&payload).is_err() => {
                self.fault(format!("{place:?} is no entry of this protocol"));
            }
            Ok(_) => {}
        }
    }
}

fn name(room: u128) -> RoomId {
    RoomId::from_u128(room)
}

#[cfg(test)]
mod tests {
    use super::super::{Column, Kind};
    use super::*;

    /// A row whose ids and numbers are those of the columns named, and else 1.
    fn row(table: &'static Table, given: &[(&str, u64)], payload: &[u8]) -> Row {
        let mut row = Row::begin(table);
        for Column { name, kind, .. } in table.columns {
            let number = given.iter().find(|(column, _)| column == name).map_or(1, |(_, number)| *number);
            match kind {
                Kind::Id => row.push(Some(&u128::from(number).to_be_bytes())),
                Kind::Long => row.push(Some(&number.to_be_bytes())),
                Kind::Int => row.push(Some(&(number as u32).to_be_bytes())),
                Kind::Small => row.push(Some(&(number as u16).to_be_bytes())),
                Kind::Flag => row.push(Some(&[0])),
                Kind::Text => row.push(Some(b"x")),
                Kind::Bytes => row.push(Some(payload)),
            }
        }
        row
    }

    fn faults(rows: &[(&str, &[(&str, u64)])]) -> String {
        let vault = Vault::default();
        let mut checker = Checker::new(&vault);
        let (author, client_id) = (UserId::from_u128(1), ClientId::from_u128(1));
        let content = confab_protocol::model::EntryContent::Void;
        let payload =
            confab_protocol::codec::encode_entry(&confab_protocol::model::Entry { author, client_id, content });
        for (table, given) in rows {
            let table = Table::find(table).unwrap();
            checker.take(table, &row(table, given, &payload));
        }
        checker.finish().map_or_else(|faults| faults, |unopened| format!("{unopened} unopened"))
    }

    #[test]
    fn a_log_is_whole_and_of_people_who_are_there() {
        let user = ("users", &[][..]);
        let room: (&str, &[(&str, u64)]) = ("rooms", &[("first_seq", 3), ("head", 4)]);
        let entry = |seq: &'static [(&'static str, u64)]| ("entries", seq);
        let (third, fourth, fifth) = (entry(&[("seq", 3)]), entry(&[("seq", 4)]), entry(&[("seq", 5)]));
        assert_eq!(faults(&[user, room, third, fourth]), "0 unopened");
        for (rows, words) in [
            (&[user, room, third][..], "ends before entry 4 of 4"),
            (&[user, room, fourth], "entry 4 stands where 3 is to be"),
            (&[user, room, third, fourth, fifth], "entry 5 stands"),
            (&[user, room, third, third, fourth], "out of order or there twice"),
            (&[room, third, fourth], "the author of entry 3 is not there"),
            (&[user, third], "its room"),
            (&[user, ("rooms", &[("head", i64::MAX as u64)])], "has no log"),
            (&[user, ("rooms", &[("first_seq", u64::MAX), ("head", 4)])], "has no log"),
            (&[user, room, third, fourth, ("members", &[("user_id", 9)])], "user_id is not there"),
        ] {
            let told = faults(rows);
            assert!(told.contains(words), "{words}: {told}");
        }
        let many: Vec<(&str, &[(&str, u64)])> = vec![user; 1_000];
        assert!(faults(&many).len() < 1_000, "a few of many faults are told");
    }
}
