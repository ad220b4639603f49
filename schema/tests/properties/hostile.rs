//! Bytes that no encoder of ours made: noise, damaged frames, and frames built to cost much.

use bytes::{Bytes, BytesMut};
use confab_protocol::codec::{
    FrameError, decode_client_frame, decode_entry, decode_server_frame, encode_client_frame, encode_entry,
    encode_server_frame,
};
use confab_protocol::command::{
    ClientFrame, Command, EntriesPush, Ephemeral, Hit, News, PresenceStatus, Push, Reply, Room, ServerFrame,
};
use confab_protocol::frame::take_frame;
use confab_protocol::limits::{FRAME_BYTES_MAX, HELLO_BYTES_MAX, PAGE_ITEMS_MAX, RESUME_CURSORS_MAX};
use confab_protocol::model::{Envelope, Incarnation, Millis, RoomId, RoomKind, Seq, UserId, Visibility};
use confab_protocol::rights::RoomRights;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::cases;
use crate::generators::{client_frame, entry, server_frame};

const WORD_BYTES: usize = 8;
/// What a reader may traverse for each word of a frame (CONTRACT: `min(8 x frame words, 128 Ki)`).
const TRAVERSAL_FACTOR: usize = 8;

/// Every decoder; the answers do not matter, but over the bound there is only one.
fn decode_all(bytes: &Bytes) {
    let results = [decode_client_frame(bytes).err(), decode_server_frame(bytes).err(), decode_entry(bytes).err()];
    if bytes.len() > FRAME_BYTES_MAX {
        assert_eq!(results, [Some(FrameError::TooLarge); 3], "{} bytes were read", bytes.len());
    }
    let _ = take_frame(&mut BytesMut::from(bytes.as_ref()));
}

#[derive(Clone, Debug)]
enum Damage {
    Flip(Index, u8),
    Overwrite(Index, u64),
    Truncate(Index),
    Extend(Vec<u8>),
    Splice {
        from: Index,
        to: Index,
        len: usize,
    },
    /// Beyond the bound, with a segment table that says so.
    Grow(usize),
    /// The segment table is put right, so that what is inside is read.
    Reframe,
}

fn damage() -> impl Strategy<Value = Damage> {
    // Small numbers and pointers hit more than noise does.
    let word = prop_oneof![any::<u64>(), 0..16_u64, (0..64_u64, 0..16_u64).prop_map(|(low, high)| high << 32 | low)];
    prop_oneof![
        6 => (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        4 => (any::<Index>(), word).prop_map(|(at, word)| Damage::Overwrite(at, word)),
        1 => any::<Index>().prop_map(Damage::Truncate),
        1 => vec(any::<u8>(), 1..32).prop_map(Damage::Extend),
        3 => (any::<Index>(), any::<Index>(), 1..64_usize)
            .prop_map(|(from, to, len)| Damage::Splice { from, to, len }),
        1 => (FRAME_BYTES_MAX..FRAME_BYTES_MAX + 64).prop_map(Damage::Grow),
        4 => Just(Damage::Reframe),
    ]
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.len() < 2 * WORD_BYTES {
            return;
        }
        match self {
            Self::Flip(at, bit) => {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            Self::Overwrite(at, word) => {
                let at = at.index(bytes.len() / WORD_BYTES) * WORD_BYTES;
                bytes[at..at + WORD_BYTES].copy_from_slice(&word.to_le_bytes());
            }
            Self::Truncate(at) => bytes.truncate(at.index(bytes.len())),
            Self::Extend(more) => bytes.extend_from_slice(more),
            Self::Splice { from, to, len } => {
                let from = from.index(bytes.len());
                let piece = bytes[from..(from + len).min(bytes.len())].to_vec();
                let to = to.index(bytes.len());
                bytes.splice(to..to, piece);
            }
            Self::Grow(len) => {
                bytes.resize(*len, 0);
                reframe(bytes);
            }
            Self::Reframe => reframe(bytes),
        }
    }
}

fn reframe(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(WORD_BYTES).max(2 * WORD_BYTES), 0);
    let words = u32::try_from(bytes.len() / WORD_BYTES - 1).expect("small");
    bytes[..4].fill(0);
    bytes[4..8].copy_from_slice(&words.to_le_bytes());
}

fn damaged(frame: &[u8], damages: &[Damage]) -> Bytes {
    let mut bytes = frame.to_vec();
    damages.iter().for_each(|damage| damage.apply(&mut bytes));
    bytes.into()
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn noise_never_panics(noise in vec(any::<u8>(), 0..512)) {
        decode_all(&noise.into());
    }

    #[test]
    fn framed_noise_never_panics(noise in vec(any::<u8>(), 16..512), kind in 0..4_u64) {
        let mut bytes = noise;
        reframe(&mut bytes);
        decode_all(&bytes.clone().into());
        // With a root struct of two data words and two pointers, so that reading starts.
        bytes[8..16].copy_from_slice(&(2_u64 << 48 | 2 << 32).to_le_bytes());
        if let Some(discriminant) = bytes.get_mut(16..24) {
            discriminant.copy_from_slice(&kind.to_le_bytes());
        }
        decode_all(&bytes.into());
    }
}

proptest! {
    #![proptest_config(cases(350))]

    #[test]
    fn damaged_client_frames_never_panic(frame in client_frame(), damages in vec(damage(), 1..6)) {
        decode_all(&damaged(&encode_client_frame(&frame), &damages));
    }

    #[test]
    fn damaged_server_frames_never_panic(frame in server_frame(), damages in vec(damage(), 1..6)) {
        decode_all(&damaged(&encode_server_frame(&frame), &damages));
    }

    #[test]
    fn damaged_entries_never_panic(entry in entry(), damages in vec(damage(), 1..6)) {
        decode_all(&damaged(&encode_entry(&entry), &damages));
    }

    #[test]
    fn what_decodes_from_damage_is_within_bounds(frame in client_frame(), damages in vec(damage(), 1..6)) {
        // Valid by type: whatever was read can be written and read again.
        if let Ok(ClientFrame::Request { id, command: Ok(command) }) =
            decode_client_frame(&damaged(&encode_client_frame(&frame), &damages))
        {
            let again = ClientFrame::Request { id, command: Ok(command) };
            prop_assert_eq!(decode_client_frame(&encode_client_frame(&again)), Ok(again));
        }
    }

    #[test]
    fn a_frame_is_exactly_one_segment(frame in client_frame(), trailing in 1..24_usize) {
        let bytes = encode_client_frame(&frame);
        check_framing(&[&bytes[..], &vec![0; trailing]].concat());
        check_framing(&bytes[..bytes.len() - trailing.min(bytes.len())]);
        // A second, empty segment in the table; standard stream framing pads the table to a word.
        let mut two = bytes.to_vec();
        two[..4].copy_from_slice(&1_u32.to_le_bytes());
        check_framing(&two);
        two.splice(8..8, [0; 8]);
        check_framing(&two);
        let mut many = bytes.to_vec();
        many[..4].fill(0xff);
        check_framing(&many);
    }
}

#[track_caller]
fn check_framing(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    assert_eq!(decode_client_frame(&bytes), Err(FrameError::Framing));
    assert_eq!(decode_server_frame(&bytes), Err(FrameError::Framing));
    assert_eq!(decode_entry(&bytes), Err(FrameError::Framing));
}

#[test]
fn every_truncation_of_a_frame_is_refused() {
    let frame = encode_client_frame(&ClientFrame::Request { id: 1, command: Ok(Command::Ping) });
    (0..frame.len()).for_each(|len| check_framing(&frame[..len]));
}

#[test]
fn a_hello_over_its_bound_is_refused() {
    let hello = confab_protocol::command::Hello {
        version_min: 1,
        version_max: 1,
        client: "c".into(),
        token: None,
        features: 0,
    };
    let mut bytes = encode_client_frame(&ClientFrame::Hello(hello)).to_vec();
    bytes.resize(HELLO_BYTES_MAX, 0);
    reframe(&mut bytes);
    assert!(decode_client_frame(&bytes).is_ok(), "unused words are no harm within the bound");
    bytes.resize(HELLO_BYTES_MAX + WORD_BYTES, 0);
    reframe(&mut bytes);
    assert_eq!(decode_client_frame(&bytes), Err(FrameError::TooLarge));
}

// ------------------------------------------------------------------------------ frames that cost much

/// A frame as words, to bend its pointers.
pub(crate) struct Words(pub(crate) Vec<u64>);

impl Words {
    pub(crate) fn of(frame: &[u8]) -> Self {
        let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("8 bytes"));
        Self(frame[WORD_BYTES..].chunks_exact(WORD_BYTES).map(word).collect())
    }

    pub(crate) fn frame(&self) -> Bytes {
        let mut bytes = vec![0; WORD_BYTES];
        self.0.iter().for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
        reframe(&mut bytes);
        bytes.into()
    }

    /// Where the pointer in this word leads.
    pub(crate) fn target(&self, at: usize) -> usize {
        let offset = (self.0[at] as u32).cast_signed() >> 2;
        at.checked_add_signed(1 + offset as isize).expect("inside")
    }

    /// The word of the n-th pointer of the struct that the pointer in this word leads to.
    pub(crate) fn member(&self, at: usize, n: usize) -> usize {
        let data_words = usize::from((self.0[at] >> 32) as u16);
        self.target(at) + data_words + n
    }

    /// The word of the n-th pointer of an element of the struct list that this word leads to.
    pub(crate) fn element_member(&self, at: usize, element: usize, n: usize) -> usize {
        let tag = self.target(at);
        let (data_words, pointers) = ((self.0[tag] >> 32) as u16, (self.0[tag] >> 48) as u16);
        tag + 1 + element * usize::from(data_words + pointers) + usize::from(data_words) + n
    }

    /// Makes one pointer lead where another does.
    fn alias(&mut self, at: usize, other: usize) {
        let offset = self.target(other) as i64 - at as i64 - 1;
        self.0[at] =
            (self.0[other] & !0xffff_ffff) | u64::from(((offset as i32) << 2).cast_unsigned()) | self.0[other] & 3;
    }

    /// Turns the struct list that this word leads to into one of many elements of no size.
    fn hollow(&mut self, at: usize, count: u32) {
        let tag = self.target(at);
        self.0[at] = self.0[at] & 0xffff_ffff | 7 << 32;
        self.0[tag] = u64::from(count) << 2;
    }

    /// The same with a list of `Void`, which is read as one of structs.
    fn void(&mut self, at: usize, count: u32) {
        self.0[at] = self.0[at] & 0xffff_ffff | u64::from(count) << 35;
    }
}

/// ClientFrame.request, then its one pointer.
pub(crate) const IN_REQUEST: fn(&Words) -> usize = |words| words.member(words.member(0, 0), 0);

fn rooms_frame(count: usize, name_bytes: usize) -> Bytes {
    let room = |name: String| Room {
        id: RoomId::NONE,
        kind: RoomKind::Channel,
        name,
        topic: String::new(),
        incarnation: Incarnation(0),
        first_seq: Seq(0),
        head: Seq(0),
        role: None,
        members: 0,
        created: Millis(0),
        slow_mode_ms: 0,
        retention_ms: 0,
        visibility: Visibility::All,
        knocks: false,
        rights: RoomRights::default(),
        read_seq: Seq(0),
        unread: 0,
        mentions: 0,
    };
    let mut rooms = vec![room("n".repeat(name_bytes))];
    rooms.resize(count, room(String::new()));
    encode_server_frame(&ServerFrame::Reply { id: 1, result: Ok(Reply::Rooms { rooms, next: RoomId::NONE }) })
}

/// The list of rooms, from the root: reply, rooms, list.
fn list_in_reply(words: &Words) -> usize {
    words.member(words.member(words.member(0, 0), 0), 0)
}

#[test]
fn texts_that_share_their_bytes_are_bounded() {
    for (count, name_bytes) in [(2, 60_000), (7, 50_000), (12, 40_000), (200, 30_000), (300, 2_000)] {
        let mut words = Words::of(&rooms_frame(count, name_bytes));
        let list = list_in_reply(&words);
        let name = 1; // id, name, topic
        let first = words.element_member(list, 0, name);
        for element in 1..count {
            let at = words.element_member(list, element, name);
            words.alias(at, first);
        }
        let frame = words.frame();
        match decode_server_frame(&frame) {
            Err(FrameError::Invalid) => assert!(count > 2, "{count} x {name_bytes} is within the factor"),
            Err(other) => panic!("{count} x {name_bytes}: {other}"),
            Ok(ServerFrame::Reply { result: Ok(Reply::Rooms { rooms, .. }), .. }) => {
                let read: usize = rooms.iter().map(|room| room.name.len()).sum();
                assert_eq!((rooms.len(), read), (count, count * name_bytes), "the pointers were not bent");
                assert!(read <= TRAVERSAL_FACTOR * frame.len(), "{count} x {name_bytes}: {read} bytes");
            }
            Ok(other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn payloads_that_share_their_bytes_are_bounded() {
    let envelope =
        |seq, len| Envelope { seq: Seq(seq), time: Millis(0), rev: 0, payload: vec![7; len].into(), rewritten: None };
    let entries = std::iter::once(envelope(1, 40_000)).chain((2..=400).map(|seq| envelope(seq, 0))).collect();
    let push = Push::Entries(EntriesPush { room: RoomId::NONE, incarnation: Incarnation(1), entries });
    let mut words = Words::of(&encode_server_frame(&ServerFrame::Push(push)));
    // Push, EntriesPush; its pointers are the room and the list.
    let list = words.member(words.member(words.member(0, 0), 0), 1);
    let first = words.element_member(list, 0, 0);
    for element in 1..400 {
        let at = words.element_member(list, element, 0);
        words.alias(at, first);
    }
    assert_eq!(decode_server_frame(&words.frame()), Err(FrameError::Invalid));
}

#[test]
fn lists_of_nothing_are_bounded() {
    let frame = rooms_frame(4, 20_000);
    let words_total = frame.len() / WORD_BYTES;
    let bend: [fn(&mut Words, usize, u32); 2] = [Words::hollow, Words::void];
    for bend in bend {
        for count in [0, 1, 1_000, 10_000, 25_000, 1 << 20, (1 << 29) - 1] {
            let mut words = Words::of(&frame);
            let list = list_in_reply(&words);
            bend(&mut words, list, count);
            match decode_server_frame(&words.frame()) {
                Err(FrameError::Invalid) => assert!(count > 10_000, "{count} nothings are within the factor"),
                Ok(ServerFrame::Reply { result: Ok(Reply::Rooms { rooms, .. }), .. }) => {
                    assert_eq!(rooms.len(), count as usize, "the list was not bent");
                    assert!(rooms.len() <= TRAVERSAL_FACTOR * words_total, "{} rooms", rooms.len());
                }
                other => panic!("{count}: {other:?}"),
            }
        }
    }
}

/// The same for what was found and who is here: their lists are as hollow as any.
#[test]
fn hits_and_people_of_nothing_are_bounded() {
    let message = Envelope { seq: Seq(1), time: Millis(0), rev: 0, payload: vec![7; 600].into(), rewritten: None };
    let hits = vec![Hit { room: RoomId::NONE, message }; 50];
    let users = vec![(UserId::NONE, PresenceStatus::Away); 1_000];
    let news = News::Here(vec![(UserId::NONE, None); 1_000]);
    // The list's word from the root: of each reply its first pointer is one; news name their room first.
    let frames: [(ServerFrame, usize); 3] = [
        (ServerFrame::Reply { id: 1, result: Ok(Reply::Found { hits, next: None }) }, 0),
        (ServerFrame::Reply { id: 1, result: Ok(Reply::Here { count: 1, users }) }, 0),
        (ServerFrame::Push(Push::Ephemeral(Ephemeral { room: RoomId::NONE, news })), 1),
    ];
    for (frame, pointer) in frames {
        let frame = encode_server_frame(&frame);
        for count in [0, 1, 10_000, 100_000, (1 << 29) - 1] {
            let mut words = Words::of(&frame);
            let list = words.member(words.member(words.member(0, 0), 0), pointer);
            words.hollow(list, count);
            let len = match decode_server_frame(&words.frame()) {
                Err(FrameError::Invalid) => {
                    assert!(count > 10_000, "{count} nothings are within the factor");
                    continue;
                }
                Ok(ServerFrame::Reply { result: Ok(Reply::Found { hits, .. }), .. }) => hits.len(),
                Ok(ServerFrame::Reply { result: Ok(Reply::Here { users, .. }), .. }) => users.len(),
                Ok(ServerFrame::Push(Push::Ephemeral(Ephemeral { news: News::Here(users), .. }))) => users.len(),
                other => panic!("{count}: {other:?}"),
            };
            assert_eq!(len, count as usize, "the list was not bent");
            assert!(len <= TRAVERSAL_FACTOR * frame.len() / WORD_BYTES, "{len} nothings");
        }
    }
}

#[test]
fn lists_of_nothing_are_bounded_for_the_server_by_their_own_bounds() {
    let profiles = Command::Profiles(vec![UserId::from_u128(1); PAGE_ITEMS_MAX]);
    let cursor =
        confab_protocol::model::Cursor { room: RoomId::from_u128(1), incarnation: Incarnation(1), seq: Seq(1) };
    let resume = Command::Resume(vec![cursor; RESUME_CURSORS_MAX]);
    for command in [profiles, resume] {
        let name = command.name();
        let frame = encode_client_frame(&ClientFrame::Request { id: 5, command: Ok(command) });
        for count in [PAGE_ITEMS_MAX, PAGE_ITEMS_MAX + 1, 2_000, 1 << 20, (1 << 29) - 1] {
            let mut words = Words::of(&frame);
            let list = IN_REQUEST(&words);
            words.hollow(list, u32::try_from(count).expect("small"));
            let Ok(ClientFrame::Request { id: 5, command }) = decode_client_frame(&words.frame()) else {
                panic!("{name} x {count}: a request that can be told apart is answered")
            };
            assert_eq!(command.is_ok(), count <= PAGE_ITEMS_MAX, "{name} x {count}");
        }
    }
}

#[test]
fn pointers_in_circles_and_out_of_the_segment_are_refused_or_harmless() {
    let frame = rooms_frame(3, 100);
    let words = Words::of(&frame);
    for at in 0..words.0.len() {
        let to_itself = 0xffff_fffc_u64;
        let far = |segment: u64| segment << 32 | 2;
        let far_here = (at as u64) << 3 | 2;
        for pointer in [to_itself, to_itself | 1, far(0), far(1), far(u64::from(u32::MAX)), far_here, 0x7fff_fffc, 3] {
            let mut bent = Words(words.0.clone());
            bent.0[at] = pointer | bent.0[at] & !0xffff_ffff;
            decode_all(&bent.frame());
            bent.0[at] = pointer;
            decode_all(&bent.frame());
        }
    }
}
