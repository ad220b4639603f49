//! Frames over a byte stream.

use bytes::{Bytes, BytesMut};
use confab_protocol::frame::{FrameTooLarge, put_frame, take_frame};
use confab_protocol::limits::FRAME_BYTES_MAX;

/// A stream, and in the first byte the size of the pieces that it comes in: the same frames come out as if all of
/// it came at once, and put together again they are what came.
pub fn frame(data: &[u8]) {
    let Some((step, stream)) = data.split_first() else { return };
    let mut whole = BytesMut::from(stream);
    let (frames, error) = take_all(&mut whole);
    let (mut buffer, mut in_pieces, mut error_in_pieces) = (BytesMut::new(), Vec::new(), None);
    for piece in stream.chunks(usize::from(*step) + 1) {
        buffer.extend_from_slice(piece);
        let (more, error) = take_all(&mut buffer);
        in_pieces.extend(more);
        if error.is_some() {
            error_in_pieces = error;
            break;
        }
    }
    assert_eq!((&frames, error), (&in_pieces, error_in_pieces));
    let mut again = Vec::new();
    for frame in &frames {
        assert!(frame.len() <= FRAME_BYTES_MAX);
        put_frame(&mut again, frame);
    }
    again.extend_from_slice(&whole);
    assert_eq!(again, stream);
}

fn take_all(buffer: &mut BytesMut) -> (Vec<Bytes>, Option<FrameTooLarge>) {
    let mut frames = Vec::new();
    loop {
        match take_frame(buffer) {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => return (frames, None),
            Err(error) => return (frames, Some(error)),
        }
    }
}
