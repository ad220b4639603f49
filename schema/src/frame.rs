//! Frames over a byte stream: a little-endian `u32` length before each. WebSocket has boundaries already.

use bytes::{Buf, Bytes, BytesMut};

use crate::limits::FRAME_BYTES_MAX;

/// The announced length is over [`FRAME_BYTES_MAX`]; nothing was allocated for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("frame of {0} bytes announced, at most {FRAME_BYTES_MAX} are allowed")]
pub struct FrameTooLarge(pub u32);

/// Bytes of the length before a frame.
pub const PREFIX_BYTES: usize = 4;

/// Takes the next whole frame out of what was read, or `None` until more bytes are there.
///
/// # Errors
/// [`FrameTooLarge`] as soon as the length is known.
pub fn take_frame(buffer: &mut BytesMut) -> Result<Option<Bytes>, FrameTooLarge> {
    let Some(prefix) = buffer.first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
    let announced = u32::from_le_bytes(*prefix);
    let length = usize::try_from(announced).unwrap_or(usize::MAX);
    if length > FRAME_BYTES_MAX {
        return Err(FrameTooLarge(announced));
    }
    if buffer.len() < PREFIX_BYTES + length {
        return Ok(None);
    }
    buffer.advance(PREFIX_BYTES);
    Ok(Some(buffer.split_to(length).freeze()))
}

/// What goes before a frame of this length.
#[must_use]
pub fn prefix(frame_bytes: usize) -> [u8; PREFIX_BYTES] {
    debug_assert!(frame_bytes <= FRAME_BYTES_MAX, "frame of {frame_bytes} bytes");
    u32::try_from(frame_bytes).unwrap_or(u32::MAX).to_le_bytes()
}

/// Appends a frame with its length.
pub fn put_frame(buffer: &mut Vec<u8>, frame: &[u8]) {
    buffer.extend_from_slice(&prefix(frame.len()));
    buffer.extend_from_slice(frame);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_however_the_bytes_arrive() {
        let mut stream = Vec::new();
        for frame in [&b"one"[..], b"", b"three"] {
            put_frame(&mut stream, frame);
        }
        let mut buffer = BytesMut::new();
        let mut seen = Vec::new();
        for byte in stream {
            buffer.extend_from_slice(&[byte]);
            while let Some(frame) = take_frame(&mut buffer).unwrap() {
                seen.push(frame);
            }
        }
        assert_eq!(seen, [&b"one"[..], b"", b"three"]);
        assert!(buffer.is_empty());
    }

    #[test]
    fn an_oversized_length_is_refused_before_its_bytes_come() {
        let mut buffer = BytesMut::from(&[0xff, 0xff, 0xff, 0x7f][..]);
        assert_eq!(take_frame(&mut buffer), Err(FrameTooLarge(0x7fff_ffff)));
    }
}
