//! Plugins that act, and those who are not theirs to act on: of equal rank, above, away; who puts them out; and what another
//! component wanted.

use std::time::Duration;

use confab::config::Mode;
use confab_client::{Command, Room};
use confab_protocol::command::{RoomTarget, SanctionUser, SetRole};
use confab_protocol::model::{CaseKind, Entry, EntryContent, Reason, RoomRole, SanctionKind, UserId};
use confab_protocol::reject::RejectCode;
use tokio::time::sleep;

use super::actions::{audit, cases, folder, log, member, outcome, refusal, register_owner, say, start, until, write};
use crate::support::Transport;
use crate::support::people::Person;
use crate::support::process::{Place, eventually};

fn sanction(by: &Person, room: &Room, user: UserId, kind: SanctionKind) -> Command {
    let reason = Reason::parse("enough").unwrap();
    Command::Sanction(SanctionUser { write: write(by, room.id), user, kind, duration_ms: 0, reason })
}

/// Those of its own rank are nobody it touches, nor an owner who is away and may come back.
#[tokio::test(flavor = "multi_thread")]
async fn it_touches_nobody_of_equal_rank_or_who_was_above() {
    let folder = folder();
    let server = start(folder.path(), Mode::Enforce).await;
    let carol = Person::register(&server, Transport::WebSocket, "carol").await;
    let bob = Person::register(&server, Transport::Quic, "bob").await;
    let den = carol.enter("den").await;
    bob.enter("den").await;
    let role = SetRole { write: write(&carol, den.id), user: bob.session.identity.user, role: RoomRole::Moderator };
    carol.client.request(Command::SetRole(role)).await.unwrap();
    say(&bob, &den, "delete me").await;
    say(&bob, &den, "mute me").await;
    until(&server, "delete", "refused", 1.0).await;
    until(&server, "mute", "refused", 1.0).await;

    let said = say(&carol, &den, "it is mine").await;
    carol.client.request(Command::LeaveRoom(RoomTarget::Id(den.id))).await.unwrap();
    let eve = Person::register(&server, Transport::WebSocket, "eve").await;
    eve.enter("den").await;
    say(&eve, &den, &format!("delete {}", said.0)).await;
    until(&server, "delete", "refused", 2.0).await;
    say(&eve, &den, "delete me").await;
    until(&server, "delete", "done", 1.0).await;
    assert!(bob.history(&den).await.iter().any(|(seq, _)| *seq == said));
}

/// What the log refuses, behind all that is looked at before, is not found either.
#[tokio::test(flavor = "multi_thread")]
async fn who_mutes_or_bans_it_is_obeyed_and_nothing_is_kept_of_it() {
    let folder = folder();
    let server = start(folder.path(), Mode::Enforce).await;
    let owner = register_owner(&server).await;
    let carol = Person::register(&server, Transport::WebSocket, "carol").await;
    let bob = Person::register(&server, Transport::Quic, "bob").await;
    let den = carol.enter("den").await;
    bob.enter("den").await;
    say(&bob, &den, "delete me").await;
    until(&server, "delete", "done", 1.0).await;
    let deputy = member(&carol, &den, "plugin.deputy").await.unwrap();
    for (n, kind) in [(1.0, SanctionKind::Mute), (2.0, SanctionKind::Ban)] {
        carol.client.request(sanction(&carol, &den, deputy, kind)).await.unwrap();
        say(&bob, &den, "delete me").await;
        say(&bob, &den, "case").await;
        until(&server, "delete", "refused", n).await;
        until(&server, "case", "refused", n).await;
    }
    let found = audit(&owner, Some("deputy")).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(cases(&owner, CaseKind::Report, false).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_kicks_bans_and_lifts() {
    let folder = folder();
    let server = start(folder.path(), Mode::Enforce).await;
    let carol = Person::register(&server, Transport::WebSocket, "carol").await;
    let bob = Person::register(&server, Transport::Quic, "bob").await;
    let den = carol.enter("den").await;
    bob.enter("den").await;
    say(&bob, &den, "kick me").await;
    until(&server, "kick", "done", 1.0).await;
    assert_eq!(member(&carol, &den, "bob").await, None);
    bob.enter("den").await;
    say(&bob, &den, "ban me").await;
    until(&server, "ban", "done", 1.0).await;
    let back = || Command::JoinRoom(RoomTarget::Id(den.id));
    assert!(refusal(&bob, back()).await.is(RejectCode::Forbidden));
    say(&carol, &den, &format!("lift {:x}", bob.session.identity.user.as_u128())).await;
    until(&server, "lift", "done", 1.0).await;
    bob.client.request(back()).await.unwrap();
    let kinds: Vec<SanctionKind> =
        log(&carol, &den).await.into_iter().filter_map(|(_, entry)| kind_of(entry)).collect();
    assert_eq!(kinds, [SanctionKind::Kick, SanctionKind::Ban, SanctionKind::Lift]);
}

fn kind_of(entry: Entry) -> Option<SanctionKind> {
    match entry.content {
        EntryContent::Sanction(sanction) => Some(sanction.kind),
        _ => None,
    }
}

/// What one component wanted and is not done when another takes its place is not done at all.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_component_wanted_is_dropped() {
    let folder = folder();
    let dir = folder.path();
    let place = Place::with(&format!(
        "plugins.dir = {dir:?}\nplugins.chain = [\"deputy\"]\nplugins.grant.deputy = [\"actions\", \"metrics\"]"
    ));
    // Five acts in one room at once, then one each second: the others wait.
    place.rewrite("limits.sends_burst = 100000", "limits.sends_burst = 5");
    place.rewrite("limits.sends_per_room_per_second = 100000", "limits.sends_per_room_per_second = 1");
    let server = place.serve();
    let alice = place.register(Transport::Quic, "alice").await;
    let den = alice.enter("den").await;
    let bob = place.register(Transport::WebSocket, "bob").await;
    let carol = place.register(Transport::WebSocket, "carol").await;
    let dave = place.register(Transport::WebSocket, "dave").await;
    for person in [&bob, &carol, &dave] {
        person.enter("den").await;
        for n in 0..4 {
            say(person, &den, &format!("message {n}")).await;
        }
    }
    say(&alice, &den, "delete all").await;
    let count = |result: &str| place.metric(&outcome("delete", result));
    eventually("it acts", || (count("done") >= 5.0).then_some(()));
    let wasm = dir.join("deputy.wasm");
    let mut bytes = std::fs::read(&wasm).unwrap();
    // An empty section of the name "x": the same plugin, another component.
    bytes.extend([0, 2, 1, b'x']);
    std::fs::write(&wasm, bytes).unwrap();
    place.reload(&server);
    eventually("what waits is dropped", || (count("dropped") > 0.0).then_some(()));
    let done = count("done");
    assert!(done < 11.0, "all was done before: {done}");
    sleep(Duration::from_millis(1_500)).await;
    assert_eq!((count("done"), count("failed")), (done, 0.0));
    // What it wants from now on is done.
    say(&bob, &den, "delete me").await;
    eventually("it acts again", || (count("done") > done).then_some(()));
}
