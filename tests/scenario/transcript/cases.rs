//! From a report to a case to a decision, an appeal and its end, and what the audit keeps of it. What was
//! done to somebody goes the same way.

use confab_protocol::command::{
    About, Appeal, CaseFilter, CaseStep, Command, Delete, History, ListAudit, ListCases, Reply, Report, RoomTarget,
    SanctionUser, SetRole, UpdateCase,
};
use confab_protocol::model::{
    AuditId, CaseDecision, CaseId, CaseText, Reason, ReportReason, RoomId, RoomRole, SanctionKind, Seq, UserId,
};
use confab_protocol::reject::Reject;
use expect_test::expect;

use super::check;
use super::stage::{Stage, named, new_room, room};
pub(super) use crate::support::commands::write;
use crate::support::raw::{client_id, publish};

pub(super) fn words(text: &str) -> CaseText {
    CaseText::parse(text).unwrap()
}

pub(super) fn report(room: RoomId, seq: u64, text: &str) -> Command {
    let (about, reason) = (About::Message(Seq(seq)), ReportReason::Harassment);
    Command::Report(Report { room, about, reason, text: words(text) })
}

pub(super) fn cases(room: Option<RoomId>, state: CaseFilter, mine: bool) -> Command {
    Command::ListCases(ListCases { room, state, kind: None, mine, about: None, before: CaseId::NONE, limit: 0 })
}

fn cases_about(about: UserId, mine: bool) -> Command {
    let (about, before) = (Some(about), CaseId::NONE);
    Command::ListCases(ListCases { room: None, state: CaseFilter::Any, kind: None, mine, about, before, limit: 0 })
}

pub(super) fn update(case: CaseId, step: CaseStep) -> Command {
    Command::UpdateCase(UpdateCase { case, step })
}

pub(super) fn decide(case: CaseId, decision: CaseDecision, why: &str) -> Command {
    update(case, CaseStep::Decide(decision, words(why)))
}

pub(super) fn appeal(case: CaseId, text: &str) -> Command {
    Command::Appeal(Appeal { case, text: words(text) })
}

pub(super) fn audit(room: Option<RoomId>, user: Option<UserId>, case: Option<CaseId>) -> Command {
    let (plugin, before) = (None, AuditId::NONE);
    Command::ListAudit(ListAudit { room, user, case, plugin, before, limit: 0 })
}

pub(super) fn case_of(reply: Result<Reply, Reject>) -> CaseId {
    match reply {
        Ok(Reply::Reported(case) | Reply::Held(case)) => case,
        Ok(Reply::Cases { cases, .. }) => cases.first().unwrap().id,
        other => panic!("{other:?}"),
    }
}

pub(super) fn sanction(room: RoomId, user: UserId, kind: SanctionKind) -> Command {
    let reason = Reason::parse("enough").unwrap();
    Command::Sanction(SanctionUser { write: write(room), user, kind, duration_ms: 3_600_000, reason })
}

/// Alice owns the room, mia moderates it, bob and carol are in it.
pub(super) async fn hall(stage: &mut Stage) -> (RoomId, [UserId; 4]) {
    let mut users = Vec::new();
    for who in ["alice", "mia", "bob", "carol"] {
        users.push(stage.register(who).await.identity.user);
    }
    let hall = room(stage.ask("alice", new_room("hall")).await).id;
    for who in ["mia", "bob", "carol"] {
        let _ = stage.ask(who, Command::JoinRoom(named("hall"))).await;
    }
    let users: [UserId; 4] = users.try_into().unwrap();
    let set = SetRole { write: write(hall), user: users[1], role: RoomRole::Moderator };
    let _ = stage.ask("alice", Command::SetRole(set)).await;
    (hall, users)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_goes_to_its_decision_an_appeal_and_its_end() {
    let script = async |stage: &mut Stage| {
        let (hall, [_, _, bob, carol]) = hall(stage).await;
        let _ = stage.ask("carol", publish(hall, client_id(), "good morning")).await;
        let _ = stage.ask("bob", publish(hall, client_id(), "carol is a fool")).await;
        let case = case_of(stage.ask("carol", report(hall, 7, "he always does")).await);
        let _ = stage.ask("carol", report(hall, 7, "again")).await;
        let _ = stage.ask("alice", report(hall, 7, "I saw it too")).await;
        let _ = stage.ask("bob", report(hall, 7, "it was me")).await;
        let _ = stage.ask("carol", report(hall, 99, "what?")).await;
        let _ = stage.ask("carol", report(hall, 1, "no message")).await;
        // Whoever it is about, and everybody else, knows nothing of it.
        let _ = stage.ask("bob", Command::Case(case)).await;
        let _ = stage.ask("bob", cases(None, CaseFilter::Any, true)).await;
        let _ = stage.ask("bob", cases(Some(hall), CaseFilter::Any, false)).await;
        let _ = stage.ask("bob", cases_about(bob, false)).await;
        let _ = stage.ask("bob", cases_about(bob, true)).await;
        let _ = stage.ask("bob", update(case, CaseStep::Take)).await;
        let _ = stage.ask("carol", update(case, CaseStep::Take)).await;
        let _ = stage.ask("bob", appeal(case, "I know nothing")).await;
        // The text is kept as it was reported.
        let delete = Delete { write: write(hall), seqs: vec![Seq(6)] };
        let _ = stage.ask("carol", Command::Delete(delete)).await;
        let _ = stage.ask("mia", cases(None, CaseFilter::Waiting, false)).await;
        // Whom it is about is asked for by who moderates, and by who reported.
        let _ = stage.ask("mia", cases_about(bob, false)).await;
        let _ = stage.ask("mia", cases_about(carol, false)).await;
        let _ = stage.ask("carol", cases_about(bob, false)).await;
        let _ = stage.ask("carol", cases_about(bob, true)).await;
        let _ = stage.ask("mia", update(case, CaseStep::Take)).await;
        let _ = stage.ask("mia", update(case, CaseStep::Note(words("third time this week")))).await;
        let _ = stage.ask("mia", Command::Case(case)).await;
        let _ = stage.ask("mia", decide(case, CaseDecision::Release, "")).await;
        let _ = stage.ask("mia", decide(case, CaseDecision::Remove, "no insults here")).await;
        let _ = stage.ask("mia", decide(case, CaseDecision::Dismiss, "")).await;
        let _ = stage.ask("carol", Command::Case(case)).await;
        let _ = stage.ask("bob", Command::Case(case)).await;
        let _ = stage.ask("bob", appeal(case, "it was a joke")).await;
        let _ = stage.ask("bob", appeal(case, "really")).await;
        let _ = stage.ask("mia", decide(case, CaseDecision::Uphold, "")).await;
        let _ = stage.ask("alice", decide(case, CaseDecision::Uphold, "we do not joke like this")).await;
        let _ = stage.ask("bob", Command::Case(case)).await;
        let _ = stage.ask("alice", Command::Case(case)).await;
        let _ = stage.ask("bob", Command::History(History::before(hall, Seq(0), 0))).await;
        let _ = stage.ask("alice", audit(Some(hall), None, Some(case))).await;
        let _ = stage.ask("alice", audit(Some(hall), Some(bob), None)).await;
        let _ = stage.ask("alice", audit(None, None, None)).await;
        let _ = stage.ask("carol", audit(Some(hall), None, None)).await;
    };
    check(
        script,
        expect![[r#"
            alice > hello
            alice < welcome version 1: nobody
            alice > register alice
            alice < session user-1 alice "alice Doe" User on device-1 with room-1
            mia > hello
            mia < welcome version 1: nobody
            mia > register mia
            mia < session user-2 mia "mia Doe" User on device-2 with room-2
            bob > hello
            bob < welcome version 1: nobody
            bob > register bob
            bob < session user-3 bob "bob Doe" User on device-3 with room-3
            carol > hello
            carol < welcome version 1: nobody
            carol > register carol
            carol < session user-4 carol "carol Doe" User on device-4 with room-4
            alice > create_room room-5 "hall"
            alice < room-5 Channel "hall" about "talk" history-1 1..1 role Some(Owner) members 1
            mia > join_room "hall"
            mia < room-5 Channel "hall" about "talk" history-1 1..2 role Some(Member) members 2
            bob > join_room "hall"
            bob < room-5 Channel "hall" about "talk" history-1 1..3 role Some(Member) members 3
            carol > join_room "hall"
            carol < room-5 Channel "hall" about "talk" history-1 1..4 role Some(Member) members 4
            alice > set_role room-5 client-1 user-2 Moderator
            alice < appended 5
            carol > publish room-5 client-2 "good morning"
            carol < appended 6
            bob > publish room-5 client-3 "carol is a fool"
            bob < appended 7
            carol > report room-5 message 7 Harassment "he always does"
            carol < reported as case-1
            carol > report room-5 message 7 Harassment "again"
            carol < reported as case-1
            alice > report room-5 message 7 Harassment "I saw it too"
            alice < reported as case-1
            bob > report room-5 message 7 Harassment "it was me"
            bob < reject 2006 you may not do that here
            carol > report room-5 message 99 Harassment "what?"
            carol < reject 3008 there is no such message (any more)
            carol > report room-5 message 1 Harassment "no message"
            carol < reject 3008 there is no such message (any more)
            bob > case case-1
            bob < reject 3011 there is no such case here
            bob > cases everywhere Any mine before none limit 0
            bob < cases, next none
            bob > cases room-5 Any before none limit 0
            bob < reject 2006 you may not do that here
            bob > cases everywhere Any about user-3 before none limit 0
            bob < cases, next none
            bob > cases everywhere Any mine about user-3 before none limit 0
            bob < cases, next none
            bob > update_case case-1 take
            bob < reject 3011 there is no such case here
            carol > update_case case-1 take
            carol < reject 3011 there is no such case here
            bob > appeal case-1 "I know nothing"
            bob < reject 3011 there is no such case here
            carol > delete room-5 client-4 [6]
            carol < appended 8
            mia > cases everywhere Waiting before none limit 0
            mia < cases, next none
                case-1 Report Open room-5 of user-3 message 7 Harassment x2
            mia > cases everywhere Any about user-3 before none limit 0
            mia < cases, next none
                case-1 Report Open room-5 of user-3 message 7 Harassment x2
            mia > cases everywhere Any about user-4 before none limit 0
            mia < cases, next none
            carol > cases everywhere Any about user-3 before none limit 0
            carol < cases, next none
            carol > cases everywhere Any mine about user-3 before none limit 0
            carol < cases, next none
                case-1 Report Open room-5 of user-3 message 7
            mia > update_case case-1 take
            mia < ok
            mia > update_case case-1 note "third time this week"
            mia < ok
            mia > case case-1
            mia < case-1 Report Taken room-5 of user-3 message 7 Harassment x2 by user-2
                user-4 Open "he always does"
                user-1 Report "harassment: I saw it too"
                user-2 Take ""
                user-2 Note "third time this week"
                  6 user-4: message "good morning" as client-2
                > 7 user-3: message "carol is a fool" as client-3
            mia > update_case case-1 decide Release ""
            mia < reject 5003 that cannot be done with the case as it is now: look at it again
            mia > update_case case-1 decide Remove "no insults here"
            mia < ok
            mia > update_case case-1 decide Dismiss ""
            mia < reject 5003 that cannot be done with the case as it is now: look at it again
            carol > case case-1
            carol < case-1 Report Decided Remove room-5 of user-3 message 7
                user-4 Open "he always does"
                none Decide Remove "no insults here"
            bob > case case-1
            bob < case-1 Report Decided Remove room-5 of user-3 message 7 Harassment x0 appealable
                none Decide Remove "no insults here"
            bob > appeal case-1 "it was a joke"
            bob < ok
            bob > appeal case-1 "really"
            bob < reject 5003 that cannot be done with the case as it is now: look at it again
            mia > update_case case-1 decide Uphold ""
            mia < reject 2006 you may not do that here
            alice > update_case case-1 decide Uphold "we do not joke like this"
            alice < ok
            bob > case case-1
            bob < case-1 Report Closed Uphold room-5 of user-3 message 7 Harassment x0
                none Decide Remove "no insults here"
                user-3 Appeal "it was a joke"
                none Decide Uphold "we do not joke like this"
            alice > case case-1
            alice < case-1 Report Closed Uphold room-5 of user-3 message 7 Harassment x2
                user-4 Open "he always does"
                user-1 Report "harassment: I saw it too"
                user-2 Take ""
                user-2 Note "third time this week"
                user-2 Decide Remove "no insults here"
                user-3 Appeal "it was a joke"
                user-1 Decide Uphold "we do not joke like this"
                  6 user-4: message "good morning" as client-2
                > 7 user-3: message "carol is a fool" as client-3
            bob > history room-5 before 0 limit 0
            bob < page room-5 history-1 head 9 next 0
            alice > audit room-5 of case-1 limit 0
            alice < audit
                user-1 decide room-5 user-3 7 case-1 "uphold: appealed -> closed"
                user-3 appeal room-5 user-3 7 case-1 "decided -> appealed"
                user-2 delete room-5 user-3 7 case-1 "" hashes of 32 and 0 bytes
                user-2 decide room-5 user-3 7 case-1 "remove: taken -> decided"
                user-2 note room-5 user-3 7 case-1 "taken -> taken"
                user-2 take room-5 user-3 7 case-1 "open -> taken"
                user-1 report room-5 user-3 7 case-1 ""
                user-4 report room-5 user-3 7 case-1 ""
            alice > audit room-5 of user-3 limit 0
            alice < audit
                user-1 decide room-5 user-3 7 case-1 "uphold: appealed -> closed"
                user-3 appeal room-5 user-3 7 case-1 "decided -> appealed"
                user-2 delete room-5 user-3 7 case-1 "" hashes of 32 and 0 bytes
                user-2 decide room-5 user-3 7 case-1 "remove: taken -> decided"
                user-2 note room-5 user-3 7 case-1 "taken -> taken"
                user-2 take room-5 user-3 7 case-1 "open -> taken"
                user-1 report room-5 user-3 7 case-1 ""
                user-4 report room-5 user-3 7 case-1 ""
            alice > audit everywhere limit 0
            alice < reject 2006 you may not do that here
            carol > audit room-5 limit 0
            carol < reject 2006 you may not do that here
        "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_sanctioned_appeals_and_it_is_lifted() {
    let script = async |stage: &mut Stage| {
        let (hall, [alice, mia, bob, _]) = hall(stage).await;
        let _ = stage.ask("mia", sanction(hall, bob, SanctionKind::Ban)).await;
        let case = case_of(stage.ask("bob", cases(None, CaseFilter::Any, true)).await);
        let _ = stage.ask("bob", appeal(case, "what did I do?")).await;
        let _ = stage.ask("mia", decide(case, CaseDecision::Reverse, "")).await;
        let _ = stage.ask("alice", decide(case, CaseDecision::Reverse, "nothing, it seems")).await;
        let _ = stage.ask("bob", Command::JoinRoom(RoomTarget::Id(hall))).await;
        let _ = stage.ask("bob", publish(hall, client_id(), "thank you")).await;
        // A shadow is told to nobody.
        let _ = stage.ask("mia", sanction(hall, bob, SanctionKind::Shadow)).await;
        let _ = stage.ask("bob", cases(None, CaseFilter::Any, true)).await;
        // Nobody is reported for what they say to themselves, and persons are reported where they are.
        let person = |user| {
            let (about, reason) = (About::Person(user), ReportReason::Spam);
            Command::Report(Report { room: hall, about, reason, text: words("") })
        };
        let _ = stage.ask("bob", person(bob)).await;
        let _ = stage.ask("bob", person(UserId::from_u128(7))).await;
        let reported = case_of(stage.ask("bob", person(mia)).await);
        // Nobody finds what is about themselves.
        let _ = stage.ask("mia", cases_about(mia, false)).await;
        let _ = stage.ask("alice", cases_about(mia, false)).await;
        let _ = stage.ask("mia", decide(reported, CaseDecision::Dismiss, "it is about me")).await;
        let _ = stage.ask("alice", decide(reported, CaseDecision::Remove, "")).await;
        let _ = stage.ask("alice", decide(reported, CaseDecision::Dismiss, "she may")).await;
        let set = SetRole { write: write(hall), user: mia, role: RoomRole::Member };
        let _ = stage.ask("alice", Command::SetRole(set)).await;
        let _ = stage.ask("mia", Command::Case(reported)).await;
        let _ = stage.ask("alice", audit(Some(hall), Some(alice), None)).await;
    };
    check(
        script,
        expect![[r#"
            alice > hello
            alice < welcome version 1: nobody
            alice > register alice
            alice < session user-1 alice "alice Doe" User on device-1 with room-1
            mia > hello
            mia < welcome version 1: nobody
            mia > register mia
            mia < session user-2 mia "mia Doe" User on device-2 with room-2
            bob > hello
            bob < welcome version 1: nobody
            bob > register bob
            bob < session user-3 bob "bob Doe" User on device-3 with room-3
            carol > hello
            carol < welcome version 1: nobody
            carol > register carol
            carol < session user-4 carol "carol Doe" User on device-4 with room-4
            alice > create_room room-5 "hall"
            alice < room-5 Channel "hall" about "talk" history-1 1..1 role Some(Owner) members 1
            mia > join_room "hall"
            mia < room-5 Channel "hall" about "talk" history-1 1..2 role Some(Member) members 2
            bob > join_room "hall"
            bob < room-5 Channel "hall" about "talk" history-1 1..3 role Some(Member) members 3
            carol > join_room "hall"
            carol < room-5 Channel "hall" about "talk" history-1 1..4 role Some(Member) members 4
            alice > set_role room-5 client-1 user-2 Moderator
            alice < appended 5
            mia > sanction room-5 client-2 Ban user-3 for 3600000 "enough"
            mia < appended 6
            bob > cases everywhere Any mine before none limit 0
            bob < cases, next none
                case-1 Sanction Decided Sanction room-5 of user-3 message 6 appealable
            bob > appeal case-1 "what did I do?"
            bob < ok
            mia > update_case case-1 decide Reverse ""
            mia < reject 2006 you may not do that here
            alice > update_case case-1 decide Reverse "nothing, it seems"
            alice < ok
            bob > join_room room-5
            bob < room-5 Channel "hall" about "talk" history-1 1..8 role Some(Member) members 4
            bob > publish room-5 client-3 "thank you"
            bob < appended 9
            mia > sanction room-5 client-4 Shadow user-3 for 3600000 "enough"
            mia < appended 10
            bob > cases everywhere Any mine before none limit 0
            bob < cases, next none
                case-1 Sanction Closed Reverse room-5 of user-3 message 6
            bob > report room-5 user-3 Spam ""
            bob < reject 2006 you may not do that here
            bob > report room-5 user-5 Spam ""
            bob < reject 3009 there is no such user here
            bob > report room-5 user-2 Spam ""
            bob < reported as case-2
            mia > cases everywhere Any about user-2 before none limit 0
            mia < cases, next none
            alice > cases everywhere Any about user-2 before none limit 0
            alice < cases, next none
                case-2 Report Open room-5 of user-2 Spam x1
            mia > update_case case-2 decide Dismiss "it is about me"
            mia < reject 3011 there is no such case here
            alice > update_case case-2 decide Remove ""
            alice < reject 5003 that cannot be done with the case as it is now: look at it again
            alice > update_case case-2 decide Dismiss "she may"
            alice < ok
            alice > set_role room-5 client-5 user-2 Member
            alice < appended 11
            mia > case case-2
            mia < reject 3011 there is no such case here
            alice > audit room-5 of user-1 limit 0
            alice < audit
                user-1 role room-5 user-2 11 none "moderator -> member"
                user-1 decide room-5 user-2 case-2 "dismiss: open -> decided"
                user-1 lift room-5 user-3 7 case-1 ""
                user-1 decide room-5 user-3 6 case-1 "reverse: appealed -> closed"
                user-1 role room-5 user-2 5 none "member -> moderator"
        "#]],
    )
    .await;
}
