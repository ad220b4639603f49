//! Whether the rows of a backup belong together: what a store promises of its logs, looked at row by row.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use confab_protocol::codec::decode_entry;
use confab_protocol::model::{RoomId, Seq};

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
            "users" => self.users.extend(id("id")),
            "rooms" => self.take_room(table, row),
            "entries" => self.take_entry(table, row),
            _ => {
                for column in ["room", "user_id", "author"] {
                    let is_known = match column {
                        "room" => id(column).is_none_or(|id| self.logs.contains_key(&id)),
                        _ => id(column).is_none_or(|id| self.users.contains(&id)),
                    };
                    if !is_known {
                        self.fault(format!("table {}: a row's {column} is not there", table.name));
                    }
                }
            }
        }
        if table.name == "entry_revisions" {
            self.check_payload(table, row);
        }
    }

    /// How many payloads are sealed with keys that are not at hand, and could not be looked at.
    ///
    /// # Errors
    /// The first faults, and how many there are.
    pub fn finish(mut self) -> Result<u64, String> {
        let unfinished: Vec<String> = self
            .logs
            .iter()
            .filter(|(_, log)| log.next != log.head + 1)
            .map(|(room, log)| format!("room {}: ends before entry {} of {}", name(*room), log.next, log.head))
            .collect();
        unfinished.into_iter().for_each(|fault| self.fault(fault));
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
        if first < 1 || head < first - 1 || number("incarnation") < 1 {
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
                log.next += 1;
                None
            }
            Some(log) => {
                let expected = log.next;
                log.next = seq + 1;
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
        let (room, seq) = (row.id(0).unwrap_or_default(), row.number(1).unwrap_or_default());
        if !self.vault.has_key_of(payload) {
            self.unopened += 1;
            return;
        }
        let rev = row.number(table.position("rev")).unwrap_or_default() as u32;
        let place = Place::Entry(name(room), Seq(seq.cast_unsigned()), rev);
        match self.vault.open(place, Bytes::copy_from_slice(payload)) {
            Err(error) => self.fault(error.to_string()),
            Ok(payload) if decode_entry(&payload).is_err() => {
                self.fault(format!("room {}: entry {seq} is no entry of this protocol", name(room)));
            }
            Ok(_) => {}
        }
    }
}

fn name(room: u128) -> RoomId {
    RoomId::from_u128(room)
}
