//! What plugins hold or flag: to its decision, and what is posted then.

use confab_protocol::command::{About, CaseFilter, Command, Edit, History, ListAudit, Report};
use confab_protocol::model::{AuditId, Body, CaseDecision, CaseState, ReportReason, SanctionKind, Seq};
use expect_test::expect;

use super::cases::{appeal, audit, case_of, cases, decide, hall, sanction, words, write};
use super::check_with;
use super::stage::{PASSWORD, Stage, login, named};
use crate::support::raw::{client_id, publish, resend};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_is_released_or_dropped_and_what_was_dropped_may_come_back() {
    let script = async |stage: &mut Stage| {
        let (hall, [_, _, bob, _]) = hall(stage).await;
        let id = client_id();
        let case = case_of(stage.ask("bob", publish(hall, id, "hold")).await);
        let _ = stage.ask("bob", cases(None, CaseFilter::Any, true)).await;
        let _ = stage.ask("bob", Command::Case(case)).await;
        let _ = stage.ask("bob", decide(case, CaseDecision::Release, "let me")).await;
        let _ = stage.ask("mia", Command::Case(case)).await;
        let _ = stage.ask("mia", decide(case, CaseDecision::Release, "fine")).await;
        let _ = stage.ask("bob", resend(hall, id, "hold")).await;
        let _ = stage.ask("bob", Command::Case(case)).await;

        let second = case_of(stage.ask("bob", publish(hall, client_id(), "hold")).await);
        let _ = stage.ask("mia", decide(second, CaseDecision::Drop, "not twice")).await;
        let _ = stage.ask("bob", appeal(second, "please")).await;
        let _ = stage.ask("alice", decide(second, CaseDecision::Reverse, "very well")).await;
        let _ = stage.ask("bob", Command::Case(second)).await;

        // Another text for a message is held as well.
        let edit = Edit { write: write(hall), seq: Seq(6), body: Body::parse("hold").unwrap() };
        let third = case_of(stage.ask("bob", Command::Edit(edit)).await);
        let _ = stage.ask("mia", decide(third, CaseDecision::Release, "")).await;

        // Who is banned meanwhile does not speak any more.
        let fourth = case_of(stage.ask("bob", publish(hall, client_id(), "hold")).await);
        let _ = stage.ask("mia", sanction(hall, bob, SanctionKind::Ban)).await;
        let _ = stage.ask("mia", decide(fourth, CaseDecision::Release, "")).await;
        let _ = stage.ask("mia", Command::Case(fourth)).await;
        let _ = stage.ask("alice", Command::History(History::before(hall, Seq(0), 0))).await;

        // What is flagged is posted, and looked at.
        let _ = stage.ask("carol", publish(hall, client_id(), "flag")).await;
        let flagged = case_of(stage.ask("mia", cases(Some(hall), CaseFilter::Waiting, false)).await);
        let _ = stage.ask("carol", Command::Case(flagged)).await;
        let _ = stage.ask("mia", decide(flagged, CaseDecision::Dismiss, "nothing odd")).await;
        let _ = stage.ask("carol", Command::Case(flagged)).await;
        let _ = stage.ask("carol", publish(hall, client_id(), "reject")).await;
        let _ = stage.ask("mia", audit(Some(hall), None, None)).await;
    };
    check_with(
        &["hostile"],
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
            bob > publish room-5 client-2 "hold"
            bob < held as case-1
            bob > cases everywhere Any mine before none limit 0
            bob < cases, next none
                case-1 Held Open room-5 of user-3
            bob > case case-1
            bob < case-1 Held Open room-5 of user-3
            bob > update_case case-1 decide Release "let me"
            bob < reject 3011 there is no such case here
            mia > case case-1
            mia < case-1 Held Open room-5 of user-3
                none Open "hostile: told-to"
                > 0 user-3: message "hold" as client-2
            mia > update_case case-1 decide Release "fine"
            mia < ok
            bob > publish again room-5 client-2 "hold"
            bob < appended 6, duplicate
            bob > case case-1
            bob < case-1 Held Decided Release room-5 of user-3 message 6
                none Decide Release "fine"
            bob > publish room-5 client-3 "hold"
            bob < held as case-2
            mia > update_case case-2 decide Drop "not twice"
            mia < ok
            bob > appeal case-2 "please"
            bob < ok
            alice > update_case case-2 decide Reverse "very well"
            alice < ok
            bob > case case-2
            bob < case-2 Held Closed Reverse room-5 of user-3 message 7
                none Decide Drop "not twice"
                user-3 Appeal "please"
                none Decide Reverse "very well"
            bob > edit room-5 client-4 6 to "hold"
            bob < held as case-3
            mia > update_case case-3 decide Release ""
            mia < ok
            bob > publish room-5 client-5 "hold"
            bob < held as case-4
            mia > sanction room-5 client-6 Ban user-3 for 3600000 "enough"
            mia < appended 9
            mia > update_case case-4 decide Release ""
            mia < ok
            mia > case case-4
            mia < case-4 Held Decided Release room-5 of user-3
                none Open "hostile: told-to"
                user-2 Decide Release ""
                none Fail "join the room first"
                > 0 user-3: message "hold" as client-5
                  6 rev 1 user-3: message "hold" as client-2
                  7 user-3: message "hold" as client-3
            alice > history room-5 before 0 limit 0
            alice < page room-5 history-1 head 9 next 6
                6 rev 1 user-3: message "hold" as client-2
                7 user-3: message "hold" as client-3
            carol > publish room-5 client-7 "flag"
            carol < appended 10
            mia > cases room-5 Waiting before none limit 0
            mia < cases, next none
                case-5 Flag Open room-5 of user-4 message 10
            carol > case case-5
            carol < reject 3011 there is no such case here
            mia > update_case case-5 decide Dismiss "nothing odd"
            mia < ok
            carol > case case-5
            carol < reject 3011 there is no such case here
            carol > publish room-5 client-8 "reject"
            carol < reject 5001 no
            mia > audit room-5 limit 0
            mia < audit
                none verdict room-5 user-4 none "" hashes of 32 and 0 bytes hostile message reject told-to "" "no"
                user-2 decide room-5 user-4 10 case-5 "dismiss: open -> decided"
                none verdict room-5 user-4 10 case-5 "" hashes of 32 and 0 bytes hostile message flag told-to "odd" ""
                none fail room-5 user-3 case-4 "decided -> decided"
                user-2 decide room-5 user-3 case-4 "release: open -> decided"
                user-2 ban room-5 user-3 9 case-6 "for 1h"
                none verdict room-5 user-3 case-4 "" hashes of 32 and 0 bytes hostile message hold told-to "" ""
                user-2 release room-5 user-3 8 case-3 "" hashes of 32 and 32 bytes
                user-2 decide room-5 user-3 case-3 "release: open -> decided"
                none verdict room-5 user-3 case-3 "" hashes of 32 and 0 bytes hostile edit hold told-to "" ""
                user-1 release room-5 user-3 7 case-2 "" hashes of 0 and 32 bytes
                user-1 decide room-5 user-3 case-2 "reverse: appealed -> closed"
                user-3 appeal room-5 user-3 case-2 "decided -> appealed"
                user-2 decide room-5 user-3 case-2 "drop: open -> decided"
                none verdict room-5 user-3 case-2 "" hashes of 32 and 0 bytes hostile message hold told-to "" ""
                user-2 release room-5 user-3 6 case-1 "" hashes of 0 and 32 bytes
                user-2 decide room-5 user-3 case-1 "release: open -> decided"
                none verdict room-5 user-3 case-1 "" hashes of 32 and 0 bytes hostile message hold told-to "" ""
        "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_released_reads_as_plugins_left_it_and_comes_from_who_may_speak() {
    let script = async |stage: &mut Stage| {
        let _ = stage.register_owner("olive").await;
        let (hall, [_, mia, bob, _]) = hall(stage).await;
        // One plugin takes out what nobody sees, and the next one holds what is left.
        let case = case_of(stage.ask("bob", publish(hall, client_id(), "ho\u{200b}ld")).await);
        let _ = stage.ask("mia", decide(case, CaseDecision::Release, "")).await;
        let _ = stage.ask("carol", Command::History(History::before(hall, Seq(0), 0))).await;
        // Whoever was silenced everywhere since is not given a voice by one room.
        let muted = case_of(stage.ask("bob", publish(hall, client_id(), "hold")).await);
        let restrict = |kind| Command::Restrict { user: bob, kind, duration_ms: 0 };
        let _ = stage.ask("olive", restrict(SanctionKind::Mute)).await;
        stage.is_closed("bob").await;
        let _ = stage.ask("mia", decide(muted, CaseDecision::Release, "")).await;
        let _ = stage.ask("mia", Command::Case(muted)).await;
        // What was done to somebody twice is not undone by an appeal against one of it.
        let _ = stage.ask("mia", sanction(hall, bob, SanctionKind::Mute)).await;
        let _ = stage.ask("mia", sanction(hall, bob, SanctionKind::Kick)).await;
        stage.connect("bob", None).await;
        let _ = stage.ask("bob", login("bob", PASSWORD, None)).await;
        let kicked = case_of(stage.ask("bob", cases(None, CaseFilter::In(CaseState::Decided), true)).await);
        let _ = stage.ask("bob", appeal(kicked, "why?")).await;
        let _ = stage.ask("alice", decide(kicked, CaseDecision::Reverse, "come back")).await;
        let _ = stage.ask("alice", Command::Case(kicked)).await;
        let _ = stage.ask("bob", Command::JoinRoom(named("hall"))).await;
        // Nobody reads in the audit who reported them, be it by an empty page.
        let person = |user| {
            let (about, reason) = (About::Person(user), ReportReason::Spam);
            Command::Report(Report { room: hall, about, reason, text: words("") })
        };
        let _ = stage.ask("carol", person(mia)).await;
        let list = |limit| {
            let (room, user, case, plugin) = (Some(hall), Some(mia), None, None);
            Command::ListAudit(ListAudit { room, user, case, plugin, before: AuditId::NONE, limit })
        };
        let _ = stage.ask("mia", list(1)).await;
        let _ = stage.ask("mia", cases(Some(hall), CaseFilter::Any, false)).await;
        let _ = stage.ask("alice", list(1)).await;
    };
    check_with(
        &["sanitize", "hostile"],
        script,
        expect![[r#"
        olive > hello
        olive < welcome version 1: nobody
        olive > register olive as owner
        olive < session user-1 olive "olive Doe" Owner on device-1 with room-1
        alice > hello
        alice < welcome version 1: nobody
        alice > register alice
        alice < session user-2 alice "alice Doe" User on device-2 with room-2
        mia > hello
        mia < welcome version 1: nobody
        mia > register mia
        mia < session user-3 mia "mia Doe" User on device-3 with room-3
        bob > hello
        bob < welcome version 1: nobody
        bob > register bob
        bob < session user-4 bob "bob Doe" User on device-4 with room-4
        carol > hello
        carol < welcome version 1: nobody
        carol > register carol
        carol < session user-5 carol "carol Doe" User on device-5 with room-5
        alice > create_room room-6 "hall"
        alice < room-6 Channel "hall" about "talk" history-1 1..1 role Some(Owner) members 1
        mia > join_room "hall"
        mia < room-6 Channel "hall" about "talk" history-1 1..2 role Some(Member) members 2
        bob > join_room "hall"
        bob < room-6 Channel "hall" about "talk" history-1 1..3 role Some(Member) members 3
        carol > join_room "hall"
        carol < room-6 Channel "hall" about "talk" history-1 1..4 role Some(Member) members 4
        alice > set_role room-6 client-1 user-3 Moderator
        alice < appended 5
        bob > publish room-6 client-2 "ho\u{200b}ld"
        bob < held as case-1
        mia > update_case case-1 decide Release ""
        mia < ok
        carol > history room-6 before 0 limit 0
        carol < page room-6 history-1 head 6 next 6
            6 user-4: message "hold" as client-2
        bob > publish room-6 client-3 "hold"
        bob < held as case-2
        olive > restrict Mute user-4 for 0
        olive < ok
        bob < closed 4005 the rights of this account changed: reconnect
        mia > update_case case-2 decide Release ""
        mia < ok
        mia > case case-2
        mia < case-2 Held Decided Release room-6 of user-4
            none Open "hostile: told-to"
            user-3 Decide Release ""
            none Fail "you may read but not write on this server for now"
            > 0 user-4: message "hold" as client-3
              6 user-4: message "hold" as client-2
        mia > sanction room-6 client-4 Mute user-4 for 3600000 "enough"
        mia < appended 7
        mia > sanction room-6 client-5 Kick user-4 for 3600000 "enough"
        mia < appended 8
        bob > hello
        bob < welcome version 1: nobody
        bob > login bob on none
        bob < session user-4 bob "bob Doe" User on device-6 with room-4
        bob > cases everywhere In(Decided) mine before none limit 0
        bob < cases, next none
            case-3 Sanction Decided Sanction room-6 of user-4 message 8 appealable
            case-4 Sanction Decided Sanction room-6 of user-4 message 7 appealable
            case-2 Held Decided Release room-6 of user-4
            case-1 Held Decided Release room-6 of user-4 message 6
        bob > appeal case-3 "why?"
        bob < ok
        alice > update_case case-3 decide Reverse "come back"
        alice < ok
        alice > case case-3
        alice < case-3 Sanction Closed Reverse room-6 of user-4 message 8
            user-3 Open Sanction "kick: enough"
            user-4 Appeal "why?"
            user-2 Decide Reverse "come back"
              6 user-4: message "hold" as client-2
        bob > join_room "hall"
        bob < room-6 Channel "hall" about "talk" history-1 1..9 role Some(Member) members 4
        carol > report room-6 user-3 Spam ""
        carol < reported as case-5
        mia > audit room-6 of user-3 limit 1
        mia < audit
            user-3 kick room-6 user-4 8 case-3 ""
        mia > cases room-6 Any before none limit 0
        mia < cases, next none
            case-3 Sanction Closed Reverse room-6 of user-4 message 8
            case-4 Sanction Decided Sanction room-6 of user-4 message 7
            case-2 Held Decided Release room-6 of user-4
            case-1 Held Decided Release room-6 of user-4 message 6
        alice > audit room-6 of user-3 limit 1
        alice < audit
            user-5 report room-6 user-3 case-5 ""
    "#]],
    )
    .await;
}
