//! The sandbox: what misbehaving guests do to authors and to the server, what is refused at load, and the
//! stock filter inside it beside the same filter outside.

mod actions;
mod acts;
mod automod;
mod breaker;
mod cases;
mod chain;
mod context;
mod corpus;
mod deputies;
mod examples;
mod excess;
mod frozen;
mod fuel;
mod goldens;
mod history;
mod hostile;
mod limits;
mod load;
mod observe;
mod platform;
mod replay;
mod resend;
mod sanitize;
mod sessions;
mod shadow;
mod target;
mod tutorial;
mod write_paths;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use confab::config::{Config, Plugins};
use confab_client::{Command, Error, Publish, Reject, Reply, Room};
use confab_protocol::command::Write;
use confab_protocol::model::{Body, ClientId};

pub(crate) use crate::support::guests::built;
use crate::support::guests::copied;
use crate::support::people::Person;

/// Puts another text of the same length wherever it stands in a component, so that its sections stay whole.
pub(crate) fn with_replaced(wasm: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let (mut changed, mut at, mut count) = (wasm.to_vec(), 0, 0);
    while at + from.len() <= changed.len() {
        if changed[at..].starts_with(from.as_bytes()) {
            changed[at..at + to.len()].copy_from_slice(to.as_bytes());
            count += 1;
        }
        at += 1;
    }
    assert!(count > 0, "{from} does not occur");
    changed
}

/// A folder with the stock filter and the hostile guest.
pub(crate) fn folder() -> Arc<tempfile::TempDir> {
    copied(&["plugins/sanitize", "test-plugins/hostile"])
}

/// What the hostile guest is granted.
pub(crate) fn granted(capabilities: &[&str]) -> BTreeMap<String, Vec<String>> {
    [("hostile".to_owned(), capabilities.iter().map(|&it| it.to_owned()).collect())].into()
}

/// Both plugins in a chain, with the budgets of the defaults.
fn plugins(folder: &Path) -> Plugins {
    Plugins {
        dir: Some(folder.to_owned()),
        chain: vec!["sanitize".into(), "hostile".into()],
        grant: granted(&["log", "kv"]),
        ..Config::default().plugins
    }
}

/// Budgets that only an endless loop exhausts, however slow the machine.
fn generous(plugins: Plugins) -> Plugins {
    Plugins { call_budget_ms: 500, average_budget_ms: 500, chain_budget_ms: 2_000, ..plugins }
}

type Outcome = Result<Reply, Reject>;

/// Publishes, perhaps again, under a given id.
async fn publish(person: &Person, room: &Room, client_id: ClientId, resend: bool, text: &str) -> Outcome {
    let publish = Publish { room: room.id, client_id, resend, body: Body::parse(text).unwrap(), reply_to: None };
    match person.client.request(Command::Publish(publish)).await {
        Ok(reply) => Ok(reply),
        Err(Error::Rejected(reject)) => Err(reject),
        Err(other) => panic!("{other}"),
    }
}

/// Their next write to a room.
fn write(person: &Person, room: &Room) -> Write {
    Write { room: room.id, client_id: person.client.new_client_id(), resend: false }
}

/// Publishes something new.
async fn post(person: &Person, room: &Room, text: &str) -> Outcome {
    publish(person, room, person.client.new_client_id(), false, text).await
}
