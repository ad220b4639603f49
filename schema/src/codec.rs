//! Bytes and back. Only this folder touches the generated code.
//!
//! Decoding never panics. A server holds little more for a frame than its texts, for its lists have bounds of their
//! own; a client at most some hundred bytes for each of the frame, where its server sends long lists of nothing
//! (`cargo xtask fuzz --frames` measures both). A frame that is not of the protocol is a [`FrameError`], which ends the connection; a request that can be told apart but not
//! served carries its own [`crate::reject::Reject`], which does not.

mod account;
mod amend;
mod door;
mod entry;
mod here;
mod moderation;
mod read;
mod reply;
mod request;
mod search;
mod values;

use std::cell::RefCell;

use bytes::{BufMut, Bytes, BytesMut};
use capnp::message::{Builder, ReaderOptions, ReaderSegments, ScratchSpaceHeapAllocator};

pub use self::entry::{decode_entry, encode_entry};
pub use self::here::encode_ephemeral;
pub use self::moderation::{decode_audit, encode_audit};
pub use self::reply::{decode_server_frame, encode_push, encode_server_frame};
pub use self::request::{decode_client_frame, encode_client_frame};
use crate::limits::{FRAME_BYTES_MAX, NESTING_MAX, PAGE_BYTES_MAX, PAGE_ITEMS_MAX, TRAVERSAL_WORDS_MAX};
use crate::model::Envelope;

/// Bytes that are not a frame of this protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the texts say it")]
pub enum FrameError {
    #[error("the frame is larger than {FRAME_BYTES_MAX} bytes")]
    TooLarge,
    #[error("the frame is not one whole unpacked segment")]
    Framing,
    #[error("the frame's pointers or lengths are not valid")]
    Invalid,
    #[error("the frame is of a kind that this version does not know")]
    UnknownKind,
}

const WORD_BYTES: usize = 8;

/// Scratch for one encoding: above the largest frame, so that one segment always suffices.
const SCRATCH_BYTES: usize = FRAME_BYTES_MAX + 16 * 1024;

thread_local! {
    /// One buffer a thread, zeroed once and after each use only as far as it was written. It lives as
    /// long as the thread pool does, hence the leak.
    static SCRATCH: RefCell<ScratchSpaceHeapAllocator<'static>> =
        RefCell::new(ScratchSpaceHeapAllocator::new(Box::leak(vec![0; SCRATCH_BYTES].into_boxed_slice())));
}

/// Builds a message in the thread's scratch buffer and copies it out once, framed.
fn encode(build: impl FnOnce(&mut Builder<&mut ScratchSpaceHeapAllocator<'static>>)) -> Bytes {
    SCRATCH.with_borrow_mut(|scratch| {
        let mut message = Builder::new(scratch);
        build(&mut message);
        let segments = message.get_segments_for_output();
        debug_assert_eq!(segments.len(), 1, "an encoder passed the frame bound");
        let segment = segments.first().copied().unwrap_or_default();
        let mut frame = BytesMut::with_capacity(WORD_BYTES + segment.len());
        frame.put_u32_le(0);
        frame.put_u32_le(u32::try_from(segment.len() / WORD_BYTES).unwrap_or(u32::MAX));
        frame.put_slice(segment);
        frame.freeze()
    })
}

/// The only segment of a frame.
struct OneSegment<'a>(&'a [u8]);

impl ReaderSegments for OneSegment<'_> {
    fn get_segment(&self, index: u32) -> Option<&[u8]> {
        (index == 0).then_some(self.0)
    }

    fn len(&self) -> usize {
        1
    }
}

/// Checks the framing and opens a reader with our bounds; reads nothing yet.
fn open(frame: &[u8]) -> Result<capnp::message::Reader<OneSegment<'_>>, FrameError> {
    if frame.len() > FRAME_BYTES_MAX {
        return Err(FrameError::TooLarge);
    }
    let (header, segment) = frame.split_first_chunk::<WORD_BYTES>().ok_or(FrameError::Framing)?;
    let [count @ .., w0, w1, w2, w3] = *header;
    let words = usize::try_from(u32::from_le_bytes([w0, w1, w2, w3])).unwrap_or(usize::MAX);
    if count != [0; 4] || words == 0 || words.checked_mul(WORD_BYTES) != Some(segment.len()) {
        return Err(FrameError::Framing);
    }
    let traversal = TRAVERSAL_WORDS_MAX.min(words * 8);
    let options = ReaderOptions { traversal_limit_in_words: Some(traversal), nesting_limit: NESTING_MAX };
    Ok(capnp::message::Reader::new(OneSegment(segment), options))
}

impl From<capnp::Error> for FrameError {
    fn from(_: capnp::Error) -> Self {
        Self::Invalid
    }
}

impl From<capnp::NotInSchema> for FrameError {
    fn from(_: capnp::NotInSchema) -> Self {
        Self::UnknownKind
    }
}

/// How many of these entries fit one push or page: at most [`PAGE_ITEMS_MAX`] and [`PAGE_BYTES_MAX`], at
/// least one.
#[must_use]
pub fn page_len(entries: &[Envelope]) -> usize {
    let mut bytes = 0;
    let fits = |entry: &&Envelope| {
        bytes += entry.payload_bytes();
        bytes <= PAGE_BYTES_MAX
    };
    entries.iter().take(PAGE_ITEMS_MAX).take_while(fits).count().max(1).min(entries.len())
}
