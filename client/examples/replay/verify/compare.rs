//! What was read against what was sent: once each, in order, byte for byte, by whom, and nothing else.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use confab_client::Room;
use confab_client::model::{ClientId, Entry, EntryContent, Envelope, MembershipChange, Millis, RoomKind, Seq, UserId};
use confab_protocol::codec::decode_entry;
use confab_protocol::command::Member;

use crate::chatlog::{ChatLog, Day, Post, username};
use crate::record::{Outcome, Record, Sent};

/// Findings and changes that are printed one by one.
const SHOWN_MAX: usize = 10;
const CHANGES_SHOWN_MAX: usize = 3;
const CODEPOINTS_SHOWN_MAX: usize = 12;

/// What the comparison found.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) wrong: usize,
    shown: Vec<String>,
    pub(crate) altered: usize,
    changes: Vec<String>,
    same: usize,
    others: BTreeMap<&'static str, usize>,
    authors: usize,
    /// Authors of the log none of whose messages is there.
    silent: usize,
    refused: usize,
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "compared with the log:")?;
        writeln!(f, "  {} messages are there once, in order and byte for byte", self.same)?;
        writeln!(f, "  {} more are there once, in order and changed, as their acknowledgement said", self.altered)?;
        for change in &self.changes {
            writeln!(f, "    {change}")?;
        }
        writeln!(f, "  {} that were refused or held are not there", self.refused)?;
        let silent = self.silent;
        writeln!(
            f,
            "  {} authors by the names they have in the log, {silent} more had nothing accepted",
            self.authors
        )?;
        let others: Vec<String> = self.others.iter().map(|(name, count)| format!("{count} {name}")).collect();
        writeln!(f, "  besides messages: {}", others.join(", "))?;
        for line in &self.shown {
            writeln!(f, "  WRONG: {line}")?;
        }
        write!(f, "  {}", if self.wrong == 0 { "nothing differs" } else { "THE SERVER DIFFERS" })
    }
}

/// A message as it was read.
struct Message {
    seq: Seq,
    time: Millis,
    author: UserId,
    client_id: ClientId,
    text: String,
}

/// A message as it was sent and acknowledged.
struct Expected<'a> {
    post: &'a Post,
    sent: Sent,
    seq: Seq,
    time: Millis,
    altered: bool,
}

pub(super) struct Comparison<'a> {
    log: &'a ChatLog,
    record: &'a Record,
    any_order: bool,
    findings: Findings,
    nick_of: HashMap<UserId, usize>,
    user_of: HashMap<usize, UserId>,
}

impl<'a> Comparison<'a> {
    pub(super) fn new(log: &'a ChatLog, record: &'a Record, any_order: bool) -> Self {
        let mut comparison = Self {
            log,
            record,
            any_order,
            findings: Findings::default(),
            nick_of: HashMap::new(),
            user_of: HashMap::new(),
        };
        if record.0.len() != log.len() {
            comparison.wrong(format!("the record has {} messages, the log {}", record.0.len(), log.len()));
        }
        comparison
    }

    fn wrong(&mut self, what: String) {
        self.findings.wrong += 1;
        if self.findings.shown.len() < SHOWN_MAX {
            self.findings.shown.push(what);
        }
    }

    pub(super) fn compare_room(&mut self, day: &Day, room: &Room, history: &[Envelope], sync: &[Envelope]) {
        if room.name != day.room || room.kind != RoomKind::Channel {
            self.wrong(format!("{} is called {}", day.room, room.name));
        }
        let expected = self.expected(day, room);
        let messages = self.messages(day, history);
        self.compare_messages(day, &expected, &messages);
        self.compare_sync(day, history, sync);
    }

    /// What must be there, in the order of the room.
    fn expected<'d>(&mut self, day: &'d Day, room: &Room) -> Vec<Expected<'d>> {
        let mut expected = Vec::new();
        for post in &day.posts {
            let Some(sent) = self.record.0.get(&post.line).copied() else {
                self.wrong(format!("line {} of the log is not in the record", post.line));
                continue;
            };
            if sent.room != room.id {
                self.wrong(format!("line {} was sent to {}, not to {}", post.line, sent.room, room.id));
            }
            match sent.outcome {
                Outcome::Acked { seq, time, altered } => expected.push(Expected { post, sent, seq, time, altered }),
                Outcome::Held | Outcome::Rejected(_) | Outcome::RefusedHere(_) => self.findings.refused += 1,
            }
        }
        if !self.any_order && !expected.is_sorted_by(|a, b| a.seq < b.seq) {
            self.wrong(format!("{}: the order of the file is not that of the room", day.room));
        }
        expected.sort_by_key(|one| one.seq);
        expected
    }

    fn messages(&mut self, day: &Day, history: &[Envelope]) -> Vec<Message> {
        let mut messages = Vec::with_capacity(history.len());
        for envelope in history {
            match decode_entry(&envelope.payload) {
                Ok(Entry { author, client_id, content: EntryContent::Message(message) }) => messages.push(Message {
                    seq: envelope.seq,
                    time: envelope.time,
                    author,
                    client_id,
                    text: message.body.as_str().to_owned(),
                }),
                _ => self.wrong(format!("{}: history has something else at {}", day.room, envelope.seq.0)),
            }
        }
        if !messages.is_sorted_by(|a, b| a.seq < b.seq && a.time <= b.time) {
            self.wrong(format!("{}: history does not ascend", day.room));
        }
        messages
    }

    fn compare_messages(&mut self, day: &Day, expected: &[Expected<'_>], messages: &[Message]) {
        let mut read: HashMap<ClientId, &Message> = HashMap::with_capacity(messages.len());
        for message in messages {
            if read.insert(message.client_id, message).is_some() {
                self.wrong(format!("{}: {} is there twice", day.room, message.client_id));
            }
        }
        for one in expected {
            let Some(message) = read.remove(&one.sent.client_id) else {
                self.wrong(format!("line {} was acknowledged and is not there", one.post.line));
                continue;
            };
            self.compare_message(one, message);
        }
        for message in read.into_values() {
            self.wrong(format!("{}: {} at {} was never sent", day.room, message.client_id, message.seq.0));
        }
    }

    fn compare_message(&mut self, one: &Expected<'_>, message: &Message) {
        let line = one.post.line;
        if (message.seq, message.time) != (one.seq, one.time) {
            let (seq, acked) = (message.seq.0, one.seq.0);
            self.wrong(format!(
                "line {line} stands at {seq}, {}; acknowledged {acked}, {}",
                message.time.0, one.time.0
            ));
        }
        let known = *self.nick_of.entry(message.author).or_insert(one.post.nick);
        let user = *self.user_of.entry(one.post.nick).or_insert(message.author);
        if known != one.post.nick || user != message.author {
            self.wrong(format!("line {line} is by another author"));
        }
        match (one.altered, message.text == one.post.text) {
            (false, true) => self.findings.same += 1,
            (false, false) => {
                let change = describe_change(&one.post.text, &message.text);
                self.wrong(format!("line {line} is not what was sent: {change}"));
            }
            (true, true) => self.wrong(format!("line {line} is said to be changed and is not")),
            (true, false) => {
                self.findings.altered += 1;
                if self.findings.changes.len() < CHANGES_SHOWN_MAX {
                    let change = describe_change(&one.post.text, &message.text);
                    self.findings.changes.push(format!("line {line}: {change}"));
                }
            }
        }
    }

    /// The raw log: no hole, the same messages as history, authors in the room when they speak.
    fn compare_sync(&mut self, day: &Day, history: &[Envelope], sync: &[Envelope]) {
        let seqs = sync.iter().map(|envelope| envelope.seq.0);
        if !seqs.eq(1..=sync.len() as u64) {
            self.wrong(format!("{}: sync has a hole", day.room));
        }
        let mut present = HashSet::new();
        let mut messages = Vec::with_capacity(history.len());
        for envelope in sync {
            let Ok(Entry { author, content, .. }) = decode_entry(&envelope.payload) else {
                self.wrong(format!("{}: entry {} cannot be read", day.room, envelope.seq.0));
                continue;
            };
            match content {
                EntryContent::Message(_) => {
                    if !present.contains(&author) {
                        self.wrong(format!("{}: entry {} is by a stranger", day.room, envelope.seq.0));
                    }
                    messages.push(envelope);
                }
                EntryContent::RoomCreated { .. } if envelope.seq == Seq(1) => {
                    present.insert(author);
                    *self.findings.others.entry("rooms created").or_default() += 1;
                }
                EntryContent::Membership { user, change: MembershipChange::Joined, .. } if present.insert(user) => {
                    *self.findings.others.entry("joins").or_default() += 1;
                }
                _ => self.wrong(format!("{}: entry {} is of an unexpected kind", day.room, envelope.seq.0)),
            }
        }
        if !messages.into_iter().eq(history) {
            self.wrong(format!("{}: sync and history do not say the same", day.room));
        }
    }

    pub(super) fn authors(&self) -> Vec<UserId> {
        let mut authors: Vec<UserId> = self.nick_of.keys().copied().collect();
        authors.sort_unstable();
        authors
    }

    pub(super) fn compare_profiles(&mut self, members: &[Member]) {
        for member in members {
            let Some(nick) = self.nick_of.get(&member.user).copied() else {
                self.wrong(format!("a profile of {} was not asked for", member.username));
                continue;
            };
            let display_name = self.log.display_name(nick).ok();
            let is_same = display_name.is_some_and(|name| name.as_str() == member.display_name);
            if member.username == username(nick) && is_same {
                self.findings.authors += 1;
            } else {
                self.wrong(format!("{} is not called as in the log", member.username));
            }
        }
    }

    pub(super) fn finish(mut self) -> Findings {
        if self.findings.authors != self.nick_of.len() {
            self.wrong(format!("{} authors have no profile", self.nick_of.len() - self.findings.authors));
        }
        let authors: HashSet<usize> = self.log.days.iter().flat_map(|day| &day.posts).map(|post| post.nick).collect();
        self.findings.silent = authors.len() - authors.iter().filter(|nick| self.user_of.contains_key(nick)).count();
        self.findings
    }
}

/// Where two texts differ, as code points and without showing what people wrote.
fn describe_change(was: &str, is: &str) -> String {
    let (was, is): (Vec<char>, Vec<char>) = (was.chars().collect(), is.chars().collect());
    let same_start = was.iter().zip(&is).take_while(|(a, b)| a == b).count();
    let (was, is) = (was.get(same_start..).unwrap_or_default(), is.get(same_start..).unwrap_or_default());
    let same_end = was.iter().rev().zip(is.iter().rev()).take_while(|(a, b)| a == b).count();
    let list = |chars: &[char]| {
        let middle = chars.get(..chars.len() - same_end).unwrap_or_default();
        let shown: Vec<String> =
            middle.iter().take(CODEPOINTS_SHOWN_MAX).map(|c| format!("U+{:04X}", u32::from(*c))).collect();
        let more = if middle.len() > CODEPOINTS_SHOWN_MAX { " ..." } else { "" };
        if shown.is_empty() { "nothing".to_owned() } else { shown.join(" ") + more }
    };
    format!("after {same_start} characters, {} became {}", list(was), list(is))
}
