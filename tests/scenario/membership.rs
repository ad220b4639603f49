//! Leaving while everything moves: what one's rights were is checked again where it counts.

use confab_protocol::codec::decode_entry;
use confab_protocol::command::{Command, History, Reply, RoomTarget};
use confab_protocol::model::{EntryContent, Envelope, MembershipChange, RoomId, Seq, UserId};

use super::bare_server;
use crate::support::raw::{Raw, accounts, client_id, publish, resend};
use crate::support::{TRANSPORTS, Transport};

pub(super) fn leave(room: RoomId) -> Command {
    Command::LeaveRoom(RoomTarget::Id(room))
}

/// Seqs of the entries by which this user came or went.
pub(super) fn changes(log: &[Envelope], user: UserId, wanted: MembershipChange) -> Vec<Seq> {
    let is_it = |entry: &&Envelope| {
        let content = decode_entry(&entry.payload).unwrap().content;
        matches!(content, EntryContent::Membership { user: who, change, .. } if who == user && change == wanted)
    };
    log.iter().filter(is_it).map(|entry| entry.seq).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_left_neither_posts_nor_reads() {
    let (server, target) = bare_server().await;
    let people = accounts(&server.config, &["alice", "bob"]).await;
    for transport in TRANSPORTS {
        let mut alice = Raw::enter(&target, transport, &people[0].1).await;
        let mut bob = Raw::enter(&target, transport, &people[1].1).await;
        let room = alice.join(&format!("den {transport:?}")).await;
        let joined = bob.join(&room.name).await;
        assert_eq!((joined.members, joined.head), (2, Seq(2)));
        bob.resume(room.id, room.incarnation, joined.head).await;
        bob.say(room.id, "hello").await;
        assert_eq!(bob.request(leave(room.id)).await, Ok(Reply::Ok));
        alice.say(room.id, "they are gone").await;
        let heard = bob.hear_until(room.id, Seq(4)).await;
        assert_eq!(heard.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [Seq(3), Seq(4)]);
        assert_eq!(changes(&heard, people[1].0, MembershipChange::Left), [Seq(4)]);
        assert_eq!(bob.refusal(publish(room.id, client_id(), "me too")).await, 3002);
        assert_eq!(bob.refusal(resend(room.id, client_id(), "me too")).await, 3002);
        assert_eq!(bob.refusal(Command::History(History::before(room.id, Seq(0), 0))).await, 3002);
        assert_eq!(bob.refusal(leave(room.id)).await, 3002);
        assert_eq!(bob.heard.len(), 2, "nothing after one's own leaving");
        let back = bob.join(&room.name).await;
        assert_eq!((back.members, back.head), (2, Seq(6)));
        assert_eq!(bob.say(room.id, "back again").await.seq, Seq(7));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_posted_behind_ones_own_leaving() {
    const IN_FLIGHT: usize = 50;
    let (server, target) = bare_server().await;
    let people = accounts(&server.config, &["alice", "bob"]).await;
    for (index, transport) in TRANSPORTS.into_iter().cycle().take(6).enumerate() {
        let mut bob = Raw::enter(&target, transport, &people[1].1).await;
        let room = bob.join(&format!("exit {index}")).await;
        let mut leaver = Raw::enter(&target, transport, &people[0].1).await;
        let mut writer = Raw::enter(&target, TRANSPORTS[index % 2], &people[0].1).await;
        leaver.join(&room.name).await;
        // The membership is cached by a first message.
        writer.say(room.id, "warm").await;
        let mut waiting = Vec::new();
        for number in 0..IN_FLIGHT {
            let id = client_id();
            waiting.push((id, writer.begin(publish(room.id, id, &format!("{number}"))).await));
            if number == IN_FLIGHT / 3 {
                leaver.begin(leave(room.id)).await;
            }
        }
        let mut posted = Vec::new();
        for (id, request) in waiting {
            match writer.reply(request).await {
                Ok(Reply::Appended(appended)) => posted.push((id, appended.seq)),
                Ok(other) => panic!("{other:?}"),
                Err(reject) => assert!([3002, 3007].contains(&reject.code), "{reject:?}"),
            }
        }
        assert_eq!(writer.refusal(publish(room.id, client_id(), "too late")).await, 3002);
        let log = bob.sync_all(room.id, 0).await;
        let left = changes(&log, people[0].0, MembershipChange::Left);
        assert_eq!(left.len(), 1);
        let by_alice = log.iter().map(|entry| (decode_entry(&entry.payload).unwrap(), entry.seq));
        let by_alice: Vec<_> = by_alice.filter(|(entry, _)| entry.author == people[0].0).collect();
        assert_eq!(by_alice.last().unwrap().1, left[0], "an entry of theirs after they left");
        let in_log = by_alice.iter().filter(|(entry, _)| posted.iter().any(|(id, _)| *id == entry.client_id)).count();
        assert_eq!(in_log, posted.len(), "acknowledged, and in the log");
        assert_eq!(by_alice.len(), posted.len() + 3, "refused, and not in the log: joined, warm, left");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn coming_and_going_on_two_devices_at_once_leaves_the_counts_right() {
    let (server, target) = bare_server().await;
    let people = accounts(&server.config, &["alice", "bob"]).await;
    let mut alice = Raw::enter(&target, Transport::Quic, &people[0].1).await;
    let room = alice.join("doors").await;
    let mut one = Raw::enter(&target, Transport::Quic, &people[1].1).await;
    let mut two = Raw::enter(&target, Transport::WebSocket, &people[1].1).await;
    for _ in 0..10 {
        let join = Command::JoinRoom(RoomTarget::Id(room.id));
        let (a, b) = (one.begin(join.clone()).await, two.begin(join).await);
        assert!(one.reply(a).await.is_ok() && two.reply(b).await.is_ok());
        let (a, b) = (one.begin(leave(room.id)).await, two.begin(leave(room.id)).await);
        let results = [one.reply(a).await, two.reply(b).await];
        assert!(results.iter().any(Result::is_ok));
    }
    let reply = alice.request(Command::JoinRoom(RoomTarget::Id(room.id))).await.unwrap();
    let Reply::Room(room) = reply else { panic!() };
    assert_eq!(room.members, 1);
}
