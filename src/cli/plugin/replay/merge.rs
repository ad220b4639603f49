//! The texts of many rooms in the order of time, read page by page: the times of a log never go back, so the next text
//! of all is the earliest of the rooms' next ones. What is held of them meanwhile is bounded, however many rooms there
//! are. Who says it, and what becomes of it, is not known here.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};

use anyhow::anyhow;
use confab_protocol::codec::decode_entry;
use confab_protocol::limits::PAGE_ITEMS_MAX;
use confab_protocol::model::{EntryContent, Envelope, Millis, RoomId, Seq, UserId};

use crate::core::access::STRANGER;
use crate::core::earlier::Earlier;
use crate::core::hook::TextKind;
use crate::core::store::Store;

/// Texts that wait for their turn, bytes of all rooms together, in equal shares: of a thousand rooms 67 KB each. What
/// is longer than its share is read again when its turn comes. Beside it a room takes some 200 bytes, and some 30 for
/// each message that it is between the edits of.
const HELD_BYTES_MAX: usize = 64 << 20;
/// So many bytes of a share are a text of a page; a room has pages of one at least.
const TEXT_BYTES: usize = 256;

/// A text, when somebody wanted others to read it.
pub(super) struct Text {
    pub(super) room: RoomId,
    /// Its place in the log: that of an edit is not its message's.
    pub(super) at: Seq,
    pub(super) time: Millis,
    pub(super) kind: TextKind,
    /// Whether everybody sees it; `false` where nobody asks.
    pub(super) is_seen: bool,
    /// As it reads now.
    pub(super) message: Earlier,
}

impl Text {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.message.body.len()
    }
}

/// An entry that is a text, and how often its message was written over; `None`: it is none, or it is gone.
fn text_of(room: RoomId, entry: &Envelope) -> anyhow::Result<Option<(Text, u32)>> {
    let decoded = decode_entry(&entry.payload).map_err(|error| anyhow!("{error}"))?;
    let (kind, message, rev) = match decoded.content {
        EntryContent::Message(message) => {
            let (author, body) = (decoded.author, message.body.as_str().into());
            let message = Earlier { seq: entry.seq, author, body, time: entry.time, edited: entry.rev > 0 };
            (TextKind::New, message, entry.rev)
        }
        EntryContent::Edit(_) => {
            let Some(rewritten) = entry.rewritten.as_deref() else { return Ok(None) };
            let Some(message) = Earlier::of(rewritten) else { return Ok(None) };
            (TextKind::Edit, message, rewritten.rev)
        }
        _ => return Ok(None),
    };
    Ok(Some((Text { room, at: entry.seq, time: entry.time, kind, is_seen: false, message }, rev)))
}

/// The entries of a page that are void for everybody but their authors.
async fn void_in(store: &dyn Store, room: RoomId, after: Seq, limit: usize) -> anyhow::Result<HashSet<Seq>> {
    let page = store.read(room, STRANGER, after, limit).await?;
    let entries = page.map(|page| page.entries).unwrap_or_default();
    let is_void = |entry: &&Envelope| {
        decode_entry(&entry.payload).is_ok_and(|decoded| matches!(decoded.content, EntryContent::Void))
    };
    Ok(entries.iter().filter(is_void).map(|entry| entry.seq).collect())
}

/// How far it is, in entries of all logs: what is due next stands behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) done: u64,
    /// As many as there were when it began.
    pub(super) of: u64,
}

/// When a room's next text is due.
type Due = (Millis, Seq);

/// What holds for all rooms.
struct Rules {
    /// What is older is none.
    from: Millis,
    /// Whether it is told what everybody sees.
    marks_seen: bool,
    /// Entries of a page.
    limit: usize,
    /// Bytes that a room may hold.
    share: usize,
}

/// A room, read up to some place.
struct Lane {
    room: RoomId,
    /// Its end when this began: a server that runs beside appends more.
    head: Seq,
    after: Seq,
    /// What stands before its next text, or all of it.
    done: Seq,
    waiting: VecDeque<Text>,
    /// Messages with more edits ahead, and how many there were.
    edits: HashMap<Seq, u32>,
    /// Edits that were no message's newest.
    passed: u64,
}

/// What others than its author do not see of a page.
#[derive(Default)]
struct Unseen {
    entries: HashSet<Seq>,
    /// Edits among them of messages that everybody sees: those read as if there had been no such edits, and what these
    /// said is kept nowhere.
    vain: HashSet<Seq>,
}

impl Lane {
    fn next(&self) -> Option<Due> {
        self.waiting.front().map(|text| (text.time, text.at))
    }

    /// Goes on to what is due next, or to its end; how many entries that is.
    fn pass(&mut self, next: Option<Due>) -> u64 {
        let done = next.map_or(self.head, |(_, at)| Seq(at.0.saturating_sub(1)));
        let more = done.0.saturating_sub(self.done.0);
        self.done = self.done.max(done);
        more
    }

    /// Reads on until something waits, or nothing is left. Where it is due, what it holds is of any length. It is told
    /// where it is after each page that had nothing.
    async fn load(
        &mut self,
        store: &dyn Store,
        rules: &Rules,
        is_due: bool,
        tell: &dyn Fn(Seq),
    ) -> anyhow::Result<Option<Due>> {
        let (limit, mut left) = if is_due { (1, usize::MAX) } else { (rules.limit, rules.share) };
        let head = self.head;
        while self.waiting.is_empty() && self.after < head {
            let page = store.read(self.room, UserId::NONE, self.after, limit).await?;
            let entries = page.map(|page| page.entries).unwrap_or_default();
            let unseen = self.unseen(store, &entries, (rules, limit)).await?;
            for entry in entries.iter().filter(|entry| entry.seq <= head) {
                let later = self.take(entry, rules, &unseen, &mut left)?;
                if later.is_some() {
                    return Ok(self.next().or(later));
                }
            }
            // None: they were retired meanwhile.
            self.after = entries.last().map_or(head, |last| last.seq);
            if self.waiting.is_empty() {
                tell(self.after.min(head));
            }
        }
        Ok(self.next())
    }

    /// Of the next page, which is these entries. It matters to edits, and where somebody asks what everybody sees.
    async fn unseen(
        &self,
        store: &dyn Store,
        entries: &[Envelope],
        (rules, limit): (&Rules, usize),
    ) -> anyhow::Result<Unseen> {
        if !rules.marks_seen && entries.iter().all(|entry| entry.rewritten.is_none()) {
            return Ok(Unseen::default());
        }
        let (void, mut vain) = (void_in(store, self.room, self.after, limit).await?, HashSet::new());
        for entry in entries.iter().filter(|entry| void.contains(&entry.seq)) {
            let Some(message) = &entry.rewritten else { continue };
            let before = Seq(message.seq.0.saturating_sub(1));
            if !void_in(store, self.room, before, 1).await?.contains(&message.seq) {
                vain.insert(entry.seq);
            }
        }
        Ok(Unseen { entries: void, vain })
    }

    /// Takes an entry in; a text that there is no room for stays ahead, and it is told when that is due.
    fn take(
        &mut self,
        entry: &Envelope,
        rules: &Rules,
        unseen: &Unseen,
        left: &mut usize,
    ) -> anyhow::Result<Option<Due>> {
        let found = if unseen.vain.contains(&entry.seq) { None } else { text_of(self.room, entry)? };
        let Some((text, rev)) = found else {
            self.after = entry.seq;
            return Ok(None);
        };
        let edits = self.edits.get(&text.message.seq).copied().unwrap_or_default().saturating_add(1);
        let (is_edit, is_wanted) = (text.kind == TextKind::Edit, text.time >= rules.from);
        let is_newest = !is_edit || edits == rev;
        if is_wanted && is_newest {
            let bytes = text.bytes();
            if bytes > *left {
                return Ok(Some((text.time, text.at)));
            }
            *left -= bytes;
        }
        self.after = entry.seq;
        if is_edit && edits < rev {
            self.edits.insert(text.message.seq, edits);
        } else if is_edit {
            self.edits.remove(&text.message.seq);
        }
        if is_wanted && is_newest {
            let is_seen = rules.marks_seen && !unseen.entries.contains(&text.at);
            self.waiting.push_back(Text { is_seen, ..text });
        } else if is_wanted {
            self.passed += 1;
        }
        Ok(None)
    }
}

/// See the head of this file.
pub(super) struct Merge {
    rules: Rules,
    lanes: Vec<Lane>,
    /// The earliest first; where times are the same, by room and seq.
    due: BinaryHeap<Reverse<(Millis, RoomId, Seq, usize)>>,
    way: Way,
}

impl Merge {
    /// At the beginning, or where what was said is as new as that. Rooms come with their ends. What is older is read all
    /// the same, so `tell` is told how far that is.
    pub(super) async fn begin(
        store: &dyn Store,
        rooms: Vec<(RoomId, Seq)>,
        from: Millis,
        marks_seen: bool,
        tell: &dyn Fn(Way),
    ) -> anyhow::Result<Self> {
        let share = HELD_BYTES_MAX / rooms.len().max(1);
        let limit = (share / TEXT_BYTES).clamp(1, PAGE_ITEMS_MAX);
        let rules = Rules { from, marks_seen, limit, share };
        let mut way = Way { done: 0, of: rooms.iter().map(|(_, head)| head.0).sum() };
        let (mut lanes, mut due) = (Vec::with_capacity(rooms.len()), BinaryHeap::with_capacity(rooms.len()));
        for (index, (room, head)) in rooms.into_iter().enumerate() {
            let (waiting, edits) = (VecDeque::new(), HashMap::new());
            let mut lane = Lane { room, head, after: Seq(0), done: Seq(0), waiting, edits, passed: 0 };
            let tell_of_page = |after: Seq| tell(Way { done: way.done + after.0, ..way });
            let next = lane.load(store, &rules, false, &tell_of_page).await?;
            way.done += lane.pass(next);
            tell(way);
            due.extend(next.map(|(time, at)| Reverse((time, room, at, index))));
            lanes.push(lane);
        }
        Ok(Self { rules, lanes, due, way })
    }

    /// The next text; `None`: that was all.
    pub(super) async fn next(&mut self, store: &dyn Store) -> anyhow::Result<Option<Text>> {
        while let Some(Reverse((time, room, at, index))) = self.due.pop() {
            let Some(lane) = self.lanes.get_mut(index) else { continue };
            if lane.waiting.is_empty() {
                lane.load(store, &self.rules, true, &|_| {}).await?;
            }
            // Else it was deleted meanwhile, and the room's next one is not due yet.
            let text = if lane.next() == Some((time, at)) { lane.waiting.pop_front() } else { None };
            let next = match lane.next() {
                None => lane.load(store, &self.rules, false, &|_| {}).await?,
                next => next,
            };
            self.way.done += lane.pass(next);
            self.due.extend(next.map(|(time, at)| Reverse((time, room, at, index))));
            if text.is_some() {
                return Ok(text);
            }
        }
        Ok(None)
    }

    /// How far it is.
    pub(super) fn way(&self) -> Way {
        self.way
    }

    /// Edits so far that were left out, because their messages were edited again.
    pub(super) fn passed(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.passed).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use confab_protocol::codec::encode_entry;
    use confab_protocol::model::{Body, ClientId, DisplayName, Entry, RoomName, ServerRole, Topic, Username};

    use super::*;
    use crate::core::append::{Change, Item, Order, Said};
    use crate::core::audit::AuditKey;
    use crate::core::names::user_key;
    use crate::core::seal::Vault;
    use crate::core::store::{NewRoom, NewUser, RoomShape, new_incarnation};
    use crate::store::sqlite::Sqlite;

    const START: Millis = Millis(1_770_000_000_000);
    const AUTHOR: UserId = UserId::from_u128(9);

    async fn author(store: &Sqlite) {
        let username = Username::parse("olivia").unwrap();
        let user = NewUser {
            id: AUTHOR,
            username_key: user_key(&username),
            username,
            display_name: DisplayName::parse("Olivia").unwrap(),
            role: ServerRole::User,
            password_hash: None,
            self_room: RoomId::from_u128(9),
            incarnation: new_incarnation(9),
            created: START,
            audit_key: AuditKey::from_u128(9),
            ticket: None,
        };
        store.create_user(user).await.unwrap();
    }

    /// Appends, so many seconds after the start.
    async fn append(store: &Sqlite, room: RoomId, second: u64, content: EntryContent, change: Change) {
        let client_id = ClientId::from_u128(room.as_u128() * 1_000 + u128::from(second) + 1);
        let item = Item {
            room,
            author: AUTHOR,
            client_id,
            digest: client_id.to_bytes(),
            payload: encode_entry(&Entry { author: AUTHOR, client_id, content }),
            altered: false,
            change,
            acl_version: u64::MAX,
            order: Order::none(),
            then: Vec::new(),
            beside: None,
        };
        store.append(vec![item], START.after(second * 1_000)).await.unwrap();
    }

    /// A room that is made, and in which somebody says something in each of so many seconds; with its end.
    async fn room(store: &Sqlite, room: RoomId, messages: u64) -> (RoomId, Seq) {
        let (name, topic) = (RoomName::parse(&format!("room-{messages}")).unwrap(), Topic::parse("").unwrap());
        let shape = RoomShape::named(name.clone(), topic.clone(), false);
        let new = NewRoom { shape, incarnation: new_incarnation(room.as_u128()), created: START };
        append(store, room, 0, EntryContent::RoomCreated { name, topic }, Change::CreateRoom(Box::new(new))).await;
        for second in 1..=messages {
            let content = EntryContent::Message(Body::parse("hello").unwrap().into());
            append(store, room, second, content, Change::Message(Said::default())).await;
        }
        (room, Seq(messages + 1))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn it_is_known_how_far_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&folder.path().join("confab.db"), 1, Vault::default()).unwrap();
        author(&store).await;
        let rooms = vec![
            room(&store, RoomId::from_u128(1), 5).await,
            room(&store, RoomId::from_u128(2), 3).await,
            room(&store, RoomId::from_u128(3), 1).await,
        ];
        let told = RefCell::new(Vec::new());
        let tell = |way: Way| told.borrow_mut().push((way.done, way.of));
        let mut merge = Merge::begin(&store, rooms, START.after(2_500), false, &tell).await.unwrap();
        // What is older than is asked for is passed at once: three of each of the first two, and all of the last, which is a
        // page without a text.
        assert_eq!(told.take(), [(3, 12), (6, 12), (8, 12), (8, 12)]);
        let mut ways = Vec::new();
        while merge.next(&store).await.unwrap().is_some() {
            ways.push(merge.way().done);
        }
        assert_eq!(ways, [9, 10, 11, 12], "it ends where everything was asked for");
        assert_eq!(merge.way(), Way { done: 12, of: 12 });
        store.close().await;
    }
}
