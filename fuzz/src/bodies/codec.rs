//! Bytes as a peer, a store or another node may hand them out: decoding never panics, and what it lets through is
//! valid by type.

use bytes::Bytes;
use confab_protocol::codec::{
    decode_client_frame, decode_entry, decode_server_frame, encode_client_frame, encode_entry, encode_server_frame,
};
use confab_protocol::command::{ClientFrame, Command, Ephemeral, News, Push, Reply, ServerFrame};
use confab_protocol::limits::{FRAME_BYTES_MAX, PAGE_ITEMS_MAX, RESUME_CURSORS_MAX};
use confab_protocol::model::{EntryContent, Envelope};

/// Words that a reader may traverse for each word of a frame.
const TRAVERSAL_FACTOR: usize = 8;

/// Bytes from a client: what is let through can be written and read again.
pub fn client_frame(data: &[u8]) {
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
}

/// Bytes of an entry: the same.
pub fn entry(data: &[u8]) {
    let Ok(entry) = decode_entry(data) else { return };
    assert!(data.len() <= FRAME_BYTES_MAX);
    // A kind of a later version is not ours to write.
    if entry.content != EntryContent::Unknown {
        assert_eq!(decode_entry(&encode_entry(&entry)), Ok(entry));
    }
}

/// Bytes from a server: no more is read than a small multiple of the frame, and payloads lie within it.
pub fn server_frame(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    let Ok(frame) = decode_server_frame(&bytes) else { return };
    assert!(data.len() <= FRAME_BYTES_MAX);
    match &frame {
        ServerFrame::Push(Push::Entries(push)) => check_entries(&bytes, &push.entries),
        ServerFrame::Reply { result: Ok(Reply::Page(page)), .. } => check_entries(&bytes, &page.entries),
        ServerFrame::Reply { result: Ok(Reply::Rooms { rooms, .. }), .. } => {
            assert!(rooms.len() <= TRAVERSAL_FACTOR * data.len());
            let texts: usize = rooms.iter().map(|room| room.name.len() + room.topic.len()).sum();
            assert!(texts <= TRAVERSAL_FACTOR * data.len());
        }
        _ => {}
    }
    // Pointers that share their target make a frame say more than it weighs; what is within the bound of
    // a frame when written out must read the same.
    if !is_amplified(&frame) {
        let again = encode_server_frame(&frame);
        // A kind of a later version is not ours to write.
        let is_unknown = matches!(
            frame,
            ServerFrame::Unknown
                | ServerFrame::Push(Push::Unknown)
                | ServerFrame::Reply { result: Ok(Reply::Unknown), .. }
        );
        assert!(is_unknown || decode_server_frame(&again) == Ok(frame));
    }
}

fn check_entries(frame: &Bytes, entries: &[Envelope]) {
    let range = frame.as_ptr_range();
    for payload in entries.iter().map(|entry| &entry.payload).filter(|payload| !payload.is_empty()) {
        let inner = payload.as_ptr_range();
        assert!(range.start <= inner.start && inner.end <= range.end);
        let _ = decode_entry(payload);
    }
}

/// Whether writing it out could pass the bound of a frame, which encoders may assume to hold.
fn is_amplified(frame: &ServerFrame) -> bool {
    const ITEM_BYTES: usize = 160;
    let bytes = match frame {
        ServerFrame::Push(Push::Entries(push)) => entries_bytes(&push.entries),
        ServerFrame::Reply { result: Ok(Reply::Page(page)), .. } => entries_bytes(&page.entries),
        ServerFrame::Reply { result: Ok(Reply::Rooms { rooms, .. }), .. } => {
            rooms.iter().map(|room| room.name.len() + room.topic.len() + ITEM_BYTES).sum()
        }
        ServerFrame::Reply { result: Ok(Reply::Members { members, .. }), .. } => {
            members.iter().map(|member| member.username.len() + member.display_name.len() + ITEM_BYTES).sum()
        }
        ServerFrame::Reply { result: Ok(Reply::Resumed(outcomes)), .. } => outcomes.len() * ITEM_BYTES,
        ServerFrame::Reply { result: Ok(Reply::Found { hits, .. }), .. } => {
            hits.iter().map(|hit| hit.message.payload_bytes() + ITEM_BYTES).sum()
        }
        ServerFrame::Reply { result: Ok(Reply::Here { users, .. }), .. } => users.len() * ITEM_BYTES,
        ServerFrame::Push(Push::Ephemeral(Ephemeral { news: News::Here(users), .. })) => users.len() * ITEM_BYTES,
        ServerFrame::Reply { result: Ok(Reply::Session(session)), .. } => {
            session.access_token.expose().len() + session.refresh_token.expose().len() + 1024
        }
        _ => 0,
    };
    bytes + 1024 > FRAME_BYTES_MAX
}

fn entries_bytes(entries: &[Envelope]) -> usize {
    entries.iter().map(|entry| entry.payload_bytes() + 64).sum()
}
