//! What is remembered of authors: one record each, of what they wrote last; and of long texts, how many wrote them.
//! A message asks the host twice, one with a long text three times.

use confab_plugin::message::Event;
use confab_plugin::{Id, kv};

use crate::config::{COUNT_MAX, Config};
use crate::look::Print;

/// Bytes of an entry: when, where, what.
const ENTRY: usize = 16;
/// Entries of a record; the oldest go first.
const ENTRIES_MAX: usize = COUNT_MAX as usize + 28;

/// What an author did before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Past {
    pub(crate) is_too_fast: bool,
    /// How often they wrote the same, anywhere.
    pub(crate) same: u32,
    /// Whether they wrote it in this room.
    pub(crate) is_known_here: bool,
}

/// What comes before a message of its author; it is remembered, but where it is too fast.
pub(crate) fn note(config: &Config, event: &Event, print: &Print) -> Past {
    let key = kv::about(event.author, "f");
    let mut record = kv::get(&key).unwrap_or_default();
    let now = Entry { time: event.time_ms as u32, room: short(event.room), hash: print.hash };
    forget(&mut record, now.time, config.keep_ms());
    let past = past(config, &record, &now);
    if !past.is_too_fast {
        now.write(&mut record);
        kv::set(&key, &record, config.keep_ms());
    }
    past
}

/// How many authors wrote this in the room within the window that is open, with this one.
pub(crate) fn copies(config: &Config, event: &Event, print: &Print, past: Past) -> i64 {
    let (room_high, room_low) = event.room;
    let mut key = String::with_capacity(49);
    push_hex(&mut key, room_high);
    push_hex(&mut key, room_low);
    key.push('c');
    push_hex(&mut key, print.hash);
    kv::add(&key, i64::from(!past.is_known_here), u64::from(config.copies_within_seconds) * 1_000)
}

/// Reactions of this author within the window that is open, with this one.
pub(crate) fn reactions(config: &Config, event: &Event) -> i64 {
    kv::add(&kv::about(event.author, "r"), 1, u64::from(config.within_seconds) * 1_000)
}

struct Entry {
    /// Milliseconds, the low half.
    time: u32,
    room: u32,
    hash: u64,
}

impl Entry {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (time, rest) = bytes.split_first_chunk()?;
        let (room, rest) = rest.split_first_chunk()?;
        let hash = rest.first_chunk()?;
        Some(Self { time: u32::from_le_bytes(*time), room: u32::from_le_bytes(*room), hash: u64::from_le_bytes(*hash) })
    }

    fn write(&self, record: &mut Vec<u8>) {
        record.extend_from_slice(&self.time.to_le_bytes());
        record.extend_from_slice(&self.room.to_le_bytes());
        record.extend_from_slice(&self.hash.to_le_bytes());
    }

    /// One from later than now is as old as can be.
    fn age_ms(&self, now: u32) -> u64 {
        u64::from(now.wrapping_sub(self.time))
    }
}

/// Takes the entries away that are too old or too many; they stand in the order of their times.
fn forget(record: &mut Vec<u8>, now: u32, keep_ms: u64) {
    let entries = record.len() / ENTRY;
    let is_fresh = |bytes: &[u8]| Entry::read(bytes).is_some_and(|entry| entry.age_ms(now) < keep_ms);
    let old = record.chunks_exact(ENTRY).position(is_fresh).unwrap_or(entries);
    let gone = old.max((entries + 1).saturating_sub(ENTRIES_MAX));
    record.drain(..gone * ENTRY);
}

fn past(config: &Config, record: &[u8], now: &Entry) -> Past {
    let ms = |seconds: u32| u64::from(seconds) * 1_000;
    let (mut here, mut past) = (0, Past { is_too_fast: false, same: 0, is_known_here: false });
    for entry in record.chunks_exact(ENTRY).filter_map(Entry::read) {
        let (age, is_here) = (entry.age_ms(now.time), entry.room == now.room);
        here += u32::from(is_here && age < ms(config.within_seconds));
        if entry.hash == now.hash {
            past.same += u32::from(age < ms(config.repeats_within_seconds));
            past.is_known_here |= is_here && age < ms(config.copies_within_seconds);
        }
    }
    past.is_too_fast = config.messages > 0 && here >= config.messages;
    past
}

fn push_hex(key: &mut String, number: u64) {
    let digits = (0..16).rev().filter_map(|at| char::from_digit((number >> (at * 4)) as u32 & 0xf, 16));
    key.extend(digits);
}

/// Enough of an id to tell the rooms of one author apart.
const fn short((high, low): Id) -> u32 {
    ((high ^ low.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}
