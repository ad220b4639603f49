//! What a client says, over either transport: greet, create a room, follow it, publish.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use confab_protocol::codec::{decode_server_frame, encode_client_frame};
use confab_protocol::command::{
    ClientFrame, Command, CreateRoom, Hello, Publish, Reply, RequestId, ResumeOutcome, Secret, ServerFrame,
};
use confab_protocol::model::{Body, ClientId, Cursor, RoomId, RoomName, Topic};
use confab_protocol::session::VERSION;

use super::now;

/// Bytes of a message in every bench.
pub(crate) const BODY_BYTES: usize = 200;

/// Ids of publishes are below this.
const CALL_ID: RequestId = 1 << 30;

/// Whole frames out and in; anything that goes wrong ends the bench.
pub(crate) trait Wire {
    /// Sends frames with one write.
    async fn send(&mut self, frames: &[Bytes]);
    /// The next frame.
    async fn recv(&mut self) -> Bytes;
}

/// Says hello with a token.
pub(crate) async fn greet(wire: &mut impl Wire, token: &str) {
    let hello = Hello {
        version_min: VERSION,
        version_max: VERSION,
        client: "confab-bench".into(),
        token: Some(Secret::new(token)),
        features: 0,
    };
    wire.send(&[encode_client_frame(&ClientFrame::Hello(hello))]).await;
    match decode(&wire.recv().await) {
        ServerFrame::Welcome(welcome) => assert!(welcome.identity.is_some(), "the token was not taken"),
        other => panic!("expected a welcome, got {other:?}"),
    }
}

/// Asks and waits; pushes that come in between are dropped.
pub(crate) async fn call(wire: &mut impl Wire, command: Command) -> Reply {
    let name = command.name();
    wire.send(&[request(CALL_ID, command)]).await;
    loop {
        match decode(&wire.recv().await) {
            ServerFrame::Reply { id: CALL_ID, result } => {
                return result.unwrap_or_else(|reject| panic!("{name} was refused: {reject}"));
            }
            ServerFrame::Push(_) => {}
            other => panic!("expected the reply to {name}, got {other:?}"),
        }
    }
}

/// Creates a room and returns the cursor of who knows all of it.
pub(crate) async fn new_room(wire: &mut impl Wire, name: &str) -> Cursor {
    let name = RoomName::parse(name).expect("a good name");
    let topic = Topic::parse("").expect("may be empty");
    let create = CreateRoom { client_id: new_client_id(), resend: false, name, topic, private: false };
    match call(wire, Command::CreateRoom(create)).await {
        Reply::Room(room) => Cursor { room: room.id, incarnation: room.incarnation, seq: room.head },
        other => panic!("expected the room, got {other:?}"),
    }
}

/// Subscribes to a room.
pub(crate) async fn follow(wire: &mut impl Wire, cursor: Cursor) {
    match call(wire, Command::Resume(vec![cursor])).await {
        Reply::Resumed(rooms) if rooms.iter().all(|room| room.outcome == ResumeOutcome::Recovered) => {}
        other => panic!("cannot follow the room: {other:?}"),
    }
}

/// A request as a frame.
pub(crate) fn request(id: RequestId, command: Command) -> Bytes {
    encode_client_frame(&ClientFrame::Request { id, command: Ok(command) })
}

/// A new message as a frame.
pub(crate) fn publish(id: RequestId, room: RoomId, body: &Body) -> Bytes {
    request(
        id,
        Command::Publish(Publish {
            room,
            client_id: new_client_id(),
            resend: false,
            body: body.clone(),
            reply_to: None,
        }),
    )
}

/// Reads a frame of the server.
pub(crate) fn decode(frame: &Bytes) -> ServerFrame {
    decode_server_frame(frame).expect("a frame of the protocol")
}

/// The request that an appended message answers; whatever else a reply says ends the bench.
pub(crate) fn acknowledged(frame: &ServerFrame) -> Option<RequestId> {
    match frame {
        ServerFrame::Reply { id, result: Ok(Reply::Appended(_)) } => Some(*id),
        ServerFrame::Push(_) => None,
        other => panic!("a message was not appended: {other:?}"),
    }
}

/// Text of [`BODY_BYTES`].
pub(crate) fn body() -> Body {
    let mut text = "The quick brown fox jumps over the lazy dog. ".repeat(BODY_BYTES / 40 + 1);
    text.truncate(BODY_BYTES);
    Body::parse(&text).expect("a good body")
}

/// Unique by count: guessing it does no harm here.
fn new_client_id() -> ClientId {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    ClientId::new(now(), COUNT.fetch_add(1, Ordering::Relaxed).into())
}
