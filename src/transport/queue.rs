//! Frames that wait to be written, as references to the shared bytes. Only for the moment of a write do headers and
//! frames become one buffer, which is the thread's: an idle connection keeps none.

use std::cell::RefCell;
use std::collections::VecDeque;

use bytes::Bytes;

/// What one write takes; a larger frame takes several.
pub(super) const WRITE_BYTES_MAX: usize = 64 * 1024;
/// Room for the longest header of any transport.
pub(super) const HEADER_BYTES_MAX: usize = 10;
/// Queues that grew past this give their memory back.
const KEPT_FRAMES: usize = 16;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What a transport puts before a frame, by its length.
pub(super) type HeaderOf = fn(frame_bytes: usize) -> ([u8; HEADER_BYTES_MAX], usize);

/// See the module.
pub(super) struct FrameQueue {
    header_of: HeaderOf,
    frames: VecDeque<Bytes>,
    frames_bytes: usize,
    /// How much of the first frame, with its header, is written.
    written: usize,
}

impl FrameQueue {
    pub(super) const fn new(header_of: HeaderOf) -> Self {
        Self { header_of, frames: VecDeque::new(), frames_bytes: 0, written: 0 }
    }

    /// Another header from now on; nothing may be queued.
    pub(super) fn set_header(&mut self, header_of: HeaderOf) {
        debug_assert!(self.is_empty(), "what is half written keeps its header");
        self.header_of = header_of;
    }

    pub(super) fn push(&mut self, frame: Bytes) {
        self.frames_bytes += frame.len();
        self.frames.push_back(frame);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Those that are not wholly written.
    pub(super) fn frames(&self) -> impl Iterator<Item = &Bytes> {
        self.frames.iter()
    }

    /// Whether the first frame is half written.
    pub(super) const fn is_inside_frame(&self) -> bool {
        self.written > 0
    }

    pub(super) fn pending_bytes(&self) -> usize {
        self.frames_bytes.saturating_sub(self.written)
    }

    /// Hands over what is next to be written.
    pub(super) fn with_next<T>(&self, write: impl FnOnce(&[u8]) -> T) -> T {
        with_gathered(&self.frames, self.header_of, self.written, WRITE_BYTES_MAX, write)
    }

    /// So much of it is written.
    pub(super) fn advance(&mut self, count: usize) {
        self.written += count;
        while let Some(frame) = self.frames.front() {
            let (_, header_bytes) = (self.header_of)(frame.len());
            let whole = header_bytes + frame.len();
            if self.written < whole {
                return;
            }
            self.written -= whole;
            self.frames_bytes -= frame.len();
            self.frames.pop_front();
        }
        self.frames.shrink_to(KEPT_FRAMES);
    }
}

/// Headers and frames one after the other, but for what is written already, and no more than so many bytes.
pub(super) fn with_gathered<T>(
    frames: &VecDeque<Bytes>,
    header_of: HeaderOf,
    written: usize,
    bytes_max: usize,
    write: impl FnOnce(&[u8]) -> T,
) -> T {
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.clear();
        let mut skip = written;
        for frame in frames {
            let (header, header_bytes) = header_of(frame.len());
            let (header, _) = header.split_at(header_bytes);
            for part in [header, frame] {
                let (skipped, rest) = part.split_at(skip.min(part.len()));
                skip -= skipped.len();
                let room = bytes_max - scratch.len();
                scratch.extend_from_slice(rest.get(..room).unwrap_or(rest));
            }
            if scratch.len() >= bytes_max {
                break;
            }
        }
        let result = write(scratch);
        // A thread keeps what usual pushes need.
        scratch.clear();
        scratch.shrink_to(WRITE_BYTES_MAX);
        result
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header_of(frame_bytes: usize) -> ([u8; HEADER_BYTES_MAX], usize) {
        ([b'h'; HEADER_BYTES_MAX], if frame_bytes < 126 { 2 } else { 4 })
    }

    /// However the writes are cut, the same bytes come out.
    #[test]
    fn a_write_goes_on_where_the_last_one_ended() {
        let frames = [0, 1, 125, 126, 300, 70_000].map(|length| Bytes::from(vec![b'x'; length]));
        let mut whole = Vec::new();
        for frame in &frames {
            let (header, header_bytes) = header_of(frame.len());
            whole.extend_from_slice(&header[..header_bytes]);
            whole.extend_from_slice(frame);
        }
        for step in [1, 2, 3, 7, 100, 1_000, WRITE_BYTES_MAX] {
            let mut queue = FrameQueue::new(header_of);
            frames.iter().for_each(|frame| queue.push(frame.clone()));
            let mut wire = Vec::new();
            while !queue.is_empty() {
                let taken = queue.with_next(|bytes| {
                    assert!(!bytes.is_empty() && bytes.len() <= WRITE_BYTES_MAX);
                    let (taken, _) = bytes.split_at(step.min(bytes.len()));
                    wire.extend_from_slice(taken);
                    taken.len()
                });
                queue.advance(taken);
            }
            assert!(wire == whole && queue.pending_bytes() == 0 && !queue.is_inside_frame(), "by {step}");
        }
    }
}
