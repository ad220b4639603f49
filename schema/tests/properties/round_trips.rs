//! decode(encode(x)) = x, and what the bounds promise about sizes.

use bytes::Bytes;
use confab_protocol::codec::{
    decode_audit, decode_client_frame, decode_entry, decode_server_frame, encode_audit, encode_client_frame,
    encode_entry, encode_ephemeral, encode_push, encode_server_frame, page_len,
};
use confab_protocol::command::{
    ClientFrame, Command, EntriesPush, Ephemeral, FoundAt, Hello, Hit, Member, News, PresenceStatus, Publish, Push,
    Reply, Room, Search, Secret, ServerFrame,
};
use confab_protocol::frame::{put_frame, take_frame};
use confab_protocol::limits;
use confab_protocol::model::{
    Body, ClientId, Cursor, Entry, EntryContent, Envelope, Incarnation, Millis, RoomId, RoomKind, RoomRole, Seq,
    UserId, Visibility,
};
use confab_protocol::rights::RoomRights;
use proptest::prelude::*;

use crate::cases;
use crate::generators::{client_frame, entry, envelopes, ephemeral, server_frame};
use crate::moderation::record;

proptest! {
    #![proptest_config(cases(250))]

    #[test]
    fn client_frames_round_trip(frame in client_frame()) {
        let bytes = encode_client_frame(&frame);
        prop_assert!(bytes.len() <= limits::FRAME_BYTES_MAX);
        prop_assert_eq!(decode_client_frame(&bytes), Ok(frame));
    }

    #[test]
    fn records_of_the_audit_round_trip(record in record()) {
        prop_assert_eq!(decode_audit(&encode_audit(&record)), Ok(record));
    }

    #[test]
    fn server_frames_round_trip(frame in server_frame()) {
        let bytes = encode_server_frame(&frame);
        prop_assert!(bytes.len() <= limits::FRAME_BYTES_MAX);
        prop_assert_eq!(decode_server_frame(&bytes), Ok(frame));
    }

    #[test]
    fn entries_round_trip(entry in entry()) {
        prop_assert_eq!(decode_entry(&encode_entry(&entry)), Ok(entry));
    }

    #[test]
    fn an_encoding_depends_on_nothing_before_it(first in server_frame(), second in server_frame()) {
        let alone = encode_server_frame(&second);
        let _ = encode_server_frame(&first);
        prop_assert_eq!(encode_server_frame(&second), alone, "the scratch buffer leaks into frames");
    }

    #[test]
    fn frames_need_no_alignment(frame in server_frame(), shift in 1..8_usize) {
        let mut buffer = vec![0xff; shift];
        buffer.extend_from_slice(&encode_server_frame(&frame));
        prop_assert_eq!(decode_server_frame(&Bytes::from(buffer).slice(shift..)), Ok(frame));
    }

    #[test]
    fn a_push_is_encoded_as_the_frame_it_is(room: u128, incarnation: u64, entries in envelopes()) {
        let (room, incarnation) = (RoomId::from_u128(room), Incarnation(incarnation));
        let bytes = encode_push(room, incarnation, &entries);
        let frame = ServerFrame::Push(Push::Entries(EntriesPush { room, incarnation, entries }));
        prop_assert_eq!(&bytes, &encode_server_frame(&frame));
    }

    #[test]
    fn news_are_encoded_as_the_frame_they_are(news in ephemeral()) {
        prop_assert_eq!(encode_ephemeral(&news), encode_server_frame(&ServerFrame::Push(Push::Ephemeral(news))));
    }

    #[test]
    fn payloads_are_slices_of_the_frame(entries in envelopes()) {
        let bytes = encode_push(RoomId::from_u128(1), Incarnation(1), &entries);
        let Ok(ServerFrame::Push(Push::Entries(push))) = decode_server_frame(&bytes) else { panic!("a push") };
        let frame = bytes.as_ptr_range();
        for payload in push.entries.iter().map(|entry| &entry.payload).filter(|payload| !payload.is_empty()) {
            prop_assert!(frame.contains(&payload.as_ptr()), "it was copied");
        }
    }

    #[test]
    fn a_page_always_fits_a_frame(sizes in proptest::collection::vec(0..17_000_usize, 0..250)) {
        let envelope = |(seq, size): (u64, &usize)| Envelope {
            seq: Seq(seq), time: Millis(0), rev: 0, payload: vec![1; *size].into(),
            rewritten: (seq % 3 == 0).then(|| Box::new(envelope_of(seq, *size / 2))),
        };
        let entries: Vec<Envelope> = (1..).zip(&sizes).map(envelope).collect();
        check_pages(&entries);
    }

    #[test]
    fn a_stream_of_frames_comes_out_as_it_went_in(
        frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..10),
        pieces in proptest::collection::vec(1..64_usize, 1..20),
    ) {
        let mut stream = Vec::new();
        frames.iter().for_each(|frame| put_frame(&mut stream, frame));
        let mut buffer = bytes::BytesMut::new();
        let (mut seen, mut rest) = (Vec::new(), stream.as_slice());
        for piece in pieces.iter().cycle() {
            let (now, later) = rest.split_at(rest.len().min(*piece));
            buffer.extend_from_slice(now);
            while let Some(frame) = take_frame(&mut buffer).expect("small frames") {
                seen.push(frame.to_vec());
            }
            rest = later;
            if rest.is_empty() { break; }
        }
        prop_assert_eq!(seen, frames);
    }
}

fn envelope_of(seq: u64, size: usize) -> Envelope {
    Envelope { seq: Seq(seq), time: Millis(0), rev: 1, payload: vec![2; size].into(), rewritten: None }
}

/// Pages of everything: progress with each, and each in a frame.
fn check_pages(mut entries: &[Envelope]) {
    assert_eq!(page_len(&[]), 0);
    while !entries.is_empty() {
        let (page, rest) = entries.split_at(page_len(entries));
        assert!((1..=limits::PAGE_ITEMS_MAX).contains(&page.len()), "{} entries", page.len());
        let bytes = encode_push(RoomId::from_u128(1), Incarnation(1), page);
        assert!(bytes.len() <= limits::FRAME_BYTES_MAX, "{} entries in {} bytes", page.len(), bytes.len());
        assert!(decode_server_frame(&bytes).is_ok());
        entries = rest;
    }
}

#[test]
fn the_fullest_pages_fit_a_frame() {
    let largest = limits::PAGE_BYTES_MAX / limits::PAGE_ITEMS_MAX;
    for size in [0, 1, largest - 1, largest, largest + 1, limits::BODY_BYTES_MAX + 512] {
        let payload = Bytes::from(vec![1; size]);
        let envelope =
            |seq| Envelope { seq: Seq(seq), time: Millis(0), rev: 0, payload: payload.clone(), rewritten: None };
        check_pages(&(1..=300).map(envelope).collect::<Vec<_>>());
    }
}

#[test]
fn the_longest_message_fits_everywhere() {
    // A grapheme of four bytes, as often as both bounds allow.
    let body = Body::parse(&"\u{1f600}".repeat(4_000)).expect("16,000 bytes");
    let publish = Publish {
        room: RoomId::from_u128(1),
        client_id: ClientId::from_u128(2),
        resend: true,
        body,
        reply_to: Some(Seq(3)),
    };
    let frame = ClientFrame::Request { id: 1, command: Ok(Command::Publish(publish.clone())) };
    assert_eq!(decode_client_frame(&encode_client_frame(&frame)), Ok(frame));
    let content = EntryContent::Message(publish.body.into());
    let payload = encode_entry(&Entry { author: UserId::from_u128(3), client_id: publish.client_id, content });
    check_pages(&[Envelope { seq: Seq(1), time: Millis(0), rev: 0, payload, rewritten: None }]);
}

#[test]
fn the_fullest_lists_fit_a_frame() {
    let room = Room {
        id: RoomId::from_u128(u128::MAX),
        kind: RoomKind::Channel,
        name: "n".repeat(limits::ROOM_NAME_BYTES_MAX),
        topic: "t".repeat(limits::TOPIC_BYTES_MAX),
        incarnation: Incarnation(u64::MAX),
        first_seq: Seq(1),
        head: Seq(u64::MAX),
        role: Some(RoomRole::Owner),
        members: u32::MAX,
        created: Millis(u64::MAX),
        slow_mode_ms: 0,
        retention_ms: 0,
        visibility: Visibility::All,
        knocks: false,
        rights: RoomRights { post: RoomRole::Guest, ..RoomRights::default() },
        read_seq: Seq(0),
        unread: 0,
        mentions: 0,
    };
    let member = Member {
        user: UserId::from_u128(u128::MAX),
        username: "u".repeat(limits::USERNAME_BYTES_MAX),
        display_name: "d".repeat(limits::DISPLAY_NAME_BYTES_MAX),
        role: Some(RoomRole::Owner),
    };
    let rooms = Reply::Rooms { rooms: vec![room; limits::PAGE_ROOMS_MAX], next: RoomId::from_u128(1) };
    let members = Reply::Members { members: vec![member; limits::PAGE_ITEMS_MAX], next: UserId::from_u128(1) };
    for reply in [rooms, members] {
        let frame = ServerFrame::Reply { id: 1, result: Ok(reply) };
        let bytes = encode_server_frame(&frame);
        assert!(bytes.len() <= limits::FRAME_BYTES_MAX, "{} bytes", bytes.len());
        assert_eq!(decode_server_frame(&bytes), Ok(frame));
    }
    let cursor = Cursor { room: RoomId::from_u128(u128::MAX), incarnation: Incarnation(1), seq: Seq(u64::MAX) };
    let resume = Command::Resume(vec![cursor; limits::RESUME_CURSORS_MAX]);
    let frame = ClientFrame::Request { id: 1, command: Ok(resume) };
    assert_eq!(decode_client_frame(&encode_client_frame(&frame)), Ok(frame));
}

/// As large as the bounds on a page's payloads and on people that are named allow.
#[test]
fn the_fullest_answers_about_now_fit_a_frame() {
    let (room, user) = (RoomId::from_u128(u128::MAX), UserId::from_u128(u128::MAX));
    let message = envelope_of(u64::MAX, limits::PAGE_BYTES_MAX / limits::PAGE_HITS_MAX);
    let hits = vec![Hit { room, message }; limits::PAGE_HITS_MAX];
    let next = FoundAt { time: Millis(u64::MAX), room, seq: Seq(u64::MAX) };
    let users = vec![(user, PresenceStatus::Invisible); limits::PRESENCE_CONNECTIONS_MAX];
    let news = News::Here(users.iter().map(|(user, status)| (*user, Some(*status))).collect());
    for frame in [
        ServerFrame::Reply { id: 1, result: Ok(Reply::Found { hits, next: Some(next) }) },
        ServerFrame::Reply { id: 1, result: Ok(Reply::Here { count: u32::MAX, users }) },
        ServerFrame::Push(Push::Ephemeral(Ephemeral { room, news })),
    ] {
        let bytes = encode_server_frame(&frame);
        assert!(bytes.len() <= limits::FRAME_BYTES_MAX, "{} bytes", bytes.len());
        assert_eq!(decode_server_frame(&bytes), Ok(frame));
    }
    let query = "\u{1f600}".repeat(limits::QUERY_BYTES_MAX / 4);
    let search = Search { room: Some(room), query, before: Some(next), limit: limits::PAGE_HITS_MAX };
    let frame = ClientFrame::Request { id: 1, command: Ok(Command::Search(search)) };
    assert_eq!(decode_client_frame(&encode_client_frame(&frame)), Ok(frame));
}

#[test]
fn the_fullest_hello_is_within_its_bound() {
    let token = Some(Secret::new("t".repeat(limits::TOKEN_BYTES_MAX)));
    let client = "c".repeat(limits::CLIENT_NAME_BYTES_MAX);
    let frame = ClientFrame::Hello(Hello { version_min: 1, version_max: 1, client, token, features: u64::MAX });
    let bytes = encode_client_frame(&frame);
    assert!(bytes.len() <= limits::HELLO_BYTES_MAX);
    assert_eq!(decode_client_frame(&bytes), Ok(frame));
}
