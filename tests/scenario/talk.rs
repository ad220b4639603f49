//! Register, enter, say, hear, read back.

use crate::support::people::Person;
use crate::support::{TRANSPORTS, TestServer};

#[tokio::test(flavor = "multi_thread")]
async fn two_people_talk_over_every_pair_of_transports() {
    let server = TestServer::start().await;
    for (index, a) in TRANSPORTS.into_iter().enumerate() {
        for b in TRANSPORTS {
            let mut alice = Person::register(&server, a, &format!("alice-{index}-{b:?}")).await;
            let mut bob = Person::register(&server, b, &format!("bob-{index}-{b:?}")).await;
            let name = format!("room {index} {b:?}");
            let room = alice.enter(&name).await;
            bob.enter(&name).await;
            let said = alice.client.say(room.id, "hello").await.unwrap();
            assert_eq!(bob.hear().await, [(said.seq, "hello".to_owned())]);
            assert_eq!(alice.hear().await, [(said.seq, "hello".to_owned())]);
            assert_eq!(bob.history(&room).await, [(said.seq, "hello".to_owned())]);
        }
    }
    assert!(server.metric("confab_deliveries_total").await >= 8.0);
}
