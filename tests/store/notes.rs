//! What plugins noted of what they found: it is read with its record, and does not stay as long.

use confab::core::append::Item;
use confab::core::cases::{Beside, NewRecord};
use confab::core::names::user_key;
use confab::core::store::{Before, Unappended};
use confab_protocol::command::{AuditRecord, Finding, ListAudit};
use confab_protocol::model::{DisplayName, Millis, UserId, Username};
use confab_protocol::reject::RejectCode;

use super::amends::refused;
use super::moderation::{all_records, posts, words};
use super::{START, Scene, seq};

super::cases![
    what_a_plugin_noted_is_read_with_its_record,
    a_note_goes_with_whom_it_may_quote_and_with_whom_it_is_about,
    a_note_has_the_time_of_evidence,
];

impl Scene {
    fn noted(&self, user: UserId, author: UserId, note: &str) -> NewRecord {
        let finding = Some(Finding { plugin: "words".to_owned(), ..Finding::default() });
        let record = AuditRecord { time: START.after(self.next()), user, finding, ..AuditRecord::default() };
        NewRecord { note: Some((author, words(note))), ..self.new_record(record) }
    }

    /// The oldest first.
    async fn notes(&self, wanted: ListAudit) -> Vec<String> {
        let entries = self.store.list_audit(wanted, UserId::NONE).await.unwrap();
        entries.iter().rev().map(|entry| entry.note.as_str().to_owned()).collect()
    }
}

async fn what_a_plugin_noted_is_read_with_its_record(scene: Scene) {
    let (room, [owner, _, member]) = scene.company().await;
    let stranger = scene.user("dora").await.id;
    let first = scene.noted(member, member, "by itself");
    let plain = scene.new_record(AuditRecord { actor: owner, ..AuditRecord::default() });
    scene.store.audit(vec![first.clone(), plain]).await.unwrap();
    // With what is appended, with what the log refuses, and with what is held.
    let with = |item: Item, note: &str| {
        let audit = vec![scene.noted(member, member, note)];
        Item { beside: Some(Box::new(Beside { audit, opens: None, releases: false })), ..item }
    };
    let posted = with(posts(&scene, room, member), "posted");
    assert!(seq(&scene.append_one(posted.clone()).await).is_some());
    let outside = with(posts(&scene, room, stranger), "refused");
    assert_eq!(scene.append_one(outside).await, refused(RejectCode::NotMember));
    let held = scene.held(&posts(&scene, room, member), scene.case_id(), "");
    let held = Unappended { audit: vec![scene.noted(member, member, "held")], ..held };
    assert_eq!(scene.store.record(held.clone()).await.unwrap(), None);
    let all = ["by itself", "", "posted", "refused", "held"];
    assert_eq!(scene.notes(all_records()).await, all);
    let of_member = ListAudit { user: Some(member), ..all_records() };
    assert_eq!(scene.notes(of_member).await, ["by itself", "posted", "refused", "held"]);
    // What is there already is not written again.
    scene.append_one(posted).await;
    assert!(scene.store.record(held).await.unwrap().is_some());
    let again = NewRecord { note: Some((member, words("another"))), ..first };
    assert!(scene.store.audit(vec![again]).await.is_err());
    assert_eq!(scene.notes(all_records()).await, all);
}

async fn a_note_goes_with_whom_it_may_quote_and_with_whom_it_is_about(scene: Scene) {
    let (_, [owner, moderator, member]) = scene.company().await;
    let records = [
        (member, member, "what they said"),
        (moderator, member, "what they reported"),
        (member, owner, "what was reported of them"),
        (owner, moderator, "of others"),
    ];
    let records = records.map(|(user, author, note)| scene.noted(user, author, note)).to_vec();
    scene.store.audit(records).await.unwrap();
    let given = scene.store.personal_records(member).await.unwrap();
    let given = given.iter().filter(|it| it["kind"] == "noted by a plugin").map(|it| it["note"].clone());
    assert_eq!(given.collect::<Vec<_>>(), ["what they said", "what they reported"]);
    let audit = scene.audit_of(None).await;
    let account = scene.store.find_user(member).await.unwrap().unwrap();
    let (username, display_name) = (Username::parse("erased-1").unwrap(), DisplayName::parse("gone").unwrap());
    let name = (username.clone(), user_key(&username));
    scene.store.erase_account(member, account.self_room, name, display_name).await.unwrap();
    assert_eq!(scene.notes(all_records()).await, ["", "", "", "of others"]);
    assert_eq!(scene.audit_of(None).await, audit, "and the audit stays");
}

async fn a_note_has_the_time_of_evidence(scene: Scene) {
    let alice = UserId::from_u128(1);
    let mut records = ["first", "second", "third"].map(|note| scene.noted(alice, alice, note)).to_vec();
    for (n, new) in (0..).zip(&mut records) {
        new.record.time = START.after(n * 1_000);
    }
    scene.store.audit(records).await.unwrap();
    let forget = async |evidence, limit| {
        let (replaced, unappended) = (Millis(0), Millis(0));
        scene.store.forget(Before { replaced, unappended, evidence: START.after(evidence) }, limit).await.unwrap()
    };
    assert_eq!(forget(0, 9).await, 0, "nothing is older");
    assert_eq!((forget(1, 9).await, scene.notes(all_records()).await.concat()), (1, "secondthird".to_owned()));
    assert_eq!(
        (forget(9_000, 1).await, scene.notes(all_records()).await.concat()),
        (1, "third".to_owned()),
        "in steps"
    );
    assert_eq!((forget(9_000, 1).await, forget(9_000, 1).await), (1, 0));
    assert_eq!(scene.audit_of(None).await.len(), 3);
}
