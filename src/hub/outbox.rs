//! What waits to be written to one connection: bounded, emptied whole, without memory while idle.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use confab_protocol::close::CloseCode;
use confab_protocol::model::{DeviceId, RoomId, SessionId, UserId};

/// Pushes that may wait for one reader.
const OUTBOX_PUSHES_MAX: usize = 256;
/// Bytes that may wait for one reader.
const OUTBOX_BYTES_MAX: usize = 1024 * 1024;
/// A queue that grew past this gives its memory back when it is empty.
const KEPT_CAPACITY: usize = 32;

/// What a connection takes out at once.
pub type Batch = VecDeque<Bytes>;

#[derive(Default)]
struct Inner {
    queue: Batch,
    bytes: usize,
    close: Option<CloseCode>,
    waker: Option<Waker>,
    rooms: Vec<RoomId>,
    owner: Option<(UserId, DeviceId)>,
}

/// One connection as the hub sees it.
pub struct Outbox {
    session: SessionId,
    inner: Mutex<Inner>,
}

impl Outbox {
    pub(super) fn new(session: SessionId) -> Self {
        Self { session, inner: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose connection it is.
    #[must_use]
    pub const fn session(&self) -> SessionId {
        self.session
    }

    /// Queues a push. `false`: it is full, and the connection will close as a slow consumer.
    pub(super) fn push(&self, push: &Bytes) -> bool {
        let mut inner = self.lock();
        if inner.close.is_some() {
            return true;
        }
        let full = inner.queue.len() >= OUTBOX_PUSHES_MAX || inner.bytes + push.len() > OUTBOX_BYTES_MAX;
        if full {
            // What waits is dropped with the connection; the reader resumes from its cursor.
            inner.queue = Batch::new();
            inner.bytes = 0;
            inner.close = Some(CloseCode::SlowConsumer);
        } else {
            inner.bytes += push.len();
            inner.queue.push_back(push.clone());
        }
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
        !full
    }

    /// Asks the connection to close.
    pub fn close(&self, code: CloseCode) {
        let mut inner = self.lock();
        inner.close.get_or_insert(code);
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits until something is there and swaps it into the empty batch. An error asks to close.
    ///
    /// # Errors
    /// The code to close with.
    pub fn poll_take(&self, cx: &mut Context<'_>, batch: &mut Batch) -> Poll<Result<(), CloseCode>> {
        let mut inner = self.lock();
        if let Some(code) = inner.close {
            return Poll::Ready(Err(code));
        }
        if inner.queue.is_empty() {
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
        Poll::Ready(Ok(()))
    }

    pub(super) fn owner(&self) -> Option<(UserId, DeviceId)> {
        self.lock().owner
    }

    pub(super) fn set_owner(&self, user: UserId, device: DeviceId) {
        self.lock().owner = Some((user, device));
    }

    pub(super) fn add_room(&self, room: RoomId) {
        self.lock().rooms.push(room);
    }

    pub(super) fn remove_room(&self, room: RoomId) {
        self.lock().rooms.retain(|other| *other != room);
    }

    pub(super) fn take_rooms(&self) -> Vec<RoomId> {
        std::mem::take(&mut self.lock().rooms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(outbox: &Outbox) -> Poll<Result<usize, CloseCode>> {
        let mut batch = Batch::new();
        outbox.poll_take(&mut Context::from_waker(Waker::noop()), &mut batch).map_ok(|()| batch.len())
    }

    #[test]
    fn a_full_outbox_closes_its_reader_and_frees_its_memory() {
        let outbox = Outbox::new(SessionId::NONE);
        let push = Bytes::from_static(b"push");
        assert!(take(&outbox).is_pending());
        for _ in 0..OUTBOX_PUSHES_MAX {
            assert!(outbox.push(&push));
        }
        assert_eq!(take(&outbox), Poll::Ready(Ok(OUTBOX_PUSHES_MAX)));
        let big = Bytes::from(vec![0; OUTBOX_BYTES_MAX / 2]);
        assert!(outbox.push(&big) && outbox.push(&big) && !outbox.push(&push));
        assert_eq!(take(&outbox), Poll::Ready(Err(CloseCode::SlowConsumer)));
        assert_eq!(outbox.lock().queue.capacity(), 0);
        assert!(outbox.push(&push), "a closing reader is told once");
    }
}
