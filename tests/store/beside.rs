//! Records of the audit that are kept with what they are of, or not at all.

use std::sync::Arc;

use confab::core::cases::NewReport;
use confab::core::store::NewInvite;
use confab_protocol::command::{AuditRecord, Finding};
use confab_protocol::model::{CaseId, RoomId, UserId};

use super::{START, Scene};

super::cases![what_a_plugin_finds_is_kept_with_its_report_once, an_invitation_is_recorded_where_it_is_kept];

impl Scene {
    /// With what a plugin found, as its account reports.
    fn found_report(&self, room: RoomId, subject: UserId, about: u64, reporter: UserId) -> NewReport {
        let mut report = self.new_report(room, subject, about, reporter);
        let finding = Some(Finding { plugin: "deputy".to_owned(), ..Finding::default() });
        let record = AuditRecord { room, user: subject, finding, ..AuditRecord::default() };
        report.records.push(self.new_record(record));
        report
    }

    /// How many records there are of a case, and how many of these a plugin found.
    async fn count_records(&self, case: CaseId) -> (usize, usize) {
        let records = self.audit_of(Some(case)).await;
        (records.len(), records.iter().filter(|it| it.finding.is_some()).count())
    }
}

async fn what_a_plugin_finds_is_kept_with_its_report_once(scene: Scene) {
    let (room, [owner, moderator, member]) = scene.company().await;
    let report = async |about, reporter| {
        let report = scene.found_report(room, member, about, reporter);
        scene.store.report(report).await.unwrap()
    };
    assert_eq!(report(99, owner).await, None);
    assert!(scene.audit_of(None).await.is_empty(), "nothing was found of what is not there");
    let first = report(7, owner).await.unwrap();
    let id = first.row.id;
    assert_eq!((first.is_new, first.is_known, scene.count_records(id).await), (true, false, (2, 1)));
    // Another server was shown the same event, and it has records of its own.
    let again = report(7, owner).await.unwrap();
    assert_eq!((again.is_new, again.is_known, again.row), (false, true, first.row));
    assert_eq!(scene.audit_of(None).await.len(), 2);
    let joined = report(7, moderator).await.unwrap();
    assert_eq!((joined.is_new, joined.is_known, joined.row.id), (false, false, id));
    assert_eq!(scene.count_records(id).await, (4, 2), "of the case that it joins");

    let at_once = [0; 4].map(|_| {
        let (store, report) = (Arc::clone(&scene.store), scene.found_report(room, moderator, 6, owner));
        tokio::spawn(async move { store.report(report).await.unwrap().unwrap() })
    });
    let mut told = Vec::new();
    for reported in at_once {
        told.push(reported.await.unwrap());
    }
    assert_eq!(told.iter().filter(|it| !it.is_known).count(), 1, "{told:?}");
    assert_eq!(scene.count_records(told[0].row.id).await, (2, 1));
}

async fn an_invitation_is_recorded_where_it_is_kept(scene: Scene) {
    let (room, [_, moderator, member]) = scene.company().await;
    let invite = async |hash: u8, author| {
        let record = AuditRecord { actor: author, act: "invite".to_owned(), room, ..AuditRecord::default() };
        let (hash, record, expires) = ([hash; 32], scene.new_record(record), START.after(60_000));
        scene.store.create_invite(NewInvite { hash, room, author, uses: 1, expires, now: START, record }).await.unwrap()
    };
    assert!(!invite(1, member).await && scene.audit_of(None).await.is_empty(), "who may not has not invited");
    assert!(invite(2, moderator).await);
    let records = scene.audit_of(None).await;
    assert_eq!(records.iter().map(|it| (it.actor, it.act.as_str())).collect::<Vec<_>>(), [(moderator, "invite")]);
    // They were put out since they were looked at.
    scene.leave(room, moderator).await;
    assert!(!invite(3, moderator).await);
    assert_eq!(scene.audit_of(None).await.len(), 1);
}
