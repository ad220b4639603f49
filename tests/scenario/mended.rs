//! What once went wrong, each with its test.

use std::sync::Arc;

use confab::core::append::{Change, Decision, Item, Order, OrderGuard};
use confab::core::cases::NewRecord;
use confab::core::store::Restrict;
use confab_protocol::close::CloseCode;
use confab_protocol::command::{
    Admit, Appeal, Appended, AuditRecord, CaseFilter, CaseStep, Command, Delete, Edit, ListCases, Login, Reply,
    RoomTarget, SanctionUser, Secret, SetRole, UpdateCase, UpdateRoom, Write,
};
use confab_protocol::model::{
    AuditId, Body, CaseDecision, CaseId, CaseText, Cursor, DeviceName, MembershipChange, Reason, RoomId, RoomRole,
    SanctionKind, Seq, ServerRole, UserId,
};
use confab_protocol::reject::RejectCode;

use super::bare_server;
use super::membership::{changes, leave};
use super::slow::until;
use crate::support::postgres::fresh_url;
use crate::support::raw::{PATIENCE, Raw, Target, accounts, appended, client_id, now, publish, resend, spawn};
use crate::support::{TRANSPORTS, TestServer, Transport};

/// src/tail.rs: a push holds a whole batch, so a leaver gets what was committed behind the leaving.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_heard_behind_ones_own_leaving() {
    let (server, target) = bare_server().await;
    let people = accounts(&server.config, &["alice", "bob"]).await;
    for (index, transport) in TRANSPORTS.into_iter().cycle().take(10).enumerate() {
        let mut bob = Raw::enter(&target, transport, &people[1].1).await;
        let room = bob.join(&format!("exit {index}")).await;
        let mut alice = Raw::enter(&target, transport, &people[0].1).await;
        let joined = alice.join(&room.name).await;
        alice.resume(room.id, room.incarnation, joined.head).await;
        let mut waiting = Vec::new();
        let mut asked = 0;
        for number in 0..60 {
            waiting.push(bob.begin(publish(room.id, client_id(), &format!("{number}"))).await);
            if number == 20 {
                asked = alice.begin(leave(room.id)).await;
            }
        }
        for id in waiting {
            bob.reply(id).await.unwrap();
        }
        assert_eq!(alice.reply(asked).await, Ok(Reply::Ok));
        let log = bob.sync_all(room.id, 0).await;
        let left = changes(&log, people[0].0, MembershipChange::Left)[0];
        let heard = alice.hear_until(room.id, left).await;
        assert_eq!(heard.last().unwrap().seq, left, "{transport:?}: heard behind one's own leaving");
    }
}

/// src/core/append.rs `decide`: joins and leaves are not checked again inside the transaction.
#[tokio::test(flavor = "multi_thread")]
async fn one_comes_once_and_goes_once() {
    let (server, target) = bare_server().await;
    let people = accounts(&server.config, &["alice", "bob"]).await;
    let mut alice = Raw::enter(&target, Transport::Quic, &people[0].1).await;
    let room = alice.join("doors").await;
    let mut one = Raw::enter(&target, Transport::Quic, &people[1].1).await;
    let mut two = Raw::enter(&target, Transport::WebSocket, &people[1].1).await;
    for _ in 0..10 {
        for command in [Command::JoinRoom(RoomTarget::Id(room.id)), leave(room.id)] {
            let (a, b) = (one.begin(command.clone()).await, two.begin(command).await);
            let _ = (one.reply(a).await, two.reply(b).await);
        }
    }
    let log = alice.sync_all(room.id, 0).await;
    assert_eq!(changes(&log, people[1].0, MembershipChange::Joined).len(), 10);
    assert_eq!(changes(&log, people[1].0, MembershipChange::Left).len(), 10);
}

/// src/core/history.rs `catch_up`: goes on reading the log for one who has left.
#[tokio::test(flavor = "multi_thread")]
async fn catching_up_ends_with_ones_own_leaving() {
    let (server, target) = bare_server().await;
    let people = accounts(&server.config, &["alice", "bob"]).await;
    let mut bob = Raw::enter(&target, Transport::Quic, &people[1].1).await;
    let room = bob.join("long").await;
    let mut twin = Raw::enter(&target, Transport::Quic, &people[0].1).await;
    twin.join("long").await;
    let text = "\u{1f600}".repeat(4_000);
    for _ in 0..80 {
        let mut waiting = Vec::new();
        for _ in 0..10 {
            waiting.push(bob.begin(publish(room.id, client_id(), &text)).await);
        }
        for id in waiting {
            bob.reply(id).await.unwrap();
        }
    }
    for transport in TRANSPORTS {
        let head = twin.join("long").await.head;
        let mut alice = Raw::enter(&target, transport, &people[0].1).await;
        alice.resume(room.id, room.incarnation, Seq(0)).await;
        // The buffers are full and the rest waits for the reader.
        assert_eq!(twin.request(leave(room.id)).await, Ok(Reply::Ok));
        for _ in 0..7 {
            bob.say(room.id, "behind their back").await;
        }
        // Before anything that takes long: who takes nothing for 10 s is closed.
        let reading = spawn(async move {
            let heard = alice.hear_until(room.id, head).await;
            alice.request(Command::Ping).await.unwrap();
            (heard, alice)
        });
        let (_, alice) = reading.await.unwrap();
        let log = bob.sync_all(room.id, 0).await;
        let left = *changes(&log, people[0].0, MembershipChange::Left).last().unwrap();
        let last = alice.heard.last().unwrap().2.seq;
        assert!(last <= left, "{transport:?}: heard {last:?}, left at {left:?}");
    }
}

/// src/core/append.rs `OrderGuard::acknowledge`: forgets a failure while items admitted with it still wait.
#[test]
fn a_failure_holds_for_what_was_admitted_before_it_was_known() {
    let guard = Arc::new(OrderGuard::default());
    let room = RoomId::from_u128(1);
    let (first, second) = (guard.admit(room), guard.admit(room));
    first.mark_broken(room);
    guard.acknowledge(room);
    assert!(second.is_broken(room), "queued behind the failure, and not decided yet");
    assert!(!guard.admit(room).is_broken(room), "what comes now is new");
}

/// src/hub.rs `identify`: a connection that changes its user stays counted for the one before, for ever.
#[tokio::test(flavor = "multi_thread")]
async fn who_logs_in_as_another_gives_the_place_back() {
    let (server, target) = bare_server().await;
    for transport in TRANSPORTS {
        let people = [format!("alice-{transport:?}"), format!("bob-{transport:?}")];
        for name in &people {
            let (status, _) = server
                .post("/api/v1/register", &serde_json::json!({"username": name, "password": "correct horse"}))
                .await;
            assert_eq!(status, 200);
        }
        let token = accounts(&server.config, &[&people[0]]).await.remove(0).1;
        let login = || {
            let device = DeviceName::parse("").unwrap();
            Command::Login(Login {
                username: people[1].clone(),
                password: Secret::new("correct horse"),
                device,
                device_id: None,
            })
        };
        for _ in 0..4 {
            let mut raw = Raw::enter(&target, transport, &token).await;
            // Either it is refused, or alice's place is free again.
            let _ = raw.request(login()).await;
            raw.leave().await;
        }
        let mut open = Vec::new();
        for _ in 0..18 {
            open.push(Raw::enter(&target, transport, &token).await);
        }
    }
}

/// src/core/history.rs `resume`: a room that is named twice is replayed twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_is_named_twice_is_fed_once() {
    let (server, target) = bare_server().await;
    let token = accounts(&server.config, &["alice"]).await.remove(0).1;
    for transport in TRANSPORTS {
        let mut alice = Raw::enter(&target, transport, &token).await;
        let room = alice.join("echo").await;
        for _ in 0..5 {
            alice.say(room.id, "hello").await;
        }
        let cursor = Cursor { room: room.id, incarnation: room.incarnation, seq: Seq(0) };
        let _ = alice.request(Command::Resume(vec![cursor; 3])).await;
        let last = alice.say(room.id, "live").await.seq;
        let heard = alice.hear_until(room.id, last).await;
        let seqs: Vec<u64> = heard.iter().map(|entry| entry.seq.0).collect();
        assert_eq!(seqs, (1..=last.0).collect::<Vec<_>>(), "{transport:?}");
        alice.leave().await;
    }
}

/// schema/src/session/server.rs: what the session refuses is not counted.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_the_session_are_counted() {
    let (server, target) = bare_server().await;
    let mut stranger = Raw::greet(&target, Transport::Quic, None).await.0;
    assert_eq!(stranger.refusal(Command::Logout).await, 1003);
    let count = server.metric(r#"confab_rejects_total{code="NotAuthenticated"}"#).await;
    assert!((count - 1.0).abs() < f64::EPSILON);
}

/// src/transport/quic.rs: a client that opens no stream is dropped without the number.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_quic_client_is_told_why() {
    let (_server, target) = bare_server().await;
    let mut silent = Raw::open(&target, Transport::Quic).await;
    assert_eq!(silent.closed().await.code, 4104);
}

/// src/router.rs: a connection may renew its identity, not change it; else a leaving or a ban would miss it.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_stays_whose_it_is() {
    let (server, target) = bare_server().await;
    for name in ["alice", "bob"] {
        let body = serde_json::json!({"username": name, "password": "correct horse"});
        assert_eq!(server.post("/api/v1/register", &body).await.0, 200);
    }
    let tokens = accounts(&server.config, &["alice", "bob"]).await;
    let login = |username: &str| {
        Command::Login(Login {
            username: username.to_owned(),
            password: Secret::new("correct horse"),
            device: DeviceName::parse("").unwrap(),
            device_id: None,
        })
    };
    for transport in TRANSPORTS {
        let mut alice = Raw::enter(&target, transport, &tokens[0].1).await;
        assert_eq!(alice.refusal(login("bob")).await, 2006, "{transport:?}");
        assert_eq!(alice.refusal(Command::Authenticate(tokens[1].1.clone())).await, 2002, "{transport:?}");
        assert!(matches!(alice.request(login("Alice")).await, Ok(Reply::Session(_))), "{transport:?}");
    }
}

/// src/store/sqlite/logs.rs: an owner who left came back as a member, of a room without owner.
#[tokio::test(flavor = "multi_thread")]
async fn an_owner_who_comes_back_owns_it_still() {
    let (server, target) = bare_server().await;
    let people = accounts(&server.config, &["alice", "bob"]).await;
    let mut alice = Raw::enter(&target, Transport::Quic, &people[0].1).await;
    let mut bob = Raw::enter(&target, Transport::WebSocket, &people[1].1).await;
    let room = alice.join("mine").await;
    assert_eq!(bob.join("mine").await.role, Some(RoomRole::Member));
    assert_eq!(alice.request(leave(room.id)).await, Ok(Reply::Ok));
    assert_eq!(alice.join("mine").await.role, Some(RoomRole::Owner));
    assert_eq!(bob.request(leave(room.id)).await, Ok(Reply::Ok));
    assert_eq!(bob.join("mine").await.role, Some(RoomRole::Member));
}

/// src/core/rooms.rs: coming and going and the note of it in one's own log were two commits.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_and_its_note_are_one_commit() {
    let (server, target) = bare_server().await;
    let (user, token) = accounts(&server.config, &["alice"]).await.remove(0);
    let mut alice = Raw::enter(&target, Transport::Quic, &token).await;
    let room = alice.join("both").await;
    let own = Raw::greet(&target, Transport::WebSocket, Some(&token)).await.1.identity.unwrap().self_room;
    let store = confab::open_store(&server.config).await.unwrap();
    let item = |room, change, then: Option<Item>| Item {
        room,
        author: user,
        client_id: client_id(),
        digest: [0; 16],
        payload: bytes::Bytes::from_static(b"entry"),
        altered: false,
        change,
        acl_version: 0,
        order: Order::none(),
        then: then.into_iter().collect(),
        beside: None,
    };
    let head = async |room| store.read(room, user, Seq(0), 1).await.unwrap().unwrap().state.head;
    let before = head(own).await;
    let note = || Some(item(own, Change::SelfNote, None));
    let batch = vec![item(room.id, Change::Leave, note()), item(room.id, Change::Leave, note())];
    let decided = store.append(batch, now()).await.unwrap();
    assert!(matches!(decided[0].decision, Decision::Append { .. }) && decided[0].all().count() == 2);
    assert!(decided[1].decision == Decision::Unchanged && decided[1].then.is_empty(), "{:?}", decided[1]);
    assert_eq!(head(own).await, before.next());
}

/// client/src/driver.rs: an application that waited for a reply while events piled up waited for ever.
#[tokio::test(flavor = "multi_thread")]
async fn who_receives_no_events_is_not_stuck_and_misses_nothing() {
    let (server, target) = bare_server().await;
    let tokens = accounts(&server.config, &["alice", "bob"]).await;
    for transport in TRANSPORTS {
        let mut alice = Raw::enter(&target, transport, &tokens[0].1).await;
        let room = alice.join(&format!("busy {transport:?}")).await;
        let options = confab_client::Options::new(server.client_address(transport));
        let (client, mut events) =
            confab_client::Client::connect(options.access_token(tokens[1].1.expose().to_owned()));
        let entered = client.join(&room.name).await.unwrap();
        client.follow(&entered, entered.head).await;
        let mut last = entered.head;
        for _ in 0..30 {
            let mut asked = Vec::new();
            for _ in 0..60 {
                asked.push(alice.begin(publish(room.id, client_id(), "again")).await);
            }
            for id in asked {
                last = appended(alice.reply(id).await).seq;
            }
            // One push each: nothing shares a commit with a pause between.
        }
        let said = tokio::time::timeout(PATIENCE, client.say(room.id, "am I heard?")).await;
        let said = said.expect("it waits for ever");
        let (mut next, mut heard_own) = (entered.head.next(), false);
        while next <= last || !heard_own {
            let event = tokio::time::timeout(PATIENCE, events.recv()).await;
            if let Some(confab_client::Event::Entries(push)) = event.expect("no more events") {
                for entry in push.entries {
                    assert_eq!(entry.seq, next, "{transport:?}, after {said:?}");
                    heard_own |= entry.seq > last;
                    next = next.next();
                }
            }
        }
    }
}

fn record() -> NewRecord {
    let id = AuditId::from_u128(client_id().as_u128());
    NewRecord { id, record: AuditRecord::default(), note: None }
}

fn by_operator(user: UserId, kind: SanctionKind) -> Restrict {
    Restrict { user, below: None, kind, until: None, now: now(), record: record() }
}

/// src/router.rs: a command that is sent again was refused for what happened since, though it had been done.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_before_a_mute_is_answered_as_it_was() {
    let (server, target) = bare_server().await;
    let people = accounts(&server.config, &["alice"]).await;
    let alice = people[0].0;
    for transport in TRANSPORTS {
        let mut before = Raw::enter(&target, transport, &people[0].1).await;
        let room = before.join(&format!("mutes {transport:?}")).await;
        let (id, other) = (client_id(), client_id());
        let said = appended(before.request(publish(room.id, id, "before")).await);
        let store = confab::open_store(&server.config).await.unwrap();
        assert!(store.restrict(by_operator(alice, SanctionKind::Mute)).await.unwrap());
        assert_eq!(before.closed().await.code, CloseCode::RightsChanged.number());
        let mut muted = Raw::enter(&target, transport, &people[0].1).await;
        let again = appended(muted.request(resend(room.id, id, "before")).await);
        assert_eq!((again.seq, again.duplicate), (said.seq, true));
        assert_eq!(muted.refusal(resend(room.id, other, "new")).await, RejectCode::Muted.number());
        assert_eq!(muted.refusal(publish(room.id, other, "new")).await, RejectCode::Muted.number());
        assert!(store.restrict(by_operator(alice, SanctionKind::Lift)).await.unwrap());
    }
}

/// src/core/amend.rs: the keys of all authors were read before it was looked whether what they said may be deleted.
#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_delete_has_no_keys_read() {
    let (server, target) = bare_server().await;
    let people = accounts(&server.config, &["owner", "alice", "bob"]).await;
    let mut owner = Raw::enter(&target, Transport::Quic, &people[0].1).await;
    let room = owner.join("keys").await.id;
    let mut alice = Raw::enter(&target, Transport::Quic, &people[1].1).await;
    alice.join("keys").await;
    let mut bob = Raw::enter(&target, Transport::WebSocket, &people[2].1).await;
    bob.join("keys").await;
    let heard = bob.say(room, "hello").await.seq;
    let write = || Write { room, client_id: client_id(), resend: false };
    let (user, kind, duration_ms, reason) = (people[2].0, SanctionKind::Shadow, 0, Reason::parse("").unwrap());
    let shadow = SanctionUser { write: write(), user, kind, duration_ms, reason };
    owner.request(Command::Sanction(shadow)).await.unwrap();
    let unheard = bob.say(room, "psst").await.seq;
    // Who edited what is hidden from them was told by the refusal that there was something.
    let edit = |seq| Command::Edit(Edit { write: write(), seq, body: Body::parse("me").unwrap() });
    assert_eq!(alice.refusal(edit(heard)).await, RejectCode::Forbidden.number());
    assert_eq!(alice.refusal(edit(unheard)).await, RejectCode::UnknownMessage.number());
    // Nobody can read this key.
    let embedded = rusqlite::Connection::open(server.config.data_dir.join("confab.db")).unwrap();
    embedded.busy_timeout(PATIENCE).unwrap();
    let spoil = "UPDATE users SET audit_key = x'00' WHERE id = ?";
    assert_eq!(embedded.execute(spoil, [user.to_bytes().to_vec()]).unwrap(), 1);
    let delete = |seq| Command::Delete(Delete { write: write(), seqs: vec![seq] });
    assert_eq!(alice.refusal(delete(heard)).await, RejectCode::Forbidden.number());
    assert_eq!(alice.refusal(delete(unheard)).await, RejectCode::UnknownMessage.number(), "it is not there for her");
    assert_eq!(owner.refusal(delete(heard)).await, RejectCode::Internal.number(), "who may delete it needs the key");
}

/// src/core/moderation.rs: who decided was taken to be alone where twenty moderators of the server stood in front of those
/// who could have decided otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_alone_because_of_those_who_may_not_decide() {
    const MODERATORS: usize = 20;
    let (server, target) = bare_server().await;
    let staff: Vec<String> = (0..MODERATORS).map(|n| format!("staff{n}")).collect();
    let names: Vec<&str> = ["owner", "alice", "admin"].into_iter().chain(staff.iter().map(String::as_str)).collect();
    let people = accounts(&server.config, &names).await;
    let (user, admin) = (people[1].0, people[2].0);
    let store = confab::open_store(&server.config).await.unwrap();
    let appoint = async |user, role| assert!(store.set_server_role(user, None, role, record()).await.unwrap());
    for (moderator, _) in &people[3..] {
        appoint(*moderator, ServerRole::Moderator).await;
    }
    appoint(admin, ServerRole::Admin).await;

    // No moderator of the server may lift what was done to one of a room.
    let mut owner = Raw::enter(&target, Transport::Quic, &people[0].1).await;
    let room = owner.join("bench").await.id;
    let mut alice = Raw::enter(&target, Transport::Quic, &people[1].1).await;
    alice.join("bench").await;
    let write = || Write { room, client_id: client_id(), resend: false };
    owner.request(Command::SetRole(SetRole { write: write(), user, role: RoomRole::Moderator })).await.unwrap();
    let (kind, duration_ms, reason) = (SanctionKind::Mute, 0, Reason::parse("").unwrap());
    let mute = SanctionUser { write: write(), user, kind, duration_ms, reason };
    owner.request(Command::Sanction(mute)).await.unwrap();
    let (state, before) = (CaseFilter::Any, CaseId::NONE);
    let list = ListCases { room: None, state, kind: None, mine: true, about: None, before, limit: 10 };
    let Ok(Reply::Cases { cases, .. }) = alice.request(Command::ListCases(list)).await else { panic!("no cases") };
    let case = cases[0].id;
    alice.request(Command::Appeal(Appeal { case, text: CaseText::parse("why?").unwrap() })).await.unwrap();
    let uphold = || {
        let step = CaseStep::Decide(CaseDecision::Uphold, CaseText::default());
        Command::UpdateCase(UpdateCase { case, step })
    };
    assert_eq!(owner.refusal(uphold()).await, RejectCode::Forbidden.number(), "the admin could");
    appoint(admin, ServerRole::User).await;
    assert_eq!(owner.request(uphold()).await, Ok(Reply::Ok), "nobody could any more");
}

/// src/core/door.rs: who was made a moderator let nobody in before they had said something: they were remembered as less.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_made_a_moderator_lets_in_at_once() {
    let (server, target) = bare_server().await;
    let people = accounts(&server.config, &["owner", "bob", "carol"]).await;
    let mut owner = Raw::enter(&target, Transport::Quic, &people[0].1).await;
    let room = owner.join("porch").await.id;
    let mut bob = Raw::enter(&target, Transport::WebSocket, &people[1].1).await;
    bob.join("porch").await;
    bob.say(room, "hello").await;
    let write = || Write { room, client_id: client_id(), resend: false };
    let knocks = UpdateRoom {
        write: write(),
        name: None,
        topic: None,
        slow_mode_ms: None,
        retention_ms: None,
        visibility: None,
        knocks: Some(true),
        rights: None,
    };
    owner.request(Command::UpdateRoom(knocks)).await.unwrap();
    let (user, role) = (people[1].0, RoomRole::Moderator);
    owner.request(Command::SetRole(SetRole { write: write(), user, role })).await.unwrap();
    let mut carol = Raw::enter(&target, Transport::Quic, &people[2].1).await;
    let knock = appended(carol.request(Command::Knock(write())).await).seq;
    appended(bob.request(Command::Admit(Admit { write: write(), seq: knock })).await);
}

/// src/core/amend.rs `is_moderator`: who is muted in a room reads neither its cases nor its audit, but read earlier texts.
#[tokio::test(flavor = "multi_thread")]
async fn a_moderator_who_is_muted_reads_no_earlier_texts() {
    let (server, target) = bare_server().await;
    let people = accounts(&server.config, &["owner", "alice"]).await;
    let user = people[1].0;
    let mut owner = Raw::enter(&target, Transport::WebSocket, &people[0].1).await;
    let room = owner.join("bench").await.id;
    let mut alice = Raw::enter(&target, Transport::Quic, &people[1].1).await;
    alice.join("bench").await;
    let write = || Write { room, client_id: client_id(), resend: false };
    let seq = owner.say(room, "before").await.seq;
    owner.request(Command::Edit(Edit { write: write(), seq, body: Body::parse("after").unwrap() })).await.unwrap();
    owner.request(Command::SetRole(SetRole { write: write(), user, role: RoomRole::Moderator })).await.unwrap();
    let revisions = || Command::Revisions { room, seq, before: 0 };
    let to = |kind| {
        let reason = Reason::parse("").unwrap();
        Command::Sanction(SanctionUser { write: write(), user, kind, duration_ms: 0, reason })
    };
    assert!(matches!(alice.request(revisions()).await, Ok(Reply::Page(_))));
    owner.request(to(SanctionKind::Mute)).await.unwrap();
    assert_eq!(alice.refusal(revisions()).await, RejectCode::Forbidden.number());
    owner.request(to(SanctionKind::Lift)).await.unwrap();
    assert!(matches!(alice.request(revisions()).await, Ok(Reply::Page(_))));
}

/// Keeps a store from committing anything until it is let go. Reads go on.
struct Hold {
    embedded: Option<rusqlite::Connection>,
    postgres: Option<tokio_postgres::Client>,
}

impl Hold {
    async fn take(server: &TestServer) -> Self {
        let Some(url) = &server.config.store.url else {
            let embedded = rusqlite::Connection::open(server.config.data_dir.join("confab.db")).unwrap();
            embedded.busy_timeout(PATIENCE).unwrap();
            embedded.execute_batch("BEGIN IMMEDIATE").unwrap();
            return Self { embedded: Some(embedded), postgres: None };
        };
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
        spawn(connection);
        client.batch_execute("BEGIN; LOCK TABLE rooms IN EXCLUSIVE MODE").await.unwrap();
        Self { embedded: None, postgres: Some(client) }
    }

    async fn end(self) {
        if let Some(embedded) = self.embedded {
            embedded.execute_batch("ROLLBACK").unwrap();
        }
        if let Some(client) = self.postgres {
            client.batch_execute("ROLLBACK").await.unwrap();
        }
    }
}

/// src/router.rs: a resend was refused while its first copy was still queued, which was appended all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_resend_is_answered_as_the_first_copy_that_is_on_its_way() {
    const BATCHES: &str = "confab_append_batch_entries_count";
    const TOO_FAST: &str = "confab_limited_total{limit=\"sends_per_user\"}";
    /// At one a second it takes longer to get them back than all that is waited for here.
    const SPENT: u32 = 4 * PATIENCE.as_secs() as u32;
    for url in [None, Some(fresh_url().await)] {
        let server = TestServer::start_with(|config| {
            config.plugins.chain.clear();
            config.store.url = url;
            (config.limits.sends_per_second, config.limits.sends_burst) = (1, SPENT * 2);
        })
        .await;
        let bound = async |burst: u32| {
            let (reloader, mut config) = (server.reloader.clone(), server.config.clone());
            config.limits.sends_burst = burst;
            tokio::task::spawn_blocking(move || reloader.reload(&config)).await.unwrap().unwrap();
        };
        let target = Target::from(&server);
        let people = accounts(&server.config, &["owner", "alice", "bob"]).await;
        let room = Raw::enter(&target, Transport::Quic, &people[0].1).await.join("queue").await;
        for (transport, (_, token)) in TRANSPORTS.into_iter().zip(&people[1..]) {
            let mut author = Raw::enter(&target, transport, token).await;
            author.join("queue").await;
            for _ in 0..SPENT {
                appended(author.request(publish(room.id, client_id(), "before")).await);
            }
            let id = client_id();
            let hold = Hold::take(&server).await;
            let (batches, too_fast) = (server.metric(BATCHES).await, server.metric(TOO_FAST).await);
            let first = author.begin(publish(room.id, id, "hello")).await;
            until(async || server.metric(BATCHES).await > batches).await;
            // From now on a bucket holds one, and theirs is empty for long: whatever is sent next is too fast.
            bound(1).await;
            let again = author.begin(resend(room.id, id, "hello")).await;
            until(async || server.metric(TOO_FAST).await > too_fast).await;
            // It waits behind its first copy for what becomes of that.
            until(async || server.metric("confab_append_queue_entries").await == 1.0).await;
            hold.end().await;
            let said = appended(author.reply(first).await);
            assert!(!said.duplicate, "{transport:?}");
            assert_eq!(appended(author.reply(again).await), Appended { duplicate: true, ..said });
            bound(SPENT * 2).await;
        }
    }
}
