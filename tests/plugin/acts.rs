//! What is done and not said: plugins refuse it, with their reason, and everything else goes on.

use confab_client::{Client, Command, Error, Options, Reject, Reply};
use confab_protocol::command::{Register, RoomTarget, Secret, SetRole, Write};
use confab_protocol::model::{DeviceName, RoomRole, Username};
use confab_protocol::reject::RejectCode;

use super::{folder, plugins};
use crate::support::people::Person;
use crate::support::raw::{Raw, Target};
use crate::support::{TRANSPORTS, TestServer, Transport};

async fn server() -> TestServer {
    let folder = folder();
    TestServer::start_with(|config| config.plugins = plugins(folder.path())).await
}

async fn refusal(client: &Client, command: Command) -> Reject {
    match client.request(command).await {
        Err(Error::Rejected(reject)) => reject,
        other => panic!("{other:?}"),
    }
}

fn assert_by_plugin(reject: &Reject, reason: &str) {
    assert_eq!((reject.code, reject.detail.as_str()), (RejectCode::ByPlugin.number(), reason));
}

fn register(name: &str, owner_token: Option<&str>) -> Command {
    Command::Register(Register {
        username: Username::parse(name).unwrap(),
        password: Secret::new("correct horse"),
        display_name: None,
        device: DeviceName::parse("phone").unwrap(),
        owner_token: owner_token.map(Secret::new),
        invite: None,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn registrations_and_logins() {
    let server = server().await;
    // The first is the owner, and nobody keeps them out.
    let target = Target::from(&server);
    for transport in TRANSPORTS {
        let (mut raw, _) = Raw::greet(&target, transport, None).await;
        assert_by_plugin(&raw.request(register("no-register", None)).await.unwrap_err(), "not this register");
        assert!(raw.request(register(&format!("a-{transport:?}").to_lowercase(), None)).await.is_ok());
    }
    let (mut raw, _) = Raw::greet(&target, Transport::Quic, None).await;
    raw.request(register("no-register", Some(server.owner_token.as_str()))).await.unwrap();
    let (mut raw, _) = Raw::greet(&target, Transport::Quic, None).await;
    let trapped = raw.request(register("trap-register", None)).await.unwrap_err();
    assert_eq!(trapped.code, RejectCode::Busy.number(), "who cannot be checked is told to come again: {trapped:?}");
    assert!(trapped.retry_after_ms > 0);
    raw.request(register("odd-register", None)).await.unwrap();

    let (mut raw, _) = Raw::greet(&target, Transport::WebSocket, None).await;
    raw.request(register("no-login", None)).await.unwrap();
    let (client, _events) = Client::connect(Options::new(server.client_address(Transport::WebSocket)));
    match client.login("no-login", "correct horse").await {
        Err(Error::Rejected(reject)) => assert_by_plugin(&reject, "not this login"),
        other => panic!("{other:?}"),
    }
    match client.login("no-login", "wrong horse").await {
        Err(Error::Rejected(reject)) => {
            assert!(reject.is(RejectCode::BadCredentials), "plugins tell nothing: {reject}")
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(
        server.metric(r#"confab_plugin_verdicts_total{hook="login",plugin="hostile",verdict="reject"}"#).await,
        1.0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn joins_invitations_and_roles() {
    let server = server().await;
    let owner = Person::register(&server, Transport::Quic, "owner").await;
    let room = owner.enter("den").await;
    let loner = Person::register(&server, Transport::WebSocket, "no-join").await;
    let join = || Command::JoinRoom(RoomTarget::Id(room.id));
    assert_by_plugin(&refusal(&loner.client, join()).await, "not this join");
    let invite = |uses| Command::Invite { room: room.id, uses, duration_ms: 60_000 };
    assert_by_plugin(&refusal(&owner.client, invite(13)).await, "not this invite");
    let Ok(Reply::Invited { token, .. }) = owner.client.request(invite(1)).await else { panic!() };
    let by_invitation = Command::JoinRoom(RoomTarget::Invite(token));
    assert!(
        matches!(loner.client.request(by_invitation).await, Ok(Reply::Room(_))),
        "another way in, another question"
    );
    // Who is in does not come in.
    let asked = async || server.metric(r#"confab_plugin_call_seconds_count{hook="join",plugin="hostile"}"#).await;
    let before = asked().await;
    assert!(matches!(loner.client.request(join()).await, Ok(Reply::Room(_))));
    assert_eq!(asked().await, before);

    let write = || Write { room: room.id, client_id: owner.client.new_client_id(), resend: false };
    let user = loner.client.login("no-join", "correct horse").await.unwrap().identity.user;
    let guest = Command::SetRole(SetRole { write: write(), user, role: RoomRole::Guest });
    assert_by_plugin(&refusal(&owner.client, guest).await, "not this role");
    let moderator = Command::SetRole(SetRole { write: write(), user, role: RoomRole::Moderator });
    assert!(matches!(owner.client.request(moderator).await, Ok(Reply::Appended(_))));
}
