//! Who is here and who types, over each transport.

use std::time::Duration;

use confab_protocol::command::{Command, Ephemeral, News, PresenceStatus, Reply, RoomTarget};
use confab_protocol::limits::{PRESENCE_CONNECTIONS_MAX, TYPING_MS};
use confab_protocol::model::{RoomId, Seq, UserId};
use confab_protocol::reject::RejectCode;
use tokio::time::Instant;

use crate::support::raw::{Raw, Target, accounts, client_id, publish};
use crate::support::{TRANSPORTS, TestServer};

const ALL_HERE: Option<PresenceStatus> = Some(PresenceStatus::Online);

async fn who(raw: &mut Raw, room: RoomId) -> (u32, Vec<(UserId, PresenceStatus)>) {
    let reply = raw.request(Command::WhoIsHere(room)).await.unwrap();
    let Reply::Here { count, users } = reply else { panic!("{reply:?}") };
    (count, users)
}

/// What the news say about one of them, in their order.
async fn told_of(raw: &mut Raw, user: UserId, count: usize) -> Vec<Option<PresenceStatus>> {
    let mut told = Vec::new();
    while told.len() < count {
        for news in raw.hear_news(1).await {
            let News::Here(users) = news.news else { panic!("{news:?}") };
            told.extend(users.into_iter().filter(|(other, _)| *other == user).map(|(_, status)| status));
        }
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn people_come_show_otherwise_and_go() {
    let server = TestServer::start().await;
    let target = Target::from(&server);
    let tokens = accounts(&server.config, &["alice", "bob"]).await;
    let [alice_id, bob_id] = [tokens[0].0, tokens[1].0];
    for transport in TRANSPORTS {
        let mut alice = Raw::enter(&target, transport, &tokens[0].1).await;
        let mut bob = Raw::enter(&target, transport, &tokens[1].1).await;
        let room = alice.join(&format!("room {transport:?}")).await;
        bob.join(&room.name).await;
        alice.resume(room.id, room.incarnation, Seq(2)).await;
        assert_eq!(told_of(&mut alice, alice_id, 1).await, [ALL_HERE], "one's own coming comes too");
        assert_eq!(who(&mut alice, room.id).await, (1, vec![(alice_id, PresenceStatus::Online)]));
        bob.resume(room.id, room.incarnation, Seq(2)).await;
        assert_eq!(told_of(&mut alice, bob_id, 1).await, [ALL_HERE]);
        bob.request(Command::SetPresence(PresenceStatus::Away)).await.unwrap();
        assert_eq!(told_of(&mut alice, bob_id, 1).await, [Some(PresenceStatus::Away)]);
        let mut both = vec![(alice_id, PresenceStatus::Online), (bob_id, PresenceStatus::Away)];
        both.sort_unstable();
        assert_eq!(who(&mut alice, room.id).await, (2, both));
        // On another device they are here.
        let mut other = Raw::enter(&target, transport, &tokens[1].1).await;
        other.resume(room.id, room.incarnation, Seq(2)).await;
        assert_eq!(told_of(&mut alice, bob_id, 1).await, [ALL_HERE]);
        other.request(Command::SetPresence(PresenceStatus::Invisible)).await.unwrap();
        assert_eq!(told_of(&mut alice, bob_id, 1).await, [Some(PresenceStatus::Away)]);
        bob.request(Command::SetPresence(PresenceStatus::Invisible)).await.unwrap();
        assert_eq!(told_of(&mut alice, bob_id, 1).await, [None], "unseen is not here");
        assert_eq!(who(&mut alice, room.id).await.0, 1);
        bob.request(Command::Typing { room: room.id, stopped: false }).await.unwrap();
        // Another comes and goes unseen, and nothing is told of it.
        let mut unseen = Raw::enter(&target, transport, &tokens[1].1).await;
        unseen.request(Command::SetPresence(PresenceStatus::Invisible)).await.unwrap();
        unseen.resume(room.id, room.incarnation, Seq(2)).await;
        unseen.request(Command::Unsubscribe(RoomTarget::Id(room.id))).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        alice.request(Command::Ping).await.unwrap();
        assert_eq!(alice.news, []);
        unseen.leave().await;
        bob.request(Command::SetPresence(PresenceStatus::Online)).await.unwrap();
        assert_eq!(told_of(&mut alice, bob_id, 1).await, [ALL_HERE]);

        // Who drops out is here for a while, and no news if they come back.
        other.leave().await;
        bob.leave().await;
        let mut bob = Raw::enter(&target, transport, &tokens[1].1).await;
        bob.resume(room.id, room.incarnation, Seq(2)).await;
        bob.leave().await;
        let left = Instant::now();
        assert_eq!(told_of(&mut alice, bob_id, 1).await, [None]);
        assert!(left.elapsed() > Duration::from_secs(10), "gone too soon: {:?}", left.elapsed());
        assert_eq!(alice.news, [], "nothing but that");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn typing_is_told_to_those_who_follow_and_kept_nowhere() {
    let server = TestServer::start().await;
    let target = Target::from(&server);
    let tokens = accounts(&server.config, &["alice", "bob", "carol"]).await;
    for transport in TRANSPORTS {
        let mut alice = Raw::enter(&target, transport, &tokens[0].1).await;
        let mut bob = Raw::enter(&target, transport, &tokens[1].1).await;
        let mut carol = Raw::enter(&target, transport, &tokens[2].1).await;
        let room = alice.join(&format!("room {transport:?}")).await;
        bob.join(&room.name).await;
        let typing = |stopped| Command::Typing { room: room.id, stopped };
        assert_eq!(bob.refusal(typing(false)).await, RejectCode::NotMember.number(), "it does not follow the room");
        assert_eq!(carol.refusal(typing(false)).await, RejectCode::NotMember.number());
        assert_eq!(carol.refusal(Command::WhoIsHere(room.id)).await, RejectCode::NotMember.number());
        for raw in [&mut alice, &mut bob] {
            raw.resume(room.id, room.incarnation, Seq(2)).await;
        }
        told_of(&mut alice, tokens[1].0, 1).await;
        for (stopped, for_ms) in [(false, TYPING_MS), (true, 0)] {
            bob.request(typing(stopped)).await.unwrap();
            let news = News::Typing { user: tokens[1].0, for_ms };
            assert_eq!(alice.hear_news(1).await, [Ephemeral { room: room.id, news }]);
        }
        assert_eq!(alice.sync_all(room.id, 200).await.len(), 2, "two memberships, and nothing of typing");
        assert_eq!(carol.news, []);
        let mut limited = async || {
            for _ in 0..30 {
                if bob.request(typing(false)).await.is_err_and(|reject| reject.is(RejectCode::RateLimited)) {
                    return true;
                }
            }
            false
        };
        // It holds on all of one's connections, so the last transport tries it.
        assert!(transport != TRANSPORTS[1] || limited().await, "there is a bound");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_of_many_is_counted() {
    let server = TestServer::start_with(|config| config.limits.connections_per_ip = 1_000).await;
    let target = Target::from(&server);
    let names: Vec<String> = (0..PRESENCE_CONNECTIONS_MAX / 2 + 2).map(|n| format!("user{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let tokens = accounts(&server.config, &names).await;
    let mut all = Vec::new();
    // Two devices of each: as many connections as make a crowd, and half as many people.
    for (_, token) in &tokens {
        for transport in TRANSPORTS {
            let mut raw = Raw::enter(&target, transport, token).await;
            let room = raw.join("crowd").await;
            raw.resume(room.id, room.incarnation, room.head).await;
            all.push((raw, room.id));
        }
    }
    let (mut first, room) = all.remove(0);
    let people = u32::try_from(tokens.len()).unwrap();
    let told = loop {
        let news = first.hear_news(1).await;
        if let Some(News::Count(count)) = news.iter().map(|news| &news.news).find(|news| matches!(news, News::Count(_)))
        {
            break *count;
        }
    };
    assert!(told > 40 && told <= people, "{told} of {people}");
    assert_eq!(who(&mut first, room).await, (people, Vec::new()), "counted, and not listed");
    first.news.clear();
    let (last, _) = all.last_mut().unwrap();
    last.request(Command::Typing { room, stopped: false }).await.unwrap();
    last.request(publish(room, client_id(), "after it")).await.unwrap();
    let head = first.sync_all(room, 200).await.len() as u64;
    first.hear_until(room, Seq(head)).await;
    assert!(!first.news.iter().any(|news| matches!(news.news, News::Typing { .. })), "nobody is told in a crowd");
}
