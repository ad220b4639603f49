//! Cases of what is said anew, and of what was done twice: what a decision does, and what it leaves alone.

use confab_client::{Command, Reply, Room};
use confab_protocol::codec::decode_audit;
use confab_protocol::command::{
    Appeal, CaseFile, CaseFilter, CaseStep, Edit, ListAudit, ListCases, SanctionUser, SetRole, UpdateCase,
};
use confab_protocol::model::{
    AuditId, Body, CaseAct, CaseDecision, CaseId, CaseText, Reason, RoomRole, SanctionKind, Seq,
};
use confab_protocol::reject::RejectCode;

use super::actions::refusal;
use super::{folder, plugins, post, publish, write};
use crate::support::people::{Person, message};
use crate::support::{TestServer, Transport};

/// The owner of a room, and somebody who said something there.
async fn den() -> (TestServer, Person, Person, Room, Seq) {
    let folder = folder();
    let server = TestServer::start_with(|config| config.plugins = plugins(folder.path())).await;
    let owner = Person::register(&server, Transport::Quic, "owner").await;
    let room = owner.enter("den").await;
    let author = Person::register(&server, Transport::WebSocket, "author").await;
    author.enter("den").await;
    let Ok(Reply::Appended(said)) = post(&author, &room, "hello").await else { panic!() };
    (server, owner, author, room, said.seq)
}

async fn edit(person: &Person, room: &Room, seq: Seq, text: &str) -> Reply {
    let edit = Edit { write: write(person, room), seq, body: Body::parse(text).unwrap() };
    person.client.request(Command::Edit(edit)).await.unwrap()
}

async fn cases(person: &Person, mine: bool) -> Vec<confab_protocol::command::Case> {
    let state = CaseFilter::Any;
    let list = ListCases { room: None, state, kind: None, mine, about: None, before: CaseId::NONE, limit: 0 };
    let Ok(Reply::Cases { cases, .. }) = person.client.request(Command::ListCases(list)).await else { panic!() };
    cases
}

async fn file(person: &Person, case: CaseId) -> Box<CaseFile> {
    let Ok(Reply::Case(file)) = person.client.request(Command::Case(case)).await else { panic!() };
    file
}

async fn decide(person: &Person, case: CaseId, decision: CaseDecision) {
    let step = CaseStep::Decide(decision, CaseText::default());
    assert_eq!(person.client.request(Command::UpdateCase(UpdateCase { case, step })).await.unwrap(), Reply::Ok);
}

async fn mute(by: &Person, whom: &Person, room: &Room, duration_ms: u64) {
    let (user, reason) = (whom.session.identity.user, Reason::parse("enough").unwrap());
    let mute = SanctionUser { write: write(by, room), user, kind: SanctionKind::Mute, duration_ms, reason };
    assert!(matches!(by.client.request(Command::Sanction(mute)).await, Ok(Reply::Appended(_))));
}

async fn appeal(person: &Person, case: CaseId) {
    let appeal = Appeal { case, text: CaseText::parse("why?").unwrap() };
    assert_eq!(person.client.request(Command::Appeal(appeal)).await.unwrap(), Reply::Ok);
}

/// Why what was decided was not done.
async fn failure(person: &Person, case: CaseId) -> Option<String> {
    let events = file(person, case).await.events;
    events.into_iter().find(|event| event.act == CaseAct::Fail).map(|event| event.text.as_str().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_flagged_of_an_edit_is_the_message() {
    let (server, owner, author, room, seq) = den().await;
    for _ in 0..2 {
        assert!(matches!(edit(&author, &room, seq, "flag").await, Reply::Appended(_)));
    }
    let found = cases(&owner, false).await;
    assert_eq!(found.iter().map(|case| case.seq).collect::<Vec<_>>(), [Some(seq)], "the second joins the first");
    assert_eq!(server.metric(r#"confab_cases_opened_total{kind="flag"}"#).await, 1.0);
    let kept = file(&owner, found[0].id).await;
    let subject = kept.evidence.iter().find(|piece| piece.subject).unwrap();
    assert_eq!(message(&subject.entry.payload).as_deref(), Some("flag"));
    assert_eq!(kept.events.iter().map(|event| event.act).collect::<Vec<_>>(), [CaseAct::Open, CaseAct::Note]);
    decide(&owner, found[0].id, CaseDecision::Remove).await;
    assert!(author.history(&room).await.is_empty());
}

/// Who is flagged on purpose would else keep it from a case what its message is made to say.
#[tokio::test(flavor = "multi_thread")]
async fn however_much_is_flagged_of_an_author_a_case_is_told_of_its_message() {
    let (_server, owner, author, room, seq) = den().await;
    assert!(matches!(edit(&author, &room, seq, "flag").await, Reply::Appended(_)));
    // More than open a case each.
    for _ in 0..11 {
        assert!(matches!(post(&author, &room, "flag").await, Ok(Reply::Appended(_))));
    }
    assert!(matches!(edit(&author, &room, seq, "flag").await, Reply::Appended(_)));
    let found = cases(&owner, false).await;
    let case = found.iter().find(|case| case.seq == Some(seq)).unwrap();
    let events = file(&owner, case.id).await.events;
    assert_eq!(events.iter().map(|event| event.act).collect::<Vec<_>>(), [CaseAct::Open, CaseAct::Note]);
}

/// Which plugin, how sure it is, its rule, and what it has to say of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_plugin_notes_of_a_flag_is_read_by_who_decides() {
    let (_server, owner, author, room, _) = den().await;
    for (body, text) in [
        ("flag", "hostile: odd (70 %), told-to".to_owned()),
        ("forge", format!("hostile: {} (100 %), 31m--: {}", "l".repeat(64), "n".repeat(256))),
    ] {
        let Ok(Reply::Appended(said)) = post(&author, &room, body).await else { panic!() };
        let found = cases(&owner, false).await;
        let case = found.iter().find(|case| case.seq == Some(said.seq)).unwrap();
        assert_eq!(file(&owner, case.id).await.events[0].text.as_str(), text);
    }
    // It stands beside what was found, and of what is refused there alone.
    let refused = post(&author, &room, "spill").await;
    assert!(matches!(refused, Err(it) if it.code == RejectCode::ByPlugin.number()));
    let (user, case, plugin, before) = (None, None, None, AuditId::NONE);
    let list = ListAudit { room: Some(room.id), user, case, plugin, before, limit: 0 };
    let Ok(Reply::Audit { records, .. }) = owner.client.request(Command::ListAudit(list.clone())).await else {
        panic!()
    };
    let notes: Vec<&str> = records.iter().map(|entry| entry.note.as_str()).collect();
    assert_eq!(notes, ["they said spill", "n".repeat(256).as_str(), ""]);
    // Whom it is about asks in vain.
    assert_eq!(refusal(&author, Command::ListAudit(list)).await.code, RejectCode::Forbidden.number());
}

/// Nobody fills what moderators look through: a plugin in front of the one that counts would let them.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_of_one_author_is_bounded() {
    const AT_ONCE: usize = 3;
    let folder = folder();
    let server = TestServer::start_with(|config| {
        config.plugins = plugins(folder.path());
        (config.limits.holds_per_minute, config.limits.holds_burst) = (1, AT_ONCE as u32);
    })
    .await;
    let owner = Person::register(&server, Transport::Quic, "owner").await;
    let room = owner.enter("den").await;
    let author = Person::register(&server, Transport::WebSocket, "author").await;
    author.enter("den").await;
    let Ok(Reply::Appended(said)) = post(&author, &room, "hello").await else { panic!() };
    let first = author.client.new_client_id();
    let held = publish(&author, &room, first, false, "hold").await;
    assert!(matches!(held, Ok(Reply::Held(_))), "{held:?}");
    for _ in 1..AT_ONCE {
        assert!(matches!(edit(&author, &room, said.seq, "hold").await, Reply::Held(_)));
    }
    let later = author.client.new_client_id();
    let refused = publish(&author, &room, later, false, "hold").await.unwrap_err();
    assert_eq!(refused.code, RejectCode::RateLimited.number());
    assert!((30_000..=60_000).contains(&refused.retry_after_ms), "{refused:?}");
    let edited = Edit { write: write(&author, &room), seq: said.seq, body: Body::parse("hold").unwrap() };
    assert_eq!(refusal(&author, Command::Edit(edited)).await.code, RejectCode::RateLimited.number());
    assert_eq!(server.metric(r#"confab_limited_total{limit="holds_per_user"}"#).await, 2.0);
    assert_eq!(cases(&owner, false).await.len(), AT_ONCE);
    // What was found of it is in the audit all the same, of no case.
    let (user, case, plugin, before) = (None, None, None, AuditId::NONE);
    let list = ListAudit { room: Some(room.id), user, case, plugin, before, limit: 0 };
    let Ok(Reply::Audit { records, .. }) = owner.client.request(Command::ListAudit(list)).await else { panic!() };
    let of_none = records.iter().filter(|entry| decode_audit(&entry.record).unwrap().case.is_none()).count();
    assert_eq!((records.len(), of_none), (AT_ONCE + 2, 2));
    // What was held is known still, what was refused may come again, and others are others.
    assert_eq!(publish(&author, &room, first, true, "hold").await, held);
    assert!(matches!(publish(&author, &room, later, true, "better words").await, Ok(Reply::Appended(_))));
    let other = Person::register(&server, Transport::Quic, "other").await;
    other.enter("den").await;
    assert!(matches!(post(&other, &room, "hold").await, Ok(Reply::Held(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_held_does_not_replace_what_was_said_since() {
    let (_server, owner, author, room, seq) = den().await;
    let Reply::Held(case) = edit(&author, &room, seq, "hold").await else { panic!() };
    assert!(matches!(edit(&author, &room, seq, "better words").await, Reply::Appended(_)));
    decide(&owner, case, CaseDecision::Release).await;
    assert_eq!(failure(&owner, case).await.as_deref(), Some("it was edited since"));
    assert_eq!(author.history(&room).await, [(seq, "better words".to_owned())]);
    // By itself it is posted, and its case is about the message.
    let Reply::Held(case) = edit(&author, &room, seq, "hold").await else { panic!() };
    decide(&owner, case, CaseDecision::Release).await;
    assert_eq!(failure(&owner, case).await, None);
    assert_eq!(author.history(&room).await, [(seq, "hold".to_owned())]);
    assert_eq!(file(&author, case).await.case.seq, Some(seq));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_appeal_gives_back_what_it_was_about() {
    let (_server, owner, author, room, _) = den().await;
    mute(&owner, &author, &room, 3_600_000).await;
    mute(&owner, &author, &room, 7_200_000).await;
    let ids: Vec<CaseId> = cases(&author, true).await.iter().map(|case| case.id).collect();
    // What was done and why is read by who decides, and by whom it hit, who is not told by whom.
    for (person, actor) in [(&owner, Some(owner.session.identity.user)), (&author, None)] {
        let opened = file(person, ids[0]).await.events.remove(0);
        assert_eq!((opened.act, opened.actor, opened.text.as_str()), (CaseAct::Open, actor, "mute for 2h: enough"));
    }
    for id in ids.iter().rev() {
        appeal(&author, *id).await;
        decide(&owner, *id, CaseDecision::Reverse).await;
    }
    let [second, first] = ids.as_slice() else { panic!("{ids:?}") };
    assert_eq!(failure(&owner, *first).await.as_deref(), Some("what holds now is another sanction"));
    assert_eq!(failure(&owner, *second).await, None);
    assert!(matches!(post(&author, &room, "thank you").await, Ok(Reply::Appended(_))));
}

/// A moderator neither mutes an admin nor lifts that, be it by way of an appeal; the only one who could, who did it, decides
/// again.
#[tokio::test(flavor = "multi_thread")]
async fn an_appeal_is_granted_by_who_could_have_done_what_it_is_about() {
    let (server, owner, author, room, _) = den().await;
    let mia = Person::register(&server, Transport::Quic, "mia").await;
    mia.enter("den").await;
    for (person, role) in [(&author, RoomRole::Admin), (&mia, RoomRole::Moderator)] {
        let set = SetRole { write: write(&owner, &room), user: person.session.identity.user, role };
        assert!(matches!(owner.client.request(Command::SetRole(set)).await, Ok(Reply::Appended(_))));
    }
    mute(&owner, &author, &room, 3_600_000).await;
    let case = cases(&author, true).await[0].id;
    appeal(&author, case).await;
    let step = CaseStep::Decide(CaseDecision::Reverse, CaseText::default());
    let refused = refusal(&mia, Command::UpdateCase(UpdateCase { case, step })).await;
    assert!(refused.is(RejectCode::Forbidden), "{refused}");
    assert!(post(&author, &room, "am I heard?").await.is_err());
    decide(&owner, case, CaseDecision::Reverse).await;
    assert_eq!(failure(&owner, case).await, None);
    assert!(matches!(post(&author, &room, "thank you").await, Ok(Reply::Appended(_))));
    // That it was right anybody who moderates there may find.
    mute(&owner, &author, &room, 3_600_000).await;
    let case = cases(&author, true).await[0].id;
    appeal(&author, case).await;
    decide(&mia, case, CaseDecision::Uphold).await;
    assert!(post(&author, &room, "am I heard?").await.is_err());
}
