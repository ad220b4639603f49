//! What plugins find where it counts for nothing is kept up to a bound, and the rest is told as a number. So are cases of
//! flags, all of which the audit has.

use std::path::Path;
use std::sync::Arc;

use confab::config::{Mode, Plugins};
use confab_client::{Command, Reply};
use confab_protocol::codec::decode_audit;
use confab_protocol::command::{AuditRecord, ListAudit};
use confab_protocol::model::AuditId;

use super::acts::register_owner;
use super::{folder, generous, plugins, post};
use crate::support::people::Person;
use crate::support::process::Place;
use crate::support::{TestServer, Transport};

/// More than are kept in the two minutes that a slow machine may take for them.
const SENT: usize = 130;
/// Findings of a rule about one author in a minute.
const FINDINGS_OF_AUTHOR: usize = 20;
/// Cases that flags of a plugin open about one author in a minute.
const CASES_OF_AUTHOR: usize = 10;

fn hostile(folder: &Path, mode: Mode) -> Plugins {
    Plugins { mode: [("hostile".to_owned(), mode)].into(), ..generous(plugins(folder)) }
}

/// What the audit has of the hostile guest, the newest first.
async fn audit(of: &Person) -> Vec<AuditRecord> {
    let (mut all, mut before) = (Vec::new(), AuditId::NONE);
    loop {
        let plugin = Some("hostile".to_owned());
        let list = ListAudit { room: None, user: None, case: None, plugin, before, limit: 0 };
        let Ok(Reply::Audit { records, next }) = of.client.request(Command::ListAudit(list)).await else { panic!() };
        if records.is_empty() {
            return all;
        }
        all.extend(records.iter().map(|entry| decode_audit(&entry.record).unwrap()));
        before = next;
    }
}

/// Somebody else than the owner, whom the audit tells nothing of themselves, says it again and again.
async fn repeat(server: &TestServer, owner: &Person, text: &str) {
    let room = owner.enter("den").await;
    let author = Person::register(server, Transport::WebSocket, "author").await;
    author.enter("den").await;
    for _ in 0..SENT {
        assert!(matches!(post(&author, &room, text).await, Ok(Reply::Appended(_))));
    }
}

async fn omitted(server: &TestServer, what: &str) -> f64 {
    server.metric(&format!("confab_plugin_{what}_omitted_total{{plugin=\"hostile\"}}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_that_finds_something_everywhere_does_not_fill_the_audit() {
    let (guests, data) = (folder(), Arc::new(tempfile::tempdir().unwrap()));
    let start =
        || TestServer::start_in(Arc::clone(&data), |config| config.plugins = hostile(guests.path(), Mode::Shadow));
    let server = start().await;
    let owner = register_owner(&server).await;
    repeat(&server, &owner, "reject").await;
    let is_one = |it: &&AuditRecord| it.detail.is_empty();
    let kept = audit(&owner).await.iter().filter(is_one).count();
    assert!((FINDINGS_OF_AUTHOR..=2 * FINDINGS_OF_AUTHOR).contains(&kept), "{kept}");
    assert_eq!(omitted(&server, "findings").await, (SENT - kept) as f64);

    // It is told at the end of each minute, and when the server ends.
    drop((owner, server));
    let server = start().await;
    let owner = Person::login(&server, Transport::Quic, "owner").await;
    let records = audit(&owner).await;
    let number = |it: &AuditRecord| {
        it.detail.strip_prefix("and ")?.strip_suffix(" more, which were not kept")?.parse::<usize>().ok()
    };
    let told: Vec<usize> = records.iter().filter_map(number).collect();
    assert!(!told.is_empty() && told.iter().sum::<usize>() == SENT - kept, "{told:?} beside {kept}");
    assert_eq!(records.iter().filter(is_one).count(), kept);
    for record in records.iter().filter(|it| !it.detail.is_empty()) {
        let Some(finding) = &record.finding else { panic!("{record:?}") };
        assert_eq!((record.act.as_str(), finding.rule.as_str(), finding.enforced), ("verdict", "told-to", false));
        assert!(record.room.is_none() && record.user.is_none(), "of many: {record:?}");
    }
}

/// A process of its own, whose log nobody else writes.
#[tokio::test(flavor = "multi_thread")]
async fn nor_does_it_fill_the_log() {
    let guests = folder();
    let place = Place::with(&format!(
        "plugins.dir = {:?}\nplugins.chain = [\"sanitize\", \"hostile\"]\nplugins.grant.hostile = [\"log\", \"kv\"]\n\
         plugins.mode.hostile = \"shadow\"\nplugins.call_budget_ms = 500\nplugins.average_budget_ms = 500\n\
         plugins.chain_budget_ms = 2000",
        guests.path()
    ));
    place.rewrite("log.filter = \"warn\"", "log.filter = \"info\"");
    let _server = place.serve();
    let author = place.register(Transport::WebSocket, "author").await;
    let room = author.enter("den").await;
    for _ in 0..SENT {
        assert!(matches!(post(&author, &room, "reject").await, Ok(Reply::Appended(_))));
    }
    // It is written before the message is answered.
    let log = place.err();
    let told = log.lines().filter(|line| line.contains("a plugin found something")).count();
    assert!((FINDINGS_OF_AUTHOR..=2 * FINDINGS_OF_AUTHOR).contains(&told), "{told}");
}

/// Or who is flagged on purpose would keep the flags of others out of the queue.
#[tokio::test(flavor = "multi_thread")]
async fn flags_of_an_author_open_so_many_cases_in_a_minute_and_are_all_in_the_audit() {
    let guests = folder();
    let server = TestServer::start_with(|config| config.plugins = hostile(guests.path(), Mode::Enforce)).await;
    let owner = register_owner(&server).await;
    repeat(&server, &owner, "flag").await;
    let other = Person::register(&server, Transport::Quic, "other").await;
    let room = other.enter("den").await;
    assert!(matches!(post(&other, &room, "flag").await, Ok(Reply::Appended(_))));
    let records = audit(&owner).await;
    assert_eq!(records.len(), SENT + 1, "what counts is kept");
    let is_other = |it: &AuditRecord| it.user == other.session.identity.user;
    let with_case = |of_other: bool| records.iter().filter(|it| is_other(it) == of_other && !it.case.is_none()).count();
    assert_eq!(with_case(true), 1, "there is room for those of others");
    let of_author = with_case(false);
    assert!((CASES_OF_AUTHOR..=2 * CASES_OF_AUTHOR).contains(&of_author), "{of_author}");
    assert_eq!(omitted(&server, "cases").await, (SENT - of_author) as f64);
}
