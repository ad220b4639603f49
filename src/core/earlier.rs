//! What was said before in the room of a message, for plugins that are granted it. It is read before they are asked: what
//! they call of the host never waits. Where none of them wants it, nothing is read.

use std::collections::VecDeque;
use std::sync::Arc;

use confab_protocol::codec::decode_entry;
use confab_protocol::command::History;
use confab_protocol::limits::{BODY_BYTES_MAX, PAGE_BYTES_MAX};
use confab_protocol::model::{EntryContent, Envelope, Millis, RoomId, Seq, UserId};

use super::Core;
use super::access::STRANGER;
use super::store::{Result, Store};

/// At most so many messages ...
pub const MESSAGES_MAX: usize = 50;
/// ... with so many bytes of text together; the oldest are left out for it.
pub const BYTES_MAX: usize = 64 * 1024;
const _: () = assert!(BODY_BYTES_MAX + 512 <= PAGE_BYTES_MAX / 2);

/// A message that was there before.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Earlier {
    pub seq: Seq,
    pub author: UserId,
    /// As it reads now.
    pub body: Arc<str>,
    /// When it was said.
    pub time: Millis,
    /// It is not its first text.
    pub edited: bool,
}

impl Earlier {
    /// Of a page as everybody sees it; `None`: no message.
    #[must_use]
    pub fn of(entry: &Envelope) -> Option<Self> {
        let decoded = decode_entry(&entry.payload).ok()?;
        let EntryContent::Message(message) = decoded.content else { return None };
        let (author, body) = (decoded.author, message.body.as_str().into());
        Some(Self { seq: entry.seq, author, body, time: entry.time, edited: entry.rev > 0 })
    }
}

/// The newest messages of a room, within the bounds.
#[derive(Default, Debug)]
pub struct Window {
    messages: VecDeque<Earlier>,
    bytes: usize,
}

impl Window {
    /// Takes in a newer one.
    pub fn push(&mut self, message: Earlier) {
        self.bytes += message.body.len();
        self.messages.push_back(message);
        while self.messages.len() > MESSAGES_MAX || self.bytes > BYTES_MAX {
            let Some(oldest) = self.messages.pop_front() else { return };
            self.bytes -= oldest.body.len();
        }
    }

    /// Leaves out what stands before a place of the log.
    fn begin_at(&mut self, begin: Seq) {
        while let Some(oldest) = self.messages.front().filter(|oldest| oldest.seq < begin) {
            self.bytes -= oldest.body.len();
            self.messages.pop_front();
        }
    }

    /// As plugins are given them, the oldest first.
    #[must_use]
    pub fn messages(&self) -> Arc<[Earlier]> {
        self.messages.iter().cloned().collect()
    }
}

impl Extend<Earlier> for Window {
    fn extend<T: IntoIterator<Item = Earlier>>(&mut self, messages: T) {
        messages.into_iter().for_each(|message| self.push(message));
    }
}

impl Core {
    /// What plugins that want it are given; `None`: the store failed, and those who need it decide nothing.
    pub(super) async fn earlier(&self, room: RoomId, author: UserId) -> Option<Arc<[Earlier]>> {
        match self.read_earlier(room, author).await {
            Ok(messages) => Some(messages),
            Err(error) => {
                self.unavailable(&error);
                None
            }
        }
    }

    async fn read_earlier(&self, room: RoomId, author: UserId) -> Result<Arc<[Earlier]>> {
        // Neither waits for the other, so that the author waits for the slower one alone.
        let messages = window(&*self.store, room, Seq(0));
        let (begin, mut found) = tokio::try_join!(self.first_seen(room, author), messages)?;
        found.begin_at(begin);
        Ok(found.messages())
    }

    /// A room may begin for each with their own coming: what was said before its author came is nothing to go by.
    async fn first_seen(&self, room: RoomId, author: UserId) -> Result<Seq> {
        let seen = self.store.read(room, author, Seq(u64::MAX >> 1), 1).await?;
        Ok(seen.map_or(Seq(0), |page| page.state.first_seq))
    }
}

/// What everybody sees of what was said in a room before a seq; 0: up to now. Mostly one page of the store; more where
/// messages are long.
///
/// # Errors
/// Only those of the store.
pub async fn window(store: &dyn Store, room: RoomId, before: Seq) -> Result<Window> {
    let (mut pages, mut count, mut bytes, mut before) = (Vec::new(), 0, 0, before);
    while count < MESSAGES_MAX && bytes <= BYTES_MAX {
        let Some(page) = store.history(STRANGER, History::before(room, before, MESSAGES_MAX - count)).await? else {
            break;
        };
        let (entries, begin) = (page.entries, page.state.first_seq);
        let Some(first) = entries.first() else { break };
        before = first.seq;
        count += entries.len();
        let messages: Vec<Earlier> = entries.iter().filter_map(Earlier::of).collect();
        bytes += messages.iter().map(|message| message.body.len()).sum::<usize>();
        pages.push(messages);
        // No message is half a page: one that is not half full left none out.
        let bytes_of_page: usize = entries.iter().map(Envelope::payload_bytes).sum();
        if before <= begin || bytes_of_page < PAGE_BYTES_MAX / 2 {
            break;
        }
    }
    let mut window = Window::default();
    window.extend(pages.into_iter().rev().flatten());
    Ok(window)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(seq: u64, bytes: usize) -> Earlier {
        let (author, body) = (UserId::from_u128(1), "x".repeat(bytes).into());
        Earlier { seq: Seq(seq), author, body, time: Millis(seq), edited: false }
    }

    fn seqs(window: &Window) -> Vec<u64> {
        window.messages().iter().map(|message| message.seq.0).collect()
    }

    #[test]
    fn the_oldest_go_first() {
        let mut window = Window::default();
        assert_eq!(window.messages().len(), 0);
        window.extend((1..=60).map(|seq| message(seq, 10)));
        assert_eq!(seqs(&window), (11..=60).collect::<Vec<_>>());
        // Four of the longest fill it.
        window.extend((61..=63).map(|seq| message(seq, 16 * 1024)));
        assert_eq!(seqs(&window).len(), 50);
        window.extend((64..=65).map(|seq| message(seq, 16 * 1024)));
        assert_eq!(seqs(&window), [62, 63, 64, 65]);
    }

    /// Bounded first and begun then is as begun first and bounded then: that is why both can be read at once.
    #[test]
    fn it_may_begin_later_than_it_was_read() {
        let bytes = |seq: u64| if seq.is_multiple_of(3) { 16 * 1024 } else { 10 };
        let messages = || (1..=60).map(|seq| message(seq, bytes(seq)));
        for begin in 0..=61 {
            let (mut late, mut early) = (Window::default(), Window::default());
            late.extend(messages());
            late.begin_at(Seq(begin));
            early.extend(messages().filter(|message| message.seq >= Seq(begin)));
            assert_eq!((seqs(&late), late.bytes), (seqs(&early), early.bytes), "{begin}");
        }
    }
}
