//! A publish that the client library would never send, over a WebSocket of its own: what does the server say?

use anyhow::{Context, bail};
use confab_client::model::{ClientId, RoomId};
use confab_client::{Reject, Reply};
use confab_protocol::chat_capnp::{client_frame, id};
use confab_protocol::codec::{decode_server_frame, encode_client_frame};
use confab_protocol::command::{ClientFrame, Hello, Secret, ServerFrame};
use confab_protocol::session::VERSION;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;

const REQUEST: u32 = 1;

/// Publishes any text; the url is `ws://host:port`.
pub(crate) async fn publish(
    url: &str,
    token: &str,
    room: RoomId,
    client_id: ClientId,
    text: &str,
) -> anyhow::Result<Result<Reply, Reject>> {
    let authority = url.strip_prefix("ws://").context("raw frames go over ws:// only")?.trim_end_matches('/');
    let stream = TcpStream::connect(authority).await?;
    let mut request = format!("ws://{authority}/ws").into_client_request()?;
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("confab.v1"));
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await?;
    let hello = Hello {
        version_min: VERSION,
        version_max: VERSION,
        client: "replay-raw".into(),
        token: Some(Secret::new(token)),
        features: 0,
    };
    socket.send(Message::Binary(encode_client_frame(&ClientFrame::Hello(hello)))).await?;
    socket.send(Message::Binary(publish_frame(room, client_id, text)?.into())).await?;
    let answer = answer(&mut socket).await;
    socket.close(None).await?;
    while let Some(Ok(_)) = socket.next().await {}
    answer
}

async fn answer(socket: &mut WebSocketStream<TcpStream>) -> anyhow::Result<Result<Reply, Reject>> {
    while let Some(message) = socket.next().await {
        match message? {
            Message::Binary(frame) => match decode_server_frame(&frame)? {
                ServerFrame::Reply { id: REQUEST, result } => return Ok(result),
                ServerFrame::Welcome(welcome) if welcome.identity.is_none() => bail!("the token was not taken"),
                _ => {}
            },
            Message::Close(close) => bail!("closed instead of an answer: {close:?}"),
            _ => {}
        }
    }
    bail!("the connection ended without an answer")
}

fn publish_frame(room: RoomId, client_id: ClientId, text: &str) -> anyhow::Result<Vec<u8>> {
    let mut message = capnp::message::Builder::new_default();
    let mut request = message.init_root::<client_frame::Builder<'_>>().init_request();
    request.set_id(REQUEST);
    let mut publish = request.init_publish();
    write_id(publish.reborrow().init_room(), room.as_u128());
    write_id(publish.reborrow().init_client_id(), client_id.as_u128());
    publish.set_body(text);
    let mut frame = Vec::new();
    capnp::serialize::write_message(&mut frame, &message)?;
    Ok(frame)
}

fn write_id(mut out: id::Builder<'_>, value: u128) {
    out.set_high((value >> 64) as u64);
    out.set_low(value as u64);
}
