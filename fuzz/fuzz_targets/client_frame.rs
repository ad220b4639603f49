//! Bytes from a client: decoding never panics, and what it lets through is valid by type, so that it can
//! be written and read again.
#![no_main]

use confab_protocol::codec::{decode_client_frame, encode_client_frame};
use confab_protocol::command::{ClientFrame, Command};
use confab_protocol::limits::{FRAME_BYTES_MAX, PAGE_ITEMS_MAX, RESUME_CURSORS_MAX};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(frame) = decode_client_frame(data) else { return };
    assert!(data.len() <= FRAME_BYTES_MAX);
    match &frame {
        ClientFrame::Request { command: Ok(Command::Profiles(users)), .. } => assert!(users.len() <= PAGE_ITEMS_MAX),
        ClientFrame::Request { command: Ok(Command::Resume(cursors)), .. } => {
            assert!(cursors.len() <= RESUME_CURSORS_MAX);
        }
        // A refused command has no encoding.
        ClientFrame::Request { command: Err(_), .. } => return,
        _ => {}
    }
    assert_eq!(decode_client_frame(&encode_client_frame(&frame)), Ok(frame));
});
