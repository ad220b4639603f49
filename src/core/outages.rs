//! That plugins go out of service and come back is kept in the audit, from here: plugins reach no store, and no call waits
//! for one. So is what those in shadow mode would do or found of what had passed, and how much of what was found was left out.

use std::sync::Arc;
use std::time::Duration;

use confab_protocol::command::{AuditRecord, Finding, ListAudit};
use confab_protocol::model::{AuditId, RoomId, UserId};

use super::cases::NewRecord;
use super::hook::{Found, FoundOf, OUT_OF_SERVICE, Turned};
use super::store::Result;
use super::{Core, audit};
use crate::lifecycle::Lifecycle;

/// The audit's word for it.
const BREAKER: &str = "breaker";
/// After a failure of the store.
const PAUSE: Duration = Duration::from_secs(10);
/// How often it is looked, while the server drains, whether anybody is left who may ask plugins.
const LOOK: Duration = Duration::from_millis(50);

/// Keeps each turn as soon as it is there, until the server has drained.
pub async fn keep(core: Arc<Core>, lifecycle: Lifecycle) {
    let mut unkept: Vec<NewRecord> = Vec::new();
    while !lifecycle.is_draining() {
        let wait = async {
            if unkept.is_empty() {
                tokio::select! {
                    () = core.moderator.turned() => {}
                    () = tokio::time::sleep(core.limits.excess.rest(core.clock.elapsed())) => {}
                }
            } else {
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::select! {
            () = lifecycle.draining() => {}
            () = wait => {}
        }
        core.keep_turned(&mut unkept).await;
    }
    // Plugins are asked while those who are connected leave. Whoever asks has the core, and the writers of the log end with
    // its last handle, which is the one here.
    while Arc::strong_count(&core) > 1 {
        tokio::select! {
            // What the store did not take is tried again at the end, once.
            () = core.moderator.turned(), if unkept.is_empty() => core.keep_turned(&mut unkept).await,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
    if !unkept.is_empty() {
        core.keep_turned(&mut unkept).await;
    }
    // Behind those that were tried again there may be more.
    core.limits.excess.end();
    if unkept.is_empty() {
        core.keep_turned(&mut unkept).await;
    }
}

impl Core {
    /// What the store does not take stays in `unkept`, for the next time.
    async fn keep_turned(&self, unkept: &mut Vec<NewRecord>) {
        let is_again = !unkept.is_empty();
        if !is_again {
            *unkept = self.turned_records();
            unkept.extend(self.wanted_records().await);
            unkept.extend(self.found_records().await);
            unkept.extend(self.left_out_records());
        }
        let Some(first) = unkept.first().map(|new| new.id) else { return };
        match self.keep_once(first, unkept, is_again).await {
            Ok(()) => unkept.clear(),
            Err(error) => drop(self.unavailable(&error)),
        }
    }

    /// The store may have taken them before and failed to say so: it has all of them then, or none.
    async fn keep_once(&self, first: AuditId, records: &[NewRecord], is_again: bool) -> Result<()> {
        if is_again && self.has_record(first).await? {
            return Ok(());
        }
        self.store.audit(records.to_vec()).await
    }

    async fn has_record(&self, id: AuditId) -> Result<bool> {
        // The newest before the next one.
        let before = AuditId::from_u128(id.as_u128().saturating_add(1));
        let (room, user, case, plugin) = (None, None, None, None);
        let listed = ListAudit { room, user, case, plugin, before, limit: 1 };
        Ok(self.store.list_audit(listed, UserId::NONE).await?.iter().any(|entry| entry.id == id))
    }

    fn turned_records(&self) -> Vec<NewRecord> {
        let (turned, omitted) = self.moderator.take_turned();
        let mut records: Vec<NewRecord> = turned.into_iter().map(|it| self.numbered(record(it))).collect();
        records.extend(self.omitted_record(BREAKER, omitted));
        records
    }

    /// How many there were behind those that wait.
    fn omitted_record(&self, act: &str, omitted: u64) -> Option<NewRecord> {
        if omitted == 0 {
            return None;
        }
        let said = self.record(UserId::NONE, act, RoomId::NONE, UserId::NONE);
        Some(self.numbered(AuditRecord { detail: format!("{omitted} more, which were not kept"), ..said }))
    }

    async fn found_records(&self) -> Vec<NewRecord> {
        let (found, omitted) = self.moderator.take_found();
        let mut records = Vec::new();
        for found in found {
            records.extend(self.records_of(found).await);
        }
        records.extend(self.omitted_record("verdict", omitted));
        records
    }

    /// As of those whose word counts, but for where it stands in the log: it had no place there when they were asked.
    async fn records_of(&self, Found { who, of, marks }: Found) -> Vec<NewRecord> {
        let (mut records, texts) = match of {
            FoundOf::Text { kind, room, sent, made } => {
                (self.findings(audit::text_word(kind), who, room, marks), Some((sent, made)))
            }
            FoundOf::Act(act) => (self.act_findings(who, act, marks), None),
        };
        if records.is_empty() {
            return records;
        }
        audit::log_findings(who, &records);
        // Their account may have been erased meanwhile: then nothing may be kept that quotes them. One that is being made
        // is not there yet.
        let (key, is_quoted) = match self.store.find_user(who).await {
            Ok(Some(user)) => (user.audit_key, user.audit_key.is_some()),
            Ok(None) => (None, true),
            Err(error) => {
                drop(self.unavailable(&error));
                (None, false)
            }
        };
        for new in &mut records {
            if let Some((sent, made)) = &texts {
                self.hash_texts(key, new, (Some(sent.as_str()), made.as_deref()));
            }
            if !is_quoted {
                new.note = None;
            }
        }
        records
    }
}

fn record(turned: Turned) -> AuditRecord {
    let Turned { plugin, hash, enforced, hook, is_open, why, time } = turned;
    let (verdict, rule) = if is_open { ("breaker-open", OUT_OF_SERVICE) } else { ("breaker-close", "in-service") };
    let finding = Finding {
        plugin: plugin.to_string(),
        sha256: hash.to_string(),
        hook: hook.to_owned(),
        verdict: verdict.to_owned(),
        enforced,
        rule: rule.to_owned(),
        ..Finding::default()
    };
    let (act, detail) = (BREAKER.to_owned(), why.to_owned());
    AuditRecord { time, act, detail, finding: Some(finding), ..AuditRecord::default() }
}
