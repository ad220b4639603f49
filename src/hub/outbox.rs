//! What waits to be written to one connection: bounded, emptied whole, without memory while idle.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use confab_protocol::close::CloseCode;
use confab_protocol::model::{Cursor, DeviceId, RoomId, SessionId, UserId};

use super::news::{self, NewsKey};

/// Pushes that may wait for one reader.
const OUTBOX_PUSHES_MAX: usize = 256;
/// Bytes that may wait for one reader.
const OUTBOX_BYTES_MAX: usize = 1024 * 1024;
/// A queue that grew past this gives its memory back when it is empty.
const KEPT_CAPACITY: usize = 32;

/// What a connection takes out at once.
pub type Batch = VecDeque<Bytes>;

/// Writes what it can of a batch without waiting, for a connection that waits: `Ok(None)` is all of it, `Ok(Some(_))` so
/// many bytes, whose rest is to be written before anything else, `Err` a link that is lost.
pub type TryWriter = Box<dyn Fn(&Batch) -> io::Result<Option<usize>> + Send + Sync>;

/// A batch of which so many bytes are written.
pub type Begun = (Batch, usize);

/// What each delivery touches.
#[derive(Default)]
struct Inner {
    queue: Batch,
    bytes: usize,
    /// What is true for a moment; there while something is.
    news: Option<Box<news::Queue>>,
    /// Rooms whose reader lags, and from where on; never longer than the rooms that are followed.
    lagging: Vec<Cursor>,
    close: Option<CloseCode>,
    /// There while the connection waits, with nothing of its own to write.
    waker: Option<Waker>,
    /// Set once for links that others may write to while the connection waits.
    writer: Option<TryWriter>,
    /// What a write for a waiting connection did not end.
    begun: Option<Begun>,
}

/// What no delivery touches.
#[derive(Default)]
struct Belongings {
    rooms: Vec<RoomId>,
    owner: Option<(UserId, DeviceId)>,
}

/// One connection as the hub sees it.
///
/// A push costs no wake-up of its connection where that can be had: while the connection waits and its link allows
/// it, the hub's flushers write what is queued straight to the link. Who uses the link is decided under the lock: a
/// waker is there exactly while the connection does not.
pub struct Outbox {
    session: SessionId,
    pub(super) status: news::Status,
    /// The epoch in which the standing of its owner was last found good.
    pub(super) good_at: AtomicU64,
    inner: Mutex<Inner>,
    belongings: Mutex<Belongings>,
}

/// What became of a push.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pushed {
    /// The connection takes it, or has been woken to.
    Queued,
    /// The connection waits; [`Outbox::flush`] writes for it.
    ToFlush,
    /// There is no place for it: the reader lags.
    Full,
}

impl Outbox {
    pub(super) fn new(session: SessionId) -> Self {
        Self {
            session,
            status: news::Status::new(),
            good_at: AtomicU64::new(0),
            inner: Mutex::default(),
            belongings: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn belongings(&self) -> MutexGuard<'_, Belongings> {
        self.belongings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose connection it is.
    #[must_use]
    pub const fn session(&self) -> SessionId {
        self.session
    }

    /// Lets others write while the connection waits.
    pub fn set_writer(&self, writer: TryWriter) {
        self.lock().writer = Some(writer);
    }

    pub(super) fn push(&self, push: &Bytes) -> Pushed {
        let mut inner = self.lock();
        if inner.close.is_some() {
            return Pushed::Queued;
        }
        if inner.queue.len() >= OUTBOX_PUSHES_MAX || inner.bytes + push.len() > OUTBOX_BYTES_MAX {
            return Pushed::Full;
        }
        inner.bytes += push.len();
        inner.queue.push_back(push.clone());
        if inner.writer.is_some() && inner.waker.is_some() {
            return Pushed::ToFlush;
        }
        wake(inner);
        Pushed::Queued
    }

    /// Puts news behind everything else. `false`: others had to go.
    pub(super) fn push_news(&self, key: NewsKey, push: &Bytes) -> bool {
        let mut inner = self.lock();
        if inner.close.is_some() {
            return true;
        }
        let has_place = inner.news.get_or_insert_default().push(key, push);
        wake(inner);
        has_place
    }

    /// The reader did not get what follows this cursor: behind what is queued, the connection feeds it from the store.
    pub(super) fn lag(&self, cursor: Cursor) {
        let mut inner = self.lock();
        inner.lagging.retain(|other| other.room != cursor.room);
        inner.lagging.push(cursor);
        wake(inner);
    }

    /// Writes what is queued for a connection that waits; wakes it if that is not enough. Returns how many pushes
    /// were written.
    pub(super) fn flush(&self) -> usize {
        let mut inner = self.lock();
        let Inner { queue, waker: Some(_), writer: Some(writer), .. } = &mut *inner else { return 0 };
        if queue.is_empty() {
            return 0;
        }
        let count = queue.len();
        match writer(queue) {
            Ok(None) => {
                queue.clear();
                queue.shrink_to(KEPT_CAPACITY);
                inner.bytes = 0;
                count
            }
            Ok(Some(written)) => {
                let batch = std::mem::take(queue);
                inner.bytes = 0;
                inner.begun = Some((batch, written));
                wake(inner);
                count
            }
            // The connection learns it by itself when it reads.
            Err(_) => {
                wake(inner);
                0
            }
        }
    }

    /// Asks the connection to close.
    pub fn close(&self, code: CloseCode) {
        let mut inner = self.lock();
        inner.close.get_or_insert(code);
        wake(inner);
    }

    /// Whether it was asked to, and why.
    pub fn asked_to_close(&self) -> Option<CloseCode> {
        self.lock().close
    }

    /// Waits until something is there and swaps it into the empty batch; rooms that lag behind it are added to
    /// `lagging`. An error asks to close. After `Pending` others may write to the link until [`Self::end_wait`].
    ///
    /// # Errors
    /// The code to close with.
    pub fn poll_take(
        &self,
        cx: &mut Context<'_>,
        batch: &mut Batch,
        lagging: &mut Vec<Cursor>,
    ) -> Poll<Result<(), CloseCode>> {
        let mut inner = self.lock();
        if let Some(code) = inner.close {
            return Poll::Ready(Err(code));
        }
        if inner.queue.is_empty() && inner.begun.is_none() && inner.lagging.is_empty() && inner.news.is_none() {
            match &mut inner.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            return Poll::Pending;
        }
        if batch.capacity() > KEPT_CAPACITY {
            *batch = Batch::new();
        }
        std::mem::swap(&mut inner.queue, batch);
        inner.bytes = 0;
        if let Some(news) = inner.news.take() {
            news.take_into(batch);
        }
        lagging.append(&mut inner.lagging);
        Poll::Ready(Ok(()))
    }

    /// The connection uses its link again. What others began is to be written before anything else.
    pub fn end_wait(&self) -> Option<Begun> {
        let mut inner = self.lock();
        inner.waker = None;
        inner.begun.take()
    }

    /// What a connection that does not wait has not taken yet, and the rooms in which its reader lags behind that.
    pub fn waiting(&self) -> (Batch, Vec<Cursor>) {
        let inner = self.lock();
        (inner.queue.clone(), inner.lagging.clone())
    }

    /// The connection is gone: nobody writes for it any more.
    pub(super) fn retire(&self) {
        let mut inner = self.lock();
        (inner.waker, inner.writer) = (None, None);
    }

    pub(super) fn owner(&self) -> Option<(UserId, DeviceId)> {
        self.belongings().owner
    }

    pub(super) fn set_owner(&self, user: UserId, device: DeviceId) {
        self.belongings().owner = Some((user, device));
    }

    pub(super) fn add_room(&self, room: RoomId) {
        self.belongings().rooms.push(room);
    }

    pub(super) fn remove_room(&self, room: RoomId) {
        self.belongings().rooms.retain(|other| *other != room);
    }

    pub(super) fn rooms(&self) -> Vec<RoomId> {
        self.belongings().rooms.clone()
    }

    pub(super) fn take_rooms(&self) -> Vec<RoomId> {
        std::mem::take(&mut self.belongings().rooms)
    }
}

/// Outside the lock.
fn wake(mut inner: MutexGuard<'_, Inner>) {
    let waker = inner.waker.take();
    drop(inner);
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn take(outbox: &Outbox) -> Poll<Result<usize, CloseCode>> {
        let mut batch = Batch::new();
        outbox.poll_take(&mut Context::from_waker(Waker::noop()), &mut batch, &mut Vec::new()).map_ok(|()| batch.len())
    }

    #[test]
    fn a_full_outbox_keeps_what_it_has_and_says_where_its_reader_lags() {
        use confab_protocol::model::{Incarnation, Seq};
        let outbox = Outbox::new(SessionId::NONE);
        let push = Bytes::from_static(b"push");
        assert!(take(&outbox).is_pending());
        for _ in 0..OUTBOX_PUSHES_MAX {
            assert_eq!(outbox.push(&push), Pushed::Queued);
        }
        assert_eq!(outbox.push(&push), Pushed::Full);
        let cursor = |room, seq| Cursor { room: RoomId::from_u128(room), incarnation: Incarnation(1), seq: Seq(seq) };
        for cursor in [cursor(1, 5), cursor(2, 6), cursor(1, 7)] {
            outbox.lag(cursor);
        }
        let (mut batch, mut lagging) = (Batch::new(), Vec::new());
        let taken = outbox.poll_take(&mut Context::from_waker(Waker::noop()), &mut batch, &mut lagging);
        assert_eq!((taken, batch.len()), (Poll::Ready(Ok(())), OUTBOX_PUSHES_MAX));
        assert_eq!(lagging, [cursor(2, 6), cursor(1, 7)], "the newest of each room, with what stands before them");
        let big = Bytes::from(vec![0; OUTBOX_BYTES_MAX / 2]);
        assert_eq!([&big, &big, &push].map(|push| outbox.push(push)), [Pushed::Queued, Pushed::Queued, Pushed::Full]);
        outbox.close(CloseCode::SlowConsumer);
        assert_eq!(take(&outbox), Poll::Ready(Err(CloseCode::SlowConsumer)));
        assert_eq!(outbox.push(&push), Pushed::Queued, "a closing reader is told once");
    }

    /// A link that takes so many bytes at a time and keeps them.
    fn link(takes: usize) -> (Outbox, Arc<Mutex<Vec<u8>>>) {
        let (outbox, wire) = (Outbox::new(SessionId::NONE), Arc::new(Mutex::new(Vec::new())));
        let written = Arc::clone(&wire);
        outbox.set_writer(Box::new(move |batch| {
            let all = batch.iter().flatten().copied().collect::<Vec<u8>>();
            let (now, rest) = all.split_at(takes.min(all.len()));
            written.lock().unwrap().extend_from_slice(now);
            Ok((!rest.is_empty()).then_some(now.len()))
        }));
        (outbox, wire)
    }

    #[test]
    fn a_flusher_writes_only_while_the_connection_waits() {
        let (outbox, wire) = link(100);
        let push = Bytes::from_static(b"push");
        // The connection is at work: it will look when it is done.
        assert_eq!((outbox.push(&push), outbox.flush()), (Pushed::Queued, 0));
        assert_eq!(take(&outbox), Poll::Ready(Ok(1)));
        assert_eq!(outbox.end_wait(), None);
        assert!(take(&outbox).is_pending());
        assert_eq!((outbox.push(&push), outbox.push(&push)), (Pushed::ToFlush, Pushed::ToFlush));
        assert_eq!((outbox.flush(), outbox.flush()), (2, 0), "together, and once");
        assert_eq!(*wire.lock().unwrap(), b"pushpush");
        // A frame of the peer woke it: its link is its own again.
        assert_eq!(outbox.push(&push), Pushed::ToFlush);
        assert_eq!(outbox.end_wait(), None);
        assert_eq!(outbox.flush(), 0);
        assert_eq!(take(&outbox), Poll::Ready(Ok(1)));
    }

    #[test]
    fn what_a_flusher_could_not_write_goes_first() {
        let (outbox, wire) = link(6);
        let push = Bytes::from_static(b"push");
        assert!(take(&outbox).is_pending());
        outbox.push(&push);
        outbox.push(&push);
        assert_eq!(outbox.flush(), 2);
        assert_eq!(*wire.lock().unwrap(), b"pushpu");
        assert_eq!(outbox.push(&push), Pushed::Queued, "it has been woken");
        assert_eq!(outbox.flush(), 0, "nobody writes between the halves of a frame");
        assert_eq!(take(&outbox), Poll::Ready(Ok(1)));
        let begun = Batch::from([push.clone(), push]);
        assert_eq!(outbox.end_wait(), Some((begun, 6)), "of the second the end is missing");
        assert_eq!(outbox.end_wait(), None);
    }
}
