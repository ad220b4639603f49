//! Several processes on one store: two servers, and a command beside one. What one of them appends the readers of the
//! others get, each entry once and in order.

use std::fs;

use confab_client::{Error, Event};
use confab_protocol::codec::decode_entry;
use confab_protocol::command::{Admit, Command, CreateRoom, Reply, RoomTarget, UpdateRoom, Write};
use confab_protocol::model::{EntryContent, RoomId, RoomName, Seq, Topic};
use tokio::time::{Instant, timeout_at};

use crate::support::Transport;
use crate::support::commands::update_room;
use crate::support::people::{Person, message};
use crate::support::postgres::fresh_url;
use crate::support::process::{PATIENCE, Place, run};

/// Until an entry is heard that this is true of: all that was heard of a room, in order.
async fn hear_until(
    person: &mut Person,
    room: RoomId,
    is_it: impl Fn(&EntryContent) -> bool,
) -> Vec<(Seq, EntryContent)> {
    let deadline = Instant::now() + PATIENCE;
    let mut heard = Vec::new();
    loop {
        let event = timeout_at(deadline, person.events.recv()).await.expect("it is not heard").expect("a session");
        let Event::Entries(push) = event else { continue };
        for entry in push.entries.iter().filter(|_| push.room == room) {
            let content = decode_entry(&entry.payload).unwrap().content;
            let is_last = is_it(&content);
            heard.push((entry.seq, content));
            if is_last {
                return heard;
            }
        }
    }
}

fn says(text: &'static str) -> impl Fn(&EntryContent) -> bool {
    move |content| matches!(content, EntryContent::Message(message) if message.body.as_str() == text)
}

fn assert_dense(heard: &[(Seq, EntryContent)]) {
    for pair in heard.windows(2) {
        assert_eq!(pair[1].0, pair[0].0.next(), "each once, in order: {heard:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_on_one_database_hear_each_other() {
    let url = fresh_url().await;
    let [one, two] = [(); 2].map(|()| Place::with(&format!("store.url = {url:?}")));
    let _one = one.serve();
    // Keys are one for all servers: the pepper and the signature of tokens.
    fs::create_dir_all(two.data_dir.join("keys")).unwrap();
    for key in ["pepper", "token-0-ed25519.pk8"] {
        fs::copy(one.data_dir.join("keys").join(key), two.data_dir.join("keys").join(key)).unwrap();
    }
    let _two = two.serve();
    let mut alice = one.register(Transport::Quic, "alice").await;
    let room = alice.enter("plaza").await;
    let mut bob = two.register(Transport::WebSocket, "bob").await;
    bob.enter("plaza").await;
    for n in 0..20 {
        let (who, text) = if n % 3 == 0 { (&bob, format!("bob {n}")) } else { (&alice, format!("alice {n}")) };
        who.client.say(room.id, &text).await.unwrap();
    }
    bob.client.say(room.id, "the last of bob").await.unwrap();
    let heard = hear_until(&mut alice, room.id, says("the last of bob")).await;
    assert_dense(&heard);
    assert_eq!(heard.iter().filter(|(_, content)| matches!(content, EntryContent::Message(_))).count(), 21);
    alice.client.say(room.id, "the last of alice").await.unwrap();
    assert_dense(&hear_until(&mut bob, room.id, says("the last of alice")).await);
    // Somebody is put out by way of the other server: that is the last that they hear.
    let restart = two.login(Transport::Quic, "alice").await;
    restart.client.request(Command::LeaveRoom(RoomTarget::Id(room.id))).await.unwrap();
    let left = |content: &EntryContent| matches!(content, EntryContent::Membership { user, .. } if *user == restart.session.identity.user);
    hear_until(&mut alice, room.id, left).await;
    assert!(alice.client.say(room.id, "am I in?").await.is_err());
    let history = bob.history(&room).await;
    assert_eq!(history.len(), 22, "{history:?}");
}

/// Nobody says anything after it, and a reader who is there sees it all the same.
#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_beside_the_server_is_heard() {
    let place = Place::new();
    let _server = place.serve();
    let mut reader = place.register(Transport::Quic, "reader").await;
    let room = reader.enter("plaza").await;
    let victim = place.register(Transport::WebSocket, "victim").await;
    victim.client.join("plaza").await.unwrap();
    let said = victim.client.say(room.id, "what they said").await.unwrap();
    hear_until(&mut reader, room.id, says("what they said")).await;
    // They ask to be let in somewhere, and are gone before anybody answers.
    let asker = reader.client.clone();
    let write = |room| Write { room, client_id: asker.new_client_id(), resend: false };
    let (name, topic) = (RoomName::parse("den").unwrap(), Topic::parse("").unwrap());
    let den = CreateRoom { client_id: reader.client.new_client_id(), resend: false, name, topic, private: true };
    let Reply::Room(den) = reader.client.request(Command::CreateRoom(den)).await.unwrap() else { panic!() };
    let knocks = UpdateRoom { knocks: Some(true), ..update_room(write(den.id)) };
    reader.client.request(Command::UpdateRoom(knocks)).await.unwrap();
    let knock = victim.client.request(Command::Knock(write(den.id))).await.unwrap();
    let Reply::Appended(knock) = knock else { panic!("{knock:?}") };
    let archive = run(&mut place.command(&["user", "export", "victim"]), "").assert_good();
    assert!(archive.contains("\"knock\"") && !archive.contains("\"den\""), "{archive}");
    drop(victim);
    run(&mut place.command(&["user", "erase", "victim", "--yes"]), "").assert_good();
    let is_gone =
        |content: &EntryContent| matches!(content, EntryContent::Deletion { seqs, .. } if seqs.contains(&said.seq));
    assert_dense(&hear_until(&mut reader, room.id, is_gone).await);
    let page = reader.client.history(room.id, Seq(0), 0).await.unwrap();
    assert!(page.entries.iter().all(|entry| message(&entry.payload).is_none()));
    let admit = Admit { write: write(den.id), seq: knock.seq };
    let refused = reader.client.request(Command::Admit(admit)).await;
    assert!(matches!(&refused, Err(Error::Rejected(reject)) if reject.code == 3008), "nobody is let in: {refused:?}");
}
