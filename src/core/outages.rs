//! That plugins go out of service and come back is kept in the audit, from here: plugins reach no store, and no call waits
//! for one. So is what those in shadow mode would do, and how much of what was found was left out.

use std::sync::Arc;
use std::time::Duration;

use confab_protocol::command::{AuditRecord, Finding, ListAudit};
use confab_protocol::model::{AuditId, RoomId, UserId};

use super::Core;
use super::cases::NewRecord;
use super::hook::{OUT_OF_SERVICE, Turned};
use super::store::Result;
use crate::lifecycle::Lifecycle;

/// The audit's word for it.
const BREAKER: &str = "breaker";
/// After a failure of the store.
const PAUSE: Duration = Duration::from_secs(10);

/// Keeps each turn as soon as it is there, until the server drains.
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
    // Behind those that were tried again there may be more.
    core.limits.excess.end();
    core.keep_turned(&mut unkept).await;
}

impl Core {
    /// What the store does not take stays in `unkept`, for the next time.
    async fn keep_turned(&self, unkept: &mut Vec<NewRecord>) {
        let is_again = !unkept.is_empty();
        if !is_again {
            *unkept = self.turned_records();
            unkept.extend(self.wanted_records().await);
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
        if omitted > 0 {
            let said = self.record(UserId::NONE, BREAKER, RoomId::NONE, UserId::NONE);
            records.push(self.numbered(AuditRecord { detail: format!("{omitted} more, which were not kept"), ..said }));
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
