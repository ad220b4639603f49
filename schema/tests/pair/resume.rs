//! Following rooms across lost links and lanes that overtake each other.

use confab_protocol::codec::encode_ephemeral;
use confab_protocol::command::{Command, Ephemeral, News, PresenceStatus, ResumeOutcome};
use confab_protocol::limits::RESUME_CURSORS_MAX;
use confab_protocol::model::{Cursor, Incarnation, RoomId, Seq};
use confab_protocol::reject::RejectCode;
use confab_protocol::session::client::Event;

use crate::app::BOB;
use crate::harness::{Pair, ROOM, config};

/// The cursors of each `resume` the server heard.
fn resumes(pair: &Pair) -> Vec<Vec<Cursor>> {
    let cursors = |command: &Command| if let Command::Resume(list) = command { Some(list.clone()) } else { None };
    pair.app.commands.iter().filter_map(|(_, command)| cursors(command)).collect()
}

fn gaps(pair: &Pair) -> Vec<(ResumeOutcome, u64, u64)> {
    let gap = |event: &Event| match event {
        Event::Gap { resumed, known } => Some((resumed.outcome, known.0, resumed.head.0)),
        _ => None,
    };
    pair.events.iter().filter_map(|(_, event)| gap(event)).collect()
}

#[test]
fn what_is_said_arrives() {
    let mut pair = Pair::following();
    pair.post(ROOM, "one");
    pair.publish(ROOM, "two");
    pair.run(100);
    pair.post(ROOM, "three");
    pair.run(100);
    assert_eq!(pair.delivered(ROOM), [1, 2, 3]);
    assert_eq!(pair.client.cursor(ROOM).map(|cursor| (cursor.incarnation.0, cursor.seq.0)), Some((7, 3)));
}

#[test]
fn pushes_that_overtake_the_reply_are_held() {
    let mut pair = Pair::new(config());
    for number in 0..10 {
        pair.post(ROOM, &number.to_string());
    }
    pair.link.control_ms = 200;
    pair.link.push_ms = 1;
    pair.follow(ROOM);
    // Connect, hello, welcome, resume: the pushes are there, the reply is not.
    pair.run(4 * 200 + 10);
    pair.post(ROOM, "live");
    pair.run(50);
    assert_eq!((resumes(&pair).len(), pair.delivered(ROOM)), (1, vec![]));
    pair.run(200);
    assert_eq!(pair.delivered(ROOM), (1..=11).collect::<Vec<_>>());
    assert_eq!(resumes(&pair).len(), 1, "nothing had to be asked again");
}

#[test]
fn pushes_far_behind_the_reply_are_as_good() {
    let mut pair = Pair::new(config());
    pair.post(ROOM, "one");
    pair.link.push_ms = 5_000;
    pair.follow(ROOM);
    pair.run(1_000);
    pair.post(ROOM, "two");
    pair.run(10_000);
    assert_eq!((pair.delivered(ROOM), resumes(&pair).len()), (vec![1, 2], 1));
}

#[test]
fn what_was_missed_is_recovered() {
    let mut pair = Pair::following();
    pair.post(ROOM, "seen");
    pair.run(100);
    pair.post(ROOM, "lost in flight");
    pair.cut();
    for number in 0..500 {
        pair.post(ROOM, &number.to_string());
    }
    pair.restore();
    pair.run(5_000);
    assert_eq!(pair.delivered(ROOM), (1..=502).collect::<Vec<_>>());
    let known = Cursor { room: ROOM, incarnation: Incarnation(7), seq: Seq(1) };
    assert_eq!(resumes(&pair)[1..], [vec![known]]);
    assert_eq!(gaps(&pair), []);
}

#[test]
fn a_room_followed_while_away_comes_with_the_others() {
    let other = RoomId::from_u128(0x101);
    let mut pair = Pair::following();
    pair.app.open_room(other);
    pair.cut();
    pair.follow(other);
    pair.post(other, "there");
    pair.restore();
    pair.run(5_000);
    assert_eq!(pair.delivered(other), [1]);
    assert_eq!(resumes(&pair).last().map(Vec::len), Some(2), "in one request");
}

#[test]
fn many_rooms_resume_in_pages() {
    let mut pair = Pair::new(config());
    let rooms: Vec<RoomId> = (0..1_000).map(|number| RoomId::from_u128(0x1000 + number)).collect();
    for room in &rooms {
        pair.app.open_room(*room);
        pair.post(*room, "hello");
        pair.follow(*room);
    }
    pair.run(5_000);
    assert!(rooms.iter().all(|room| pair.delivered(*room) == [1]));
    assert_eq!(resumes(&pair).iter().map(Vec::len).collect::<Vec<_>>(), vec![RESUME_CURSORS_MAX; 5]);
}

#[test]
fn a_long_gap_is_told_and_the_live_tail_goes_on() {
    let mut pair = Pair::following();
    pair.app.replay_max = 10;
    pair.cut();
    (0..11).for_each(|number| pair.post(ROOM, &number.to_string()));
    pair.restore();
    pair.run(5_000);
    pair.post(ROOM, "live");
    pair.run(1_000);
    assert_eq!(gaps(&pair), [(ResumeOutcome::GapTooLong, 0, 11)]);
    assert_eq!(pair.delivered(ROOM), [12]);
}

#[test]
fn another_history_is_told() {
    let mut pair = Pair::following();
    (0..5).for_each(|number| pair.post(ROOM, &number.to_string()));
    pair.run(1_000);
    pair.cut();
    // A backup was restored: the log is another one.
    pair.app.open_room(ROOM);
    pair.app.rooms.get_mut(&ROOM).unwrap().incarnation = Incarnation(8);
    (0..2).for_each(|number| pair.post(ROOM, &number.to_string()));
    pair.restore();
    pair.run(5_000);
    pair.post(ROOM, "live");
    pair.run(1_000);
    assert_eq!(gaps(&pair), [(ResumeOutcome::IncarnationChanged, 5, 2)]);
    assert_eq!(pair.delivered(ROOM), [1, 2, 3, 4, 5, 3]);
    assert_eq!(pair.client.cursor(ROOM).map(|cursor| cursor.incarnation), Some(Incarnation(8)));
}

#[test]
fn a_room_that_is_gone_is_told_and_forgotten() {
    let mut pair = Pair::following();
    pair.cut();
    pair.app.rooms.clear();
    pair.restore();
    pair.run(5_000);
    assert!(pair.events.iter().any(|(_, event)| *event == Event::Lost(ROOM)), "{:?}", pair.events);
    assert_eq!(pair.client.cursor(ROOM), None);
    pair.cut();
    pair.restore();
    pair.run(5_000);
    assert_eq!(resumes(&pair).len(), 2, "it is not asked for again");
}

#[test]
fn a_missing_push_is_asked_for() {
    let mut pair = Pair::following();
    let _never_sent = pair.app.post(pair.now, ROOM, "one");
    pair.post(ROOM, "two");
    pair.run(1_000);
    assert_eq!((pair.delivered(ROOM), resumes(&pair).len()), (vec![1, 2], 2));
}

#[test]
fn a_push_that_comes_twice_is_seen_once() {
    let mut pair = Pair::following();
    let push = pair.app.post(pair.now, ROOM, "one").expect("subscribed");
    for _ in 0..3 {
        pair.send_push(push.clone());
    }
    pair.run(1_000);
    assert_eq!((pair.delivered(ROOM), resumes(&pair).len()), (vec![1], 1));
}

/// News have no seq: they must neither move a cursor nor look like a hole before the next entry.
#[test]
fn news_of_the_moment_are_told_and_are_no_entries() {
    let mut pair = Pair::following();
    let news = [
        News::Here(vec![(BOB, Some(PresenceStatus::Online))]),
        News::Typing { user: BOB, for_ms: 6_000 },
        News::Count(101),
        News::Missed,
        News::Here(vec![(BOB, None)]),
    ];
    let sent = news.map(|news| Ephemeral { room: ROOM, news });
    for (number, ephemeral) in sent.iter().enumerate() {
        pair.send_push(encode_ephemeral(ephemeral));
        pair.post(ROOM, &number.to_string());
    }
    pair.run(1_000);
    let told = |event: &Event| if let Event::Ephemeral(told) = event { Some(told.clone()) } else { None };
    assert_eq!(pair.events.iter().filter_map(|(_, event)| told(event)).collect::<Vec<_>>(), sent);
    assert_eq!((pair.delivered(ROOM), resumes(&pair).len()), (vec![1, 2, 3, 4, 5], 1), "nothing had to be asked again");
    assert_eq!(pair.client.cursor(ROOM).map(|cursor| cursor.seq), Some(Seq(5)));
}

/// Who is not to be seen is not seen coming back; who typed when the link was lost does not type for ever.
#[test]
fn after_a_loss_one_shows_as_before_and_types_no_more() {
    let mut pair = Pair::following();
    pair.request(Command::SetPresence(PresenceStatus::Invisible));
    pair.run(1_000);
    let typing = pair.request(Command::Typing { room: ROOM, stopped: false });
    pair.cut();
    pair.restore();
    pair.run(30_000);
    assert!(matches!(&pair.replies(typing)[..], [Err(reject)] if reject.is(RejectCode::Unavailable)));
    let since = pair.app.commands.iter().skip_while(|(_, command)| !matches!(command, Command::SetPresence(_))).skip(1);
    let after: Vec<_> = since.map(|(_, command)| command.name()).filter(|name| *name != "ping").collect();
    assert_eq!(after, ["presence", "resume"], "shown as before, and only then in the rooms");
}

#[test]
fn a_room_left_is_not_heard_of_again() {
    let mut pair = Pair::following();
    pair.post(ROOM, "on its way");
    pair.client.unfollow(pair.now, ROOM);
    pair.run(1_000);
    assert_eq!(pair.delivered(ROOM), [] as [u64; 0]);
    assert!(pair.app.commands.iter().any(|(_, command)| matches!(command, Command::Unsubscribe(_))));
}

/// Each follow is a request of its own: a list of rooms must not run into the bound on requests in flight.
#[test]
fn following_many_rooms_at_once_keeps_the_link() {
    let mut pair = Pair::following();
    pair.app.mute = true;
    let rooms: Vec<RoomId> = (0..100).map(|number| RoomId::from_u128(0x1000 + number)).collect();
    for room in &rooms {
        pair.app.open_room(*room);
        pair.follow(*room);
    }
    pair.run(100);
    pair.app.mute = false;
    pair.answer_withheld();
    pair.run(5_000);
    assert_eq!(pair.offline(), []);
    assert!(rooms.iter().all(|room| pair.client.cursor(*room).is_some()));
}
