//! The schema stands alone: Cap'n Proto's own tool reads our frames with nothing but `chat.capnp`.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use bytes::Bytes;
use confab_protocol::codec::{decode_server_frame, encode_client_frame};
use confab_protocol::command::{ClientFrame, Hello, Publish, Secret, ServerFrame};
use confab_protocol::model::{Body, ClientId, RoomId};
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::support::TestServer;

fn convert(frame: &[u8], kind: &str) -> String {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/chat.capnp");
    let mut command = Command::new("capnp");
    command.args(["convert", "binary:text"]).arg(schema).arg(kind);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("capnp cannot be started: apt-get install capnproto");
    child.stdin.take().unwrap().write_all(frame).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn hello() -> Bytes {
    let token = Some(Secret::new("a-token"));
    let client = "schema-test".to_owned();
    encode_client_frame(&ClientFrame::Hello(Hello { version_min: 1, version_max: 1, client, token, features: 0 }))
}

#[test]
fn capnp_reads_what_a_client_sends() {
    let text = convert(&hello(), "ClientFrame");
    for words in ["hello", "versionMin = 1", "client = \"schema-test\"", "token = \"a-token\""] {
        assert!(text.contains(words), "{words} is missing: {text}");
    }
    let command = confab_protocol::command::Command::Publish(Publish {
        room: RoomId::from_u128(1 << 64 | 2),
        client_id: ClientId::from_u128(3),
        resend: true,
        body: Body::parse("hello, world").unwrap(),
        reply_to: None,
    });
    let text = convert(&encode_client_frame(&ClientFrame::Request { id: 7, command: Ok(command) }), "ClientFrame");
    for words in ["request", "id = 7", "publish", "high = 1", "resend = true", "body = \"hello, world\""] {
        assert!(text.contains(words), "{words} is missing: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn capnp_reads_what_the_server_sends() {
    let server = TestServer::start().await;
    let stream = tokio::net::TcpStream::connect(server.addresses.http).await.unwrap();
    let mut request = format!("ws://{}/ws", server.addresses.http).into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "confab.v1".parse().unwrap());
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    let hello = Hello { version_min: 1, version_max: 1, client: "capture".into(), token: None, features: 0 };
    socket.send(Message::Binary(encode_client_frame(&ClientFrame::Hello(hello)))).await.unwrap();
    let Message::Binary(frame) = socket.next().await.unwrap().unwrap() else { panic!() };
    let Ok(ServerFrame::Welcome(welcome)) = decode_server_frame(&frame) else { panic!() };
    let text = convert(&frame, "ServerFrame");
    for words in ["welcome", "version = 1", "heartbeatMs = 15000", "frameBytesMax = 65536"] {
        assert!(text.contains(words), "{words} is missing: {text}");
    }
    assert!(text.contains(&format!("serverTimeMs = {}", welcome.server_time.0)), "{text}");
    // A refusal, with its number and its words.
    let command = Ok(confab_protocol::command::Command::Logout);
    socket.send(Message::Binary(encode_client_frame(&ClientFrame::Request { id: 9, command }))).await.unwrap();
    let Message::Binary(frame) = socket.next().await.unwrap().unwrap() else { panic!() };
    let text = convert(&frame, "ServerFrame");
    for words in ["reply", "id = 9", "reject", "code = 1003", "log in first"] {
        assert!(text.contains(words), "{words} is missing: {text}");
    }
}
