//! Who moderates is told again of what waits, once a day. The days go by on a false clock.

use std::time::Duration;

use confab_client::{Command, Reply};
use confab_protocol::codec::decode_entry;
use confab_protocol::command::{About, Report};
use confab_protocol::model::{
    CaseId, CaseText, Cursor, EntryContent, Incarnation, ReportReason, RoomId, SelfNote, Seq,
};
use tokio::time::{Instant, sleep};

use crate::support::Transport;
use crate::support::clock::FalseClock;
use crate::support::people::Person;
use crate::support::process::{PATIENCE, Place, Running, eventually};

const HOUR: u64 = 3_600;

/// A server at so many hours after the first. The first thing that one does is to look after cases.
fn start(place: &Place, clock: &FalseClock, hours: u64) -> Running {
    clock.set(hours * HOUR);
    let mut command = place.command(&["serve"]);
    clock.put_on(&mut command);
    place.serve_by(&mut command)
}

async fn report(person: &Person, room: RoomId, seq: Seq) -> CaseId {
    let (about, reason) = (About::Message(seq), ReportReason::Spam);
    let report = Report { room, about, reason, text: CaseText::default() };
    match person.client.request(Command::Report(report)).await {
        Ok(Reply::Reported(case)) => case,
        other => panic!("{other:?}"),
    }
}

/// The cases that somebody was told of, by the log of their own.
async fn told(person: &Person) -> Vec<CaseId> {
    let cursor = Cursor { room: person.session.identity.self_room, incarnation: Incarnation(0), seq: Seq(0) };
    let page = match person.client.request(Command::Sync { cursor, limit: 0 }).await {
        Ok(Reply::Page(page)) => page,
        other => panic!("{other:?}"),
    };
    let case = |payload: &[u8]| match decode_entry(payload).unwrap().content {
        EntryContent::SelfNote(SelfNote::Case { case, .. }) => Some(case),
        _ => None,
    };
    page.entries.iter().filter_map(|entry| case(&entry.payload)).collect()
}

/// That somebody is told of these cases, each as often as it stands here, and of nothing else on the way.
async fn assert_told(person: &Person, cases: &[CaseId]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let told = told(person).await;
        if told.len() >= cases.len() {
            return assert_eq!(told, cases);
        }
        assert!(Instant::now() < deadline, "told of {told:?} and not of {cases:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn moderators_are_told_again_of_what_waits_once_a_day() {
    let place = Place::new();
    let clock = FalseClock::new(&place);
    let server = start(&place, &clock, 0);
    let owner = place.register(Transport::WebSocket, "owner").await;
    let author = place.register(Transport::Quic, "author").await;
    let reader = place.register(Transport::Quic, "reader").await;
    let room = owner.enter("attic").await.id;
    author.enter("attic").await;
    reader.enter("attic").await;
    let mut said = Vec::new();
    for text in ["cheap watches", "cheaper watches"] {
        said.push(author.client.say(room, text).await.unwrap().seq);
    }
    let first = report(&reader, room, said[0]).await;
    assert_told(&owner, &[first]).await;
    drop((owner, author, reader, server));

    let server = start(&place, &clock, 25);
    let owner = place.login(Transport::WebSocket, "owner").await;
    assert_told(&owner, &[first, first]).await;
    drop((owner, server));

    // It waits as long as before, but the day since they were told of it is not over.
    let server = start(&place, &clock, 26);
    eventually("the cases are looked after", || {
        let waits = place.metric("confab_cases_waiting_oldest_seconds");
        (waits >= (26 * HOUR - 60) as f64).then_some(())
    });
    let owner = place.login(Transport::WebSocket, "owner").await;
    let reader = place.login(Transport::Quic, "reader").await;
    let second = report(&reader, room, said[1]).await;
    assert_told(&owner, &[first, first, second]).await;
    drop((owner, reader, server));

    let server = start(&place, &clock, 51);
    let owner = place.login(Transport::WebSocket, "owner").await;
    assert_told(&owner, &[first, first, second, first, second]).await;
    drop(server);
}
