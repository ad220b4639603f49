//! Reading: pages of a log, and subscriptions that begin at a cursor. Every subscription is a cursor; live
//! means that the cursor is the head.

use std::collections::HashSet;

use bytes::Bytes;
use confab_protocol::codec::{encode_push, page_len};
use confab_protocol::command::{History, HistoryRange, MessageState, Page, Reply, ResumeOutcome, Resumed, RoomTarget};
use confab_protocol::limits::{PAGE_BYTES_MAX, PAGE_ITEMS_MAX};
use confab_protocol::model::{Cursor, Envelope, Incarnation, RoomId, Seq, SessionId, UserId};
use confab_protocol::reject::{Reject, RejectCode};

use super::auth::Actor;
use super::log::Liveness;
use super::store::{LogPage, LogState};
use super::{Core, access};

/// A resume replays at most so many entries of a room by itself; past that the client pages.
pub const REPLAY_ENTRIES_MAX: u64 = 10_000;

/// Messages before a seq and from it on, as one page: nearest to the seq first, while they fit.
#[must_use]
pub fn around_page(mut before: Vec<Envelope>, mut after: Vec<Envelope>) -> Vec<Envelope> {
    let bytes = |entries: &[Envelope]| entries.iter().map(Envelope::payload_bytes).sum::<usize>();
    while bytes(&before) + bytes(&after) > PAGE_BYTES_MAX && before.len() + after.len() > 1 {
        if before.len() >= after.len() {
            before.remove(0);
        } else {
            after.pop();
        }
    }
    before.append(&mut after);
    before
}

/// A subscription that is not live yet: the connection feeds it from the log at its own pace.
#[derive(Debug)]
pub struct CatchUp {
    reader: UserId,
    cursor: Cursor,
    /// The head when it began: not live before this was read from the store.
    head: Seq,
    /// Where the reader had come in when this was first looked at.
    joined: Option<Seq>,
}

impl CatchUp {
    /// For a live reader who fell behind: they know the log up to the cursor.
    #[must_use]
    pub const fn behind(reader: UserId, cursor: Cursor) -> Self {
        Self { reader, cursor, head: Seq(0), joined: None }
    }

    /// Which room.
    #[must_use]
    pub const fn room(&self) -> RoomId {
        self.cursor.room
    }

    /// Up to where it was fed.
    #[must_use]
    pub const fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Up to where the log went when it began, if it began with a look at the log.
    #[must_use]
    pub const fn head(&self) -> Seq {
        self.head
    }
}

impl Core {
    /// A page of messages in their present state.
    ///
    /// # Errors
    /// Not a member.
    pub async fn history(&self, actor: &Actor, history: History) -> Result<Reply, Reject> {
        let room = history.room;
        let page = self.store.history(actor.user, history).await.map_err(|error| self.unavailable(&error))?;
        let page = page.ok_or(RejectCode::NotMember)?;
        access::check_place(page.reader)?;
        let seqs = page.entries.iter().map(|entry| entry.seq).collect();
        let states = self.store.message_states(room, actor.user, seqs).await;
        let mut states = states.map_err(|error| self.unavailable(&error))?;
        let mut entries = page.entries;
        let is_forward = matches!(history.range, HistoryRange::After(_));
        trim(&mut entries, &mut states, history.range);
        let next = match (is_forward, entries.first(), entries.last()) {
            (true, _, Some(last)) if last.seq < page.state.head => last.seq,
            // A first message at the very start of the log has nothing before it.
            (false, Some(first), _) if first.seq > page.state.first_seq => first.seq,
            _ => Seq(0),
        };
        Ok(Reply::Page(Page { states, ..self::page(room, page.state, entries, next) }))
    }

    /// A page of raw entries after a cursor.
    ///
    /// # Errors
    /// Not a member; another incarnation, or a cursor ahead of the head.
    pub async fn sync(&self, actor: &Actor, cursor: Cursor, limit: usize) -> Result<Reply, Reject> {
        let page = self.store.read(cursor.room, actor.user, cursor.seq, limit).await;
        let page = page.map_err(|error| self.unavailable(&error))?.ok_or(RejectCode::NotMember)?;
        access::check_place(page.reader)?;
        if is_other_history(cursor, page.state) {
            return Err(RejectCode::IncarnationChanged.into());
        }
        self.check_whole(cursor.room, cursor.seq, &page)?;
        let last = page.entries.last().map_or(page.state.head, |entry| entry.seq);
        let next = if last < page.state.head { last } else { Seq(0) };
        Ok(Reply::Page(self::page(cursor.room, page.state, page.entries, next)))
    }

    /// A log has no gaps: one that has is damaged, and nothing is given for the whole of it.
    fn check_whole(&self, room: RoomId, after: Seq, page: &LogPage) -> Result<(), Reject> {
        let first = after.next().max(page.state.first_seq);
        let seqs = (first.0..).zip(&page.entries);
        let is_dense = seqs.into_iter().all(|(seq, entry)| entry.seq == Seq(seq));
        if is_dense && (!page.entries.is_empty() || first > page.state.head) {
            return Ok(());
        }
        let what = format!("the log of room {room} has a hole after {}", after.0);
        Err(self.unavailable(&super::store::Error::Corrupt(what)))
    }

    /// Subscribes a connection to rooms from its cursors. What was missed follows as pushes, then what is new.
    ///
    /// # Errors
    /// Only those of the store, and none of the rooms is followed then; else each room has its own outcome.
    pub async fn resume(
        &self,
        actor: &Actor,
        session: SessionId,
        cursors: Vec<Cursor>,
    ) -> Result<(Reply, Vec<CatchUp>), Reject> {
        let mut outcomes = Vec::with_capacity(cursors.len());
        let mut catching_up = Vec::with_capacity(cursors.len());
        let mut seen = HashSet::with_capacity(cursors.len());
        for cursor in cursors.into_iter().filter(|cursor| seen.insert(cursor.room)) {
            let resumed = match self.resume_room(actor, session, cursor).await {
                Ok(resumed) => resumed,
                Err(reject) => {
                    outcomes.iter().for_each(|other: &Resumed| self.delivery.detach(session, other.room));
                    self.delivery.detach(session, cursor.room);
                    return Err(reject);
                }
            };
            let from = match resumed.outcome {
                ResumeOutcome::Recovered => Some(cursor.seq),
                ResumeOutcome::GapTooLong | ResumeOutcome::IncarnationChanged => Some(resumed.head),
                ResumeOutcome::Refused => None,
            };
            // Nobody else follows one's own log; who asks again is here already.
            if from.is_some() && self.delivery.admit(session, cursor.room) && cursor.room != actor.self_room {
                self.note_here(cursor.room, actor.user);
            }
            catching_up.extend(from.map(|seq| CatchUp {
                reader: actor.user,
                cursor: Cursor { room: cursor.room, incarnation: resumed.incarnation, seq },
                head: resumed.head,
                joined: None,
            }));
            outcomes.push(resumed);
        }
        Ok((Reply::Resumed(outcomes), catching_up))
    }

    async fn resume_room(&self, actor: &Actor, session: SessionId, cursor: Cursor) -> Result<Resumed, Reject> {
        let refused = Resumed {
            room: cursor.room,
            incarnation: Incarnation(0),
            first_seq: Seq(0),
            head: Seq(0),
            outcome: ResumeOutcome::Refused,
        };
        // Attach before the store is read: whatever commits after these reads, a leaving too, is seen by the hub.
        self.delivery.attach(session, cursor.room);
        let page = self.store.read(cursor.room, actor.user, Seq(u64::MAX >> 1), 1).await;
        let page = page.map_err(|error| self.unavailable(&error))?;
        let Some(page) = page.filter(|page| access::check_place(page.reader).is_ok()) else {
            self.delivery.detach(session, cursor.room);
            return Ok(refused);
        };
        let LogState { incarnation, first_seq, head } = page.state;
        let outcome = if is_other_history(cursor, page.state) {
            ResumeOutcome::IncarnationChanged
        } else if cursor.seq.next() < first_seq || head.0 - cursor.seq.0 > REPLAY_ENTRIES_MAX {
            ResumeOutcome::GapTooLong
        } else {
            ResumeOutcome::Recovered
        };
        Ok(Resumed { room: cursor.room, incarnation, first_seq, head, outcome })
    }

    /// The next push of a subscription that is behind; `None` once it is live.
    ///
    /// # Errors
    /// Only those of the store.
    pub async fn catch_up(&self, session: SessionId, catching_up: &mut CatchUp) -> Result<Option<Bytes>, Reject> {
        let CatchUp { reader, cursor, head, joined } = catching_up;
        if !self.delivery.is_attached(session, cursor.room)
            || cursor.seq >= *head && self.delivery.go_live(session, *cursor) == Liveness::Live
        {
            return Ok(None);
        }
        let page = self.store.read(cursor.room, *reader, cursor.seq, PAGE_ITEMS_MAX).await;
        let page = page.map_err(|error| self.unavailable(&error))?;
        // Who has left meanwhile is fed up to their leaving, by the same snapshot as the entries.
        let until = page.as_ref().map_or(Seq(0), |page| access::readable_until(page.reader));
        let Some(page) = page.filter(|_| cursor.seq < until) else {
            self.delivery.detach(session, cursor.room);
            return Ok(None);
        };
        let now = page.reader.map(|place| place.joined);
        let before = std::mem::replace(joined, now);
        if cursor.seq.next() < page.state.first_seq {
            if before.is_some() && before != now {
                // They left and came back meanwhile, to a room that hides what was before, and follow anew if they want to.
                self.delivery.detach(session, cursor.room);
                return Ok(None);
            }
            // Retired meanwhile: they are told so when they come back with their cursor.
            return Err(RejectCode::IncarnationChanged.into());
        }
        self.check_whole(cursor.room, cursor.seq, &page)?;
        let allowed = page.entries.partition_point(|entry| entry.seq <= until);
        let (entries, _) = page.entries.split_at(page_len(&page.entries).min(allowed));
        let Some(last) = entries.last() else {
            if cursor.seq == page.state.head && self.delivery.has_left(session, cursor.room) {
                // They left and came back meanwhile, and follow anew if they want to.
                self.delivery.detach(session, cursor.room);
                return Ok(None);
            }
            // Delivered but not in the store: the log is not what it was.
            return Err(RejectCode::IncarnationChanged.into());
        };
        cursor.seq = last.seq;
        Ok(Some(encode_push(cursor.room, cursor.incarnation, entries)))
    }

    /// Ends a connection's interest in a room.
    ///
    /// # Errors
    /// An unknown room.
    pub async fn unsubscribe(&self, actor: &Actor, session: SessionId, target: RoomTarget) -> Result<Reply, Reject> {
        let room = match target {
            RoomTarget::Id(id) => id,
            name @ (RoomTarget::Name(_) | RoomTarget::Invite(_)) => self.open_room(actor, name).await?.id,
        };
        if self.delivery.is_attached(session, room) {
            self.delivery.detach(session, room);
            self.note_gone(actor.user, self.delivery.status(session), &[room]);
        }
        Ok(Reply::Ok)
    }
}

/// A page without what is known of its messages.
pub(super) fn page(room: RoomId, state: LogState, entries: Vec<Envelope>, next: Seq) -> Page {
    let LogState { incarnation, first_seq, head } = state;
    Page { room, incarnation, entries, next, first_seq, head, states: Vec::new() }
}

/// Leaves out messages at the far end until the rest and what is known of it fit a page.
fn trim(entries: &mut Vec<Envelope>, states: &mut Vec<MessageState>, range: HistoryRange) {
    // The end that is farther from what was asked for.
    let is_end_far = |entries: &[Envelope]| match (range, entries.first(), entries.last()) {
        (HistoryRange::Around(seq), Some(first), Some(last)) => {
            last.seq.0.saturating_sub(seq.0) >= seq.0.saturating_sub(first.seq.0)
        }
        (range, ..) => matches!(range, HistoryRange::After(_)),
    };
    let of_state = |state: &MessageState| -> usize {
        32 + state.reactions.iter().map(|reaction| 32 + reaction.emoji.len()).sum::<usize>()
    };
    let mut bytes =
        entries.iter().map(Envelope::payload_bytes).sum::<usize>() + states.iter().map(of_state).sum::<usize>();
    while bytes > PAGE_BYTES_MAX && entries.len() > 1 {
        let gone = if is_end_far(entries) { entries.pop() } else { Some(entries.remove(0)) };
        let Some(gone) = gone else { return };
        bytes -= gone.payload_bytes();
        if let Some(index) = states.iter().position(|state| state.seq == gone.seq) {
            bytes -= of_state(&states.remove(index));
        }
    }
}

/// Whether this cursor is of another history than the log's.
fn is_other_history(cursor: Cursor, state: LogState) -> bool {
    let other = cursor.incarnation != Incarnation(0) && cursor.incarnation != state.incarnation;
    other || cursor.seq > state.head
}
