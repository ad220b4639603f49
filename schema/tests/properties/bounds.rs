//! Values beyond what a command may hold, and members that only a later version has: the former are
//! clamped or refused, the latter are no reason to end anything.

use bytes::Bytes;
use confab_protocol::codec::{decode_client_frame, decode_server_frame, encode_client_frame, encode_server_frame};
use confab_protocol::command::{
    ClientFrame, Command, Ephemeral, News, PresenceStatus, Push, Reply, Search, ServerFrame,
};
use confab_protocol::limits::{FRAME_BYTES_MAX, PAGE_HITS_MAX, QUERY_BYTES_MAX};
use confab_protocol::model::{RoomId, UserId};
use confab_protocol::reject::{Reject, RejectCode};

use crate::hostile::{IN_REQUEST, Words};

const ROOM: RoomId = RoomId::from_u128(1);
const USER: UserId = UserId::from_u128(2);

/// The first discriminant or enumerant that this version does not know, and the last there is.
const fn unknown(known: u16) -> [u16; 2] {
    [known, u16::MAX]
}

fn search(query: &str, limit: usize) -> Search {
    Search { room: None, query: query.to_owned(), before: None, limit }
}

fn encode(command: Command) -> Bytes {
    encode_client_frame(&ClientFrame::Request { id: 5, command: Ok(command) })
}

/// What a server makes of it. A request that can be told apart is answered: its frame is never at fault.
fn read(frame: &[u8]) -> Result<Command, Reject> {
    match decode_client_frame(frame) {
        Ok(ClientFrame::Request { id: 5, command }) => command,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn check_malformed(command: &Result<Command, Reject>) {
    assert!(matches!(command, Err(reject) if reject.is(RejectCode::Malformed) && reject.code == 1001), "{command:?}");
}

/// Puts 16 bits into a word, counted from its lowest.
fn put(word: &mut u64, bit: u32, value: u16) {
    *word = *word & !(0xffff << bit) | u64::from(value) << bit;
}

#[test]
fn a_search_finds_no_more_than_a_page() {
    assert_eq!(PAGE_HITS_MAX, 50, "as the schema says");
    for limit in [1, PAGE_HITS_MAX - 1, PAGE_HITS_MAX] {
        assert_eq!(read(&encode(Command::Search(search("word", limit)))), Ok(Command::Search(search("word", limit))));
    }
    for limit in [0, PAGE_HITS_MAX + 1, 200, usize::from(u16::MAX), usize::MAX] {
        let most = Command::Search(search("word", PAGE_HITS_MAX));
        assert_eq!(read(&encode(Command::Search(search("word", limit)))), Ok(most), "{limit}");
    }
}

/// It is bytes that count: what a query costs does not depend on the script.
#[test]
fn a_query_has_a_bound() {
    for longest in ["x".repeat(QUERY_BYTES_MAX), "\u{e9}".repeat(QUERY_BYTES_MAX / 2)] {
        let command = Command::Search(search(&longest, 1));
        assert_eq!(read(&encode(command.clone())), Ok(command));
        for more in ["x", "\u{e9}", &"x".repeat(FRAME_BYTES_MAX - 1024)] {
            check_malformed(&read(&encode(Command::Search(search(&format!("{longest}{more}"), 1)))));
        }
    }
}

#[test]
fn a_query_that_is_no_text_is_refused() {
    let mut words = Words::of(&encode(Command::Search(search("nonsense", 1))));
    // Room, query, before.
    let query = words.target(words.member(IN_REQUEST(&words), 1));
    words.0[query] |= 0xff;
    check_malformed(&read(&words.frame()));
}

#[test]
fn a_status_that_nobody_knows_is_refused() {
    let frame = encode(Command::SetPresence(PresenceStatus::Away));
    let bent = |status| {
        let mut words = Words::of(&frame);
        // Id, kind, status.
        let request = words.target(words.member(0, 0));
        put(&mut words.0[request], 48, status);
        read(&words.frame())
    };
    let known = [PresenceStatus::Online, PresenceStatus::Online, PresenceStatus::Away, PresenceStatus::Invisible];
    for (number, status) in (0..).zip(known) {
        assert_eq!(bent(number), Ok(Command::SetPresence(status)), "{number}");
    }
    unknown(4).into_iter().for_each(|number| check_malformed(&bent(number)));
}

// ------------------------------------------------------------------------------ what a later version says

fn ephemeral(news: News) -> ServerFrame {
    ServerFrame::Push(Push::Ephemeral(Ephemeral { room: ROOM, news }))
}

/// The pointer to what a reply or a push holds.
const CONTENT: fn(&Words) -> usize = |words| words.member(words.member(0, 0), 0);

/// The frame with the lowest 16 bits of one of its words put otherwise.
fn later(frame: &ServerFrame, at: impl Fn(&Words) -> usize, value: u16) -> ServerFrame {
    let mut words = Words::of(&encode_server_frame(frame));
    let at = at(&words);
    put(&mut words.0[at], 0, value);
    decode_server_frame(&words.frame()).expect("a later version is no error")
}

#[test]
fn a_kind_of_a_later_version_is_unknown() {
    for number in unknown(4) {
        assert_eq!(later(&ephemeral(News::Missed), |words| words.target(0), number), ServerFrame::Unknown);
    }
    for number in unknown(3) {
        let push = later(&ephemeral(News::Missed), |words| words.target(words.member(0, 0)), number);
        assert_eq!(push, ServerFrame::Push(Push::Unknown));
    }
    for news in [News::Missed, News::Count(7), News::Typing { user: USER, for_ms: 1 }, News::Here(vec![(USER, None)])] {
        for number in unknown(4) {
            let push = later(&ephemeral(news.clone()), |words| words.target(CONTENT(words)), number);
            assert_eq!(push, ServerFrame::Push(Push::Unknown), "{news:?}");
        }
    }
}

/// Whoever shows in a way that this version does not know is there all the same.
#[test]
fn a_status_of_a_later_version_is_online() {
    // One word, then the pointer to the id; of news the list comes after the room.
    let status = |words: &Words, list| words.element_member(words.member(CONTENT(words), list), 0, 0) - 1;
    let news = |status| ephemeral(News::Here(vec![(USER, status)]));
    let reply =
        |status| ServerFrame::Reply { id: 1, result: Ok(Reply::Here { count: 1, users: vec![(USER, status)] }) };
    for number in unknown(4) {
        let (push, answer) = (
            later(&news(Some(PresenceStatus::Away)), |words| status(words, 1), number),
            later(&reply(PresenceStatus::Away), |words| status(words, 0), number),
        );
        assert_eq!((push, answer), (news(Some(PresenceStatus::Online)), reply(PresenceStatus::Online)));
    }
    // Nobody is listed as here and not here; only news can mean it.
    assert_eq!(later(&news(Some(PresenceStatus::Away)), |words| status(words, 1), 0), news(None));
    assert_eq!(later(&reply(PresenceStatus::Away), |words| status(words, 0), 0), reply(PresenceStatus::Online));
}
