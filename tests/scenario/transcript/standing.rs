//! Logins and passwords of one's own, and what those do to accounts who run the server.

use confab_protocol::command::{Command, EndSession, Register, Reply, Secret};
use confab_protocol::model::{SanctionKind, ServerRole, UserId};
use confab_protocol::reject::Reject;
use expect_test::expect;

use super::check;
use super::stage::{PASSWORD, Stage, login, named, new_room, register, room};
use crate::support::raw::{client_id, publish};

const OTHER: &str = "another horse";

fn change(current: &str, next: &str) -> Command {
    Command::ChangePassword { current: Secret::new(current), next: Secret::new(next) }
}

fn reset(token: &Secret, password: &str) -> Command {
    Command::ResetPassword { token: token.clone(), password: Secret::new(password) }
}

fn restrict(user: UserId, kind: SanctionKind, duration_ms: u64) -> Command {
    Command::Restrict { user, kind, duration_ms }
}

fn invited(result: Result<Reply, Reject>) -> Secret {
    match result {
        Ok(Reply::Invited { token, .. }) => token,
        other => panic!("{other:?}"),
    }
}

fn register_with(name: &str, invite: &Secret) -> Command {
    let Command::Register(register) = register(name, PASSWORD) else { unreachable!() };
    Command::Register(Register { invite: Some(invite.clone()), ..register })
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_listed_and_ended() {
    let script = async |stage: &mut Stage| {
        let first = stage.register("alice").await;
        stage.connect("alice at work", None).await;
        let _ = stage.ask("alice at work", login("alice", PASSWORD, None)).await;
        stage.connect("alice abroad", None).await;
        let _ = stage.ask("alice abroad", login("alice", PASSWORD, None)).await;
        let _ = stage.ask("alice at work", Command::Sessions).await;
        let _ = stage.ask("alice at work", Command::EndSession(EndSession::Of(first.identity.device))).await;
        stage.is_closed("alice").await;
        let _ = stage.ask("alice at work", Command::EndSession(EndSession::AllOthers)).await;
        stage.is_closed("alice abroad").await;
        let _ = stage.ask("alice at work", Command::Sessions).await;
        stage.connect("alice", Some(&first.access_token)).await;
        stage.connect("alice", None).await;
        let _ = stage.ask("alice", Command::Refresh(first.refresh_token)).await;
        let _ = stage.ask("alice", Command::Sessions).await;
    };
    check(
        script,
        expect![[r#"
        alice > hello
        alice < welcome version 1: nobody
        alice > register alice
        alice < session user-1 alice "alice Doe" User on device-1 with room-1
        alice at work > hello
        alice at work < welcome version 1: nobody
        alice at work > login alice on none
        alice at work < session user-1 alice "alice Doe" User on device-2 with room-1
        alice abroad > hello
        alice abroad < welcome version 1: nobody
        alice abroad > login alice on none
        alice abroad < session user-1 alice "alice Doe" User on device-3 with room-1
        alice at work > sessions
        alice at work < sessions
            device device-1 "phone"
            device device-2 "laptop", this one
            device device-3 "laptop"
        alice at work > end_session device-1
        alice at work < ok
        alice < closed 4203 this device was logged out
        alice at work > end_session of all others
        alice at work < ok
        alice abroad < closed 4203 this device was logged out
        alice at work > sessions
        alice at work < sessions
            device device-2 "laptop", this one
        alice > hello with a token
        alice < closed 4201 the token is not valid: log in again
        alice > hello
        alice < welcome version 1: nobody
        alice > refresh with a token
        alice < reject 2002 the token is not valid: log in again
        alice > sessions
        alice < reject 1003 log in first
    "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_change() {
    let script = async |stage: &mut Stage| {
        let owner = stage.register_owner("owner").await;
        let alice = stage.register("alice").await;
        stage.connect("alice abroad", None).await;
        let _ = stage.ask("alice abroad", login("alice", PASSWORD, None)).await;
        let _ = stage.ask("alice", change("wrong horse", OTHER)).await;
        let _ = stage.ask("alice", change(PASSWORD, "short")).await;
        let _ = stage.ask("alice", change(PASSWORD, OTHER)).await;
        stage.is_closed("alice abroad").await;
        stage.connect("alice abroad", None).await;
        let _ = stage.ask("alice abroad", login("alice", PASSWORD, None)).await;
        // Somebody forgot it.
        let _ = stage.ask("alice", Command::IssueReset(owner.identity.user)).await;
        let _ = stage.ask("owner", Command::IssueReset(owner.identity.user)).await;
        let _ = stage.ask("owner", Command::IssueReset(UserId::from_u128(7))).await;
        let token = invited(stage.ask("owner", Command::IssueReset(alice.identity.user)).await);
        let second = invited(stage.ask("owner", Command::IssueReset(alice.identity.user)).await);
        stage.connect("stranger", None).await;
        let _ = stage.ask("stranger", reset(&Secret::new("nonsense"), PASSWORD)).await;
        let _ = stage.ask("stranger", reset(&token, "short")).await;
        let _ = stage.ask("stranger", reset(&token, PASSWORD)).await;
        stage.is_closed("alice").await;
        let _ = stage.ask("stranger", reset(&token, PASSWORD)).await;
        let _ = stage.ask("stranger", reset(&second, PASSWORD)).await;
        let _ = stage.ask("stranger", login("alice", PASSWORD, None)).await;
    };
    check(
        script,
        expect![[r#"
            owner > hello
            owner < welcome version 1: nobody
            owner > register owner as owner
            owner < session user-1 owner "owner Doe" Owner on device-1 with room-1
            alice > hello
            alice < welcome version 1: nobody
            alice > register alice
            alice < session user-2 alice "alice Doe" User on device-2 with room-2
            alice abroad > hello
            alice abroad < welcome version 1: nobody
            alice abroad > login alice on none
            alice abroad < session user-2 alice "alice Doe" User on device-3 with room-2
            alice > change_password
            alice < reject 2001 user name or password is wrong
            alice > change_password
            alice < reject 1001 the password is too short: at least 8 bytes
            alice > change_password
            alice < ok
            alice abroad < closed 4203 this device was logged out
            alice abroad > hello
            alice abroad < welcome version 1: nobody
            alice abroad > login alice on none
            alice abroad < reject 2001 user name or password is wrong
            alice > issue_reset user-1
            alice < reject 2006 you may not do that here
            owner > issue_reset user-1
            owner < reject 2006 you may not do that here
            owner > issue_reset user-3
            owner < reject 2006 you may not do that here
            owner > issue_reset user-2
            owner < invited
            owner > issue_reset user-2
            owner < invited
            stranger > hello
            stranger < welcome version 1: nobody
            stranger > reset_password
            stranger < reject 2008 this invitation is not good (any more): ask for another
            stranger > reset_password
            stranger < reject 1001 the password is too short: at least 8 bytes
            stranger > reset_password
            stranger < ok
            alice < closed 4203 this device was logged out
            stranger > reset_password
            stranger < reject 2008 this invitation is not good (any more): ask for another
            stranger > reset_password
            stranger < reject 2008 this invitation is not good (any more): ask for another
            stranger > login alice on none
            stranger < session user-2 alice "alice Doe" User on device-4 with room-2
        "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_run_the_server_restrict_accounts() {
    let script = async |stage: &mut Stage| {
        let owner = stage.register_owner("owner").await;
        let alice = stage.register("alice").await;
        let bob = stage.register("bob").await;
        let (owner, alice_id, bob_id) = (owner.identity.user, alice.identity.user, bob.identity.user);
        let hall = room(stage.ask("bob", new_room("hall")).await).id;
        let _ = stage.ask("alice", restrict(bob_id, SanctionKind::Mute, 0)).await;
        let _ = stage.ask("alice", Command::SetServerRole { user: alice_id, role: ServerRole::Admin }).await;
        let _ = stage.ask("owner", Command::SetServerRole { user: owner, role: ServerRole::User }).await;
        let _ = stage.ask("owner", Command::SetServerRole { user: alice_id, role: ServerRole::Moderator }).await;
        stage.is_closed("alice").await;
        stage.connect("alice", Some(&alice.access_token)).await;
        let _ = stage.ask("alice", Command::SetServerRole { user: bob_id, role: ServerRole::Moderator }).await;
        let _ = stage.ask("alice", Command::IssueReset(bob_id)).await;
        let _ = stage.ask("alice", restrict(owner, SanctionKind::Ban, 0)).await;
        let _ = stage.ask("alice", restrict(alice_id, SanctionKind::Ban, 0)).await;
        let _ = stage.ask("alice", restrict(UserId::from_u128(7), SanctionKind::Ban, 0)).await;
        let _ = stage.ask("alice", restrict(bob_id, SanctionKind::Mute, 0)).await;
        stage.is_closed("bob").await;
        stage.connect("bob", Some(&bob.access_token)).await;
        let _ = stage.ask("bob", publish(hall, client_id(), "may I?")).await;
        let _ = stage.ask("bob", new_room("another")).await;
        let _ = stage.ask("bob", Command::LeaveRoom(named("hall"))).await;
        let _ = stage.ask("alice", restrict(bob_id, SanctionKind::Lift, 0)).await;
        stage.is_closed("bob").await;
        stage.connect("bob", Some(&bob.access_token)).await;
        let _ = stage.ask("bob", Command::JoinRoom(named("hall"))).await;
        let _ = stage.ask("bob", publish(hall, client_id(), "thank you")).await;
        let _ = stage.ask("alice", restrict(bob_id, SanctionKind::Kick, 0)).await;
        stage.is_closed("bob").await;
        stage.connect("bob", Some(&bob.access_token)).await;
        stage.connect("bob", None).await;
        let bob = super::stage::session(stage.ask("bob", login("bob", PASSWORD, None)).await);
        let _ = stage.ask("alice", restrict(bob_id, SanctionKind::Ban, 3_600_000)).await;
        stage.is_closed("bob").await;
        stage.connect("bob", Some(&bob.access_token)).await;
        stage.connect("bob", None).await;
        let _ = stage.ask("bob", login("bob", "wrong horse", None)).await;
        let _ = stage.ask("bob", login("bob", PASSWORD, None)).await;
        let _ = stage.ask("bob", Command::Refresh(bob.refresh_token)).await;
        let _ = stage.ask("alice", restrict(bob_id, SanctionKind::Lift, 0)).await;
        let _ = stage.ask("bob", login("bob", PASSWORD, None)).await;
    };
    check(
        script,
        expect![[r#"
            owner > hello
            owner < welcome version 1: nobody
            owner > register owner as owner
            owner < session user-1 owner "owner Doe" Owner on device-1 with room-1
            alice > hello
            alice < welcome version 1: nobody
            alice > register alice
            alice < session user-2 alice "alice Doe" User on device-2 with room-2
            bob > hello
            bob < welcome version 1: nobody
            bob > register bob
            bob < session user-3 bob "bob Doe" User on device-3 with room-3
            bob > create_room room-4 "hall"
            bob < room-4 Channel "hall" about "talk" history-1 1..1 role Some(Owner) members 1
            alice > restrict Mute user-3 for 0
            alice < reject 2006 you may not do that here
            alice > set_server_role user-2 Admin
            alice < reject 2006 you may not do that here
            owner > set_server_role user-1 User
            owner < reject 2006 you may not do that here
            owner > set_server_role user-2 Moderator
            owner < ok
            alice < closed 4005 the rights of this account changed: reconnect
            alice > hello with a token
            alice < welcome version 1: user-2 alice "alice Doe" Moderator on device-2 with room-2
            alice > set_server_role user-3 Moderator
            alice < reject 2006 you may not do that here
            alice > issue_reset user-3
            alice < reject 2006 you may not do that here
            alice > restrict Ban user-1 for 0
            alice < reject 2006 you may not do that here
            alice > restrict Ban user-2 for 0
            alice < reject 2006 you may not do that here
            alice > restrict Ban user-4 for 0
            alice < reject 2006 you may not do that here
            alice > restrict Mute user-3 for 0
            alice < ok
            bob < closed 4005 the rights of this account changed: reconnect
            bob > hello with a token
            bob < welcome version 1: user-3 bob "bob Doe" User on device-3 with room-3
            bob > publish room-4 client-1 "may I?"
            bob < reject 2010 you may read but not write on this server for now
            bob > create_room room-5 "another"
            bob < reject 2010 you may read but not write on this server for now
            bob > leave_room "hall"
            bob < ok
            alice > restrict Lift user-3 for 0
            alice < ok
            bob < closed 4005 the rights of this account changed: reconnect
            bob > hello with a token
            bob < welcome version 1: user-3 bob "bob Doe" User on device-3 with room-3
            bob > join_room "hall"
            bob < room-4 Channel "hall" about "talk" history-1 1..3 role Some(Owner) members 1
            bob > publish room-4 client-2 "thank you"
            bob < appended 4
            alice > restrict Kick user-3 for 0
            alice < ok
            bob < closed 4203 this device was logged out
            bob > hello with a token
            bob < closed 4201 the token is not valid: log in again
            bob > hello
            bob < welcome version 1: nobody
            bob > login bob on none
            bob < session user-3 bob "bob Doe" User on device-4 with room-3
            alice > restrict Ban user-3 for 3600000
            alice < ok
            bob < closed 4204 this account may not connect
            bob > hello with a token
            bob < closed 4204 this account may not connect
            bob > hello
            bob < welcome version 1: nobody
            bob > login bob on none
            bob < reject 2001 user name or password is wrong
            bob > login bob on none
            bob < reject 2009 this account was banned by those who run the server
            bob > refresh with a token
            bob < reject 2002 the token is not valid: log in again
            alice > restrict Lift user-3 for 0
            alice < ok
            bob > login bob on none
            bob < session user-3 bob "bob Doe" User on device-5 with room-3
        "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_registers_by_invitation() {
    let script = async |stage: &mut Stage| {
        stage.register_owner("owner").await;
        stage.register("alice").await;
        let _ = stage.ask("alice", Command::InviteAccount { uses: 1, duration_ms: 60_000 }).await;
        let token = invited(stage.ask("owner", Command::InviteAccount { uses: 2, duration_ms: 60_000 }).await);
        for (who, name, invite) in [
            ("bob", "bob", &token),
            ("carol", "bob", &token),
            ("dave", "dave", &Secret::new("nonsense")),
            ("erin", "erin", &token),
            ("frank", "frank", &token),
        ] {
            stage.connect(who, None).await;
            let _ = stage.ask(who, register_with(name, invite)).await;
        }
    };
    check(
        script,
        expect![[r#"
        owner > hello
        owner < welcome version 1: nobody
        owner > register owner as owner
        owner < session user-1 owner "owner Doe" Owner on device-1 with room-1
        alice > hello
        alice < welcome version 1: nobody
        alice > register alice
        alice < session user-2 alice "alice Doe" User on device-2 with room-2
        alice > invite_account uses 1 for 60000
        alice < reject 2006 you may not do that here
        owner > invite_account uses 2 for 60000
        owner < invited
        bob > hello
        bob < welcome version 1: nobody
        bob > register bob by invitation
        bob < session user-3 bob "bob Doe" User on device-3 with room-3
        carol > hello
        carol < welcome version 1: nobody
        carol > register bob by invitation
        carol < reject 2005 that user name is taken: choose another
        dave > hello
        dave < welcome version 1: nobody
        dave > register dave by invitation
        dave < reject 2008 this invitation is not good (any more): ask for another
        erin > hello
        erin < welcome version 1: nobody
        erin > register erin by invitation
        erin < session user-4 erin "erin Doe" User on device-4 with room-4
        frank > hello
        frank < welcome version 1: nobody
        frank > register frank by invitation
        frank < reject 2008 this invitation is not good (any more): ask for another
    "#]],
    )
    .await;
}
