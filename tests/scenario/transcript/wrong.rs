//! What goes wrong in a request leaves the connection as it was.

use confab_protocol::chat_capnp::request::Builder;
use confab_protocol::command::Command;
use confab_protocol::limits::BODY_BYTES_MAX;
use confab_protocol::model::{ClientId, Millis};
use expect_test::expect;

use super::check;
use super::stage::{Stage, new_room, room};
use crate::support::raw::{client_id, crafted, crafted_publish, crafted_unknown, now, publish};

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_cannot_be_said() {
    let script = async |stage: &mut Stage| {
        stage.register("alice").await;
        let den = room(stage.ask("alice", new_room("den")).await);
        let bodies: [(&str, Vec<u8>); 8] = [
            ("nothing", Vec::new()),
            ("blanks", " \n\t\u{3000}".into()),
            ("a NUL", b"a\0b".to_vec()),
            ("not UTF-8", b"a\xff\xfeb".to_vec()),
            ("half a surrogate pair", b"a\xed\xa0\x80b".to_vec()),
            ("over 16 KiB", vec![b'x'; BODY_BYTES_MAX + 1]),
            ("4,001 characters", vec![b'x'; 4_001]),
            ("4,000 characters of 4 bytes", "\u{1f600}".repeat(4_000).into()),
        ];
        for (label, body) in bodies {
            let frame = |id| crafted_publish(id, den.id, client_id(), &body);
            stage.ask_bytes("alice", &format!("publish {label}"), frame).await;
        }
        stage
            .ask_bytes("alice", "publish without a client id", |id| crafted_publish(id, den.id, ClientId::NONE, b"x"))
            .await;
        let old = ClientId::new(Millis(now().0 - 25 * 3_600 * 1_000), 7);
        let _ = stage.ask("alice", publish(den.id, old, "from yesterday")).await;
        let _ = stage.ask("alice", publish(den.id, client_id(), "still here")).await;
    };
    check(
        script,
        expect![[r#"
        alice > hello
        alice < welcome version 1: nobody
        alice > register alice
        alice < session user-1 alice "alice Doe" User on device-1 with room-1
        alice > create_room room-2 "den"
        alice < room-2 Channel "den" about "talk" history-1 1..1 role Some(Owner) members 1
        alice > publish nothing
        alice < reject 1010 the message is blank
        alice > publish blanks
        alice < reject 1010 the message is blank
        alice > publish a NUL
        alice < reject 1012 the message must be UTF-8 without NUL
        alice > publish not UTF-8
        alice < reject 1012 the message must be UTF-8 without NUL
        alice > publish half a surrogate pair
        alice < reject 1012 the message must be UTF-8 without NUL
        alice > publish over 16 KiB
        alice < reject 1011 the message is too long: at most 16 KiB and 4,000 characters
        alice > publish 4,001 characters
        alice < reject 1011 the message is too long: at most 16 KiB and 4,000 characters
        alice > publish 4,000 characters of 4 bytes
        alice < appended 2
        alice > publish without a client id
        alice < reject 1001 a client id is missing
        alice > publish room-2 client-1 "from yesterday"
        alice < reject 3004 this client id is too old: check the history, then take a new one
        alice > publish room-2 client-2 "still here"
        alice < appended 3
    "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_nobody_serves() {
    let script = async |stage: &mut Stage| {
        stage.register("alice").await;
        type Build = fn(Builder<'_>);
        let reserved: [(&str, Build); 4] = [
            ("keyPackages", |mut out| out.set_key_packages(())),
            ("commit", |mut out| out.set_commit(())),
            ("attach", |mut out| out.set_attach(())),
            ("stats", |mut out| out.set_stats(())),
        ];
        for (label, build) in reserved {
            stage.ask_bytes("alice", label, |id| crafted(id, build)).await;
        }
        stage.ask_bytes("alice", "a command of the future", crafted_unknown).await;
        let _ = stage.ask("alice", Command::Ping).await;
    };
    check(
        script,
        expect![[r#"
        alice > hello
        alice < welcome version 1: nobody
        alice > register alice
        alice < session user-1 alice "alice Doe" User on device-1 with room-1
        alice > keyPackages
        alice < reject 1002 this server does not serve that command
        alice > commit
        alice < reject 1002 this server does not serve that command
        alice > attach
        alice < reject 1002 this server does not serve that command
        alice > stats
        alice < reject 1002 this server does not serve that command
        alice > a command of the future
        alice < reject 1002 this server does not serve that command
        alice > ping
        alice < pong
    "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_are_not_what_they_must_be() {
    let script = async |stage: &mut Stage| {
        stage.connect("alice", None).await;
        let registers: [(&str, &str, &str); 6] = [
            ("", "correct horse", ""),
            ("two words", "correct horse", ""),
            ("\u{430}lice", "correct horse", ""),
            (&"a".repeat(33), "correct horse", ""),
            ("alice", "correct horse", &"d".repeat(65)),
            ("alice", &"p".repeat(257), ""),
        ];
        for (username, password, display_name) in registers {
            let frame = |id| {
                crafted(id, |out| {
                    let mut register = out.init_register();
                    register.set_username(username);
                    register.set_password(password);
                    register.set_display_name(display_name);
                })
            };
            let label = format!("register {username:?} {} {}", password.len(), display_name.len());
            stage.ask_bytes("alice", &label, frame).await;
        }
        stage.leave("alice").await;
        stage.register("alice").await;
        for name in ["", " ", " den", "d\u{7}en", &"r".repeat(81)] {
            let frame = |id| {
                crafted(id, |out| {
                    let mut create = out.init_create_room();
                    create.reborrow().init_client_id().set_low(5);
                    create.set_name(name);
                })
            };
            stage.ask_bytes("alice", &format!("create_room {name:?}"), frame).await;
        }
        stage.ask_bytes("alice", "join_room of nothing", |id| crafted(id, |out| drop(out.init_join_room()))).await;
        stage.ask_bytes("alice", "resume 201 rooms", |id| crafted(id, |out| drop(out.init_resume(201)))).await;
        stage.ask_bytes("alice", "profiles of 201", |id| crafted(id, |out| drop(out.init_profiles(201)))).await;
        let _ = stage.ask("alice", Command::Ping).await;
    };
    check(
        script,
        expect![[r#"
        alice > hello
        alice < welcome version 1: nobody
        alice > register "" 13 0
        alice < reject 1013 the user name is blank
        alice > register "two words" 13 0
        alice < reject 1013 the user name holds characters that are not allowed
        alice > register "аlice" 13 0
        alice < reject 1013 the user name holds characters that are not allowed
        alice > register "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" 13 0
        alice < reject 1013 the user name is too long
        alice > register "alice" 13 65
        alice < reject 1013 the display name is too long
        alice > register "alice" 257 0
        alice < reject 1001 a field is missing, too long or not what it must be
        alice is gone
        alice > hello
        alice < welcome version 1: nobody
        alice > register alice
        alice < session user-1 alice "alice Doe" User on device-1 with room-1
        alice > create_room ""
        alice < reject 1013 the room name is blank
        alice > create_room " "
        alice < reject 1013 the room name is blank
        alice > create_room " den"
        alice < reject 1013 the room name holds characters that are not allowed
        alice > create_room "d\u{7}en"
        alice < reject 1013 the room name holds characters that are not allowed
        alice > create_room "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr"
        alice < reject 1013 the room name is too long
        alice > join_room of nothing
        alice < reject 1013 the room name is blank
        alice > resume 201 rooms
        alice < reject 1001 a field is missing, too long or not what it must be
        alice > profiles of 201
        alice < reject 1001 a field is missing, too long or not what it must be
        alice > ping
        alice < pong
    "#]],
    )
    .await;
}
