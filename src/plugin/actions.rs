//! Capability `actions`: what a plugin wants done waits here, in order and within bounds, until the server does it. A call
//! does nothing itself and waits for nothing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use confab_protocol::limits::SLOW_MODE_MS_MAX;
use confab_protocol::model::{ClientId, ReportReason, RoomId, SanctionKind, Seq, UserId};
use prometheus::IntCounterVec;
use tokio::sync::Notify;

use super::PluginSet;
use super::host::HostState;
use super::host::bindings::confab::plugin::{actions, types};
use super::translate::{Speaker, cut};
use crate::config::Mode;
use crate::core::buckets::{Bucket, Quota};
use crate::core::cases::reason_name;
use crate::core::deputy::{Deed, What};
use crate::core::names::{DEPUTY_ID_BYTES_MAX, deputy_name};

/// The capability, by the name of the contract.
pub(super) const NAME: &str = "actions";
/// Of one plugin, that wait to be done.
const WAITING_MAX: usize = 256;
/// Of one plugin, in the long run and at once.
const ACTS_PER_SECOND: u32 = 10;
const ACTS_BURST: u32 = 30;
/// A case keeps up to eleven messages for months.
const CASE_UNITS: u32 = 5;

/// By which a plugin acts, and whether it does.
pub(super) struct Hand {
    speaker: Speaker,
    /// Whether it calls for anything at all.
    is_used: bool,
    counters: IntCounterVec,
}

impl Hand {
    /// Who does not count, in shadow mode or in the lab, is only counted.
    pub(super) fn of(speaker: Speaker, is_used: bool, counters: &IntCounterVec) -> Arc<Self> {
        Arc::new(Self { speaker, is_used, counters: counters.clone() })
    }

    fn count(&self, word: &str, outcome: &str) {
        self.counters.with_label_values(&[&*self.speaker.plugin, word, outcome]).inc();
    }
}

/// What one plugin wants done, over all its generations. One task does it.
pub(crate) struct Waiting {
    deeds: Mutex<Deeds>,
    more: Notify,
    bucket: Bucket,
    quota: Quota,
}

#[derive(Default)]
struct Deeds {
    waiting: VecDeque<Deed>,
    /// Nobody does them any more.
    is_closed: bool,
}

impl Default for Waiting {
    fn default() -> Self {
        let quota = Quota::new(ACTS_PER_SECOND, Duration::from_secs(1), ACTS_BURST);
        Self { deeds: Mutex::default(), more: Notify::new(), bucket: Bucket::default(), quota }
    }
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Deeds> {
        self.deeds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// # Errors
    /// Why it is not taken, as metrics spell it.
    fn push(&self, deed: Deed, now: Duration) -> Result<(), &'static str> {
        let units = if matches!(deed.what, What::Case { .. }) { CASE_UNITS } else { 1 };
        if self.bucket.take(&self.quota, units, now).is_err() {
            return Err("limited");
        }
        let mut deeds = self.lock();
        if deeds.is_closed {
            return Err("dropped");
        }
        if deeds.waiting.len() >= WAITING_MAX {
            return Err("full");
        }
        deeds.waiting.push_back(deed);
        drop(deeds);
        self.more.notify_one();
        Ok(())
    }

    /// Somebody does them from now on.
    pub(crate) fn open(&self) {
        self.lock().is_closed = false;
    }

    /// The next one, if there is one.
    pub(crate) fn take(&self) -> Option<Deed> {
        self.lock().waiting.pop_front()
    }

    /// The next one, as soon as there is one. Whoever stops waiting for it loses none.
    pub(crate) async fn next(&self) -> Deed {
        loop {
            if let Some(deed) = self.take() {
                return deed;
            }
            self.more.notified().await;
        }
    }

    /// Nobody does them any more: those that are left.
    pub(crate) fn close(&self) -> Vec<Deed> {
        let mut deeds = self.lock();
        deeds.is_closed = true;
        std::mem::take(&mut deeds.waiting).into()
    }
}

impl PluginSet {
    /// Plugins that act, by their ids; one that is off or in shadow mode does not.
    pub(crate) fn deputies(&self) -> Vec<String> {
        let chain = self.current();
        let acting = chain.members.iter().filter(|member| member.mode == Mode::Enforce && member.pool.hand().is_used);
        acting.map(|member| member.id.to_string()).collect()
    }

    /// What one of them wants done; `None`: it does not act (any more).
    pub(crate) fn waiting(&self, plugin: &str) -> Option<Arc<Waiting>> {
        let chain = self.current();
        let is_it = |member: &&super::Member| {
            *member.id == *plugin && member.mode == Mode::Enforce && member.pool.hand().is_used
        };
        chain.members.iter().find(is_it).map(|member| Arc::clone(&member.pool.lasting().waiting))
    }
}

/// Whether a plugin of this id can have an account to act by.
pub(super) fn check_account(id: &str) -> Result<(), String> {
    let too_long = || format!("its id is too long for one that acts: at most {DEPUTY_ID_BYTES_MAX} bytes");
    deputy_name(id).map(drop).map_err(|_| too_long())
}

fn number((high, low): types::Id) -> u128 {
    (u128::from(high) << 64) | u128::from(low)
}

fn sanction_kind(word: &str) -> Option<SanctionKind> {
    Some(match word {
        "mute" => SanctionKind::Mute,
        "kick" => SanctionKind::Kick,
        "ban" => SanctionKind::Ban,
        "shadow" => SanctionKind::Shadow,
        "lift" => SanctionKind::Lift,
        _ => return None,
    })
}

/// A word that a later contract has is "other" here.
fn report_reason(word: &str) -> ReportReason {
    let mut known = (1..=u8::MAX).map_while(ReportReason::from_number);
    known.find(|reason| reason_name(*reason) == word).unwrap_or(ReportReason::Other)
}

impl HostState {
    /// Whether it waits for its turn now.
    fn want(&self, what: What, finding: types::Finding, reason: String) -> bool {
        let (hand, word) = (&self.shared.hand, what.word());
        if !hand.speaker.enforced {
            hand.count(word, "shadow");
            return true;
        }
        let clock = &self.shared.clock;
        let id = ClientId::new(clock.now(), clock.random());
        let deed = Deed { id, what, mark: hand.speaker.found(word, finding, cut(reason)), is_kept: false };
        match self.shared.lasting.waiting.push(deed, clock.elapsed()) {
            Ok(()) => true,
            Err(outcome) => {
                hand.count(word, outcome);
                false
            }
        }
    }

    /// What is none of the contract is no act of any kind.
    fn refuse(&self, word: &str) -> bool {
        self.shared.hand.count(word, "malformed");
        false
    }
}

impl actions::Host for HostState {
    fn delete(&mut self, room: types::Id, seq: u64, finding: types::Finding) -> wasmtime::Result<bool> {
        let what = What::Delete { room: RoomId::from_u128(number(room)), seq: Seq(seq) };
        Ok(self.want(what, finding, String::new()))
    }

    fn sanction(
        &mut self,
        room: types::Id,
        user: types::Id,
        kind: String,
        duration_ms: Option<u64>,
        why: types::Refusal,
    ) -> wasmtime::Result<bool> {
        let (room, user) = (RoomId::from_u128(number(room)), UserId::from_u128(number(user)));
        Ok(match (sanction_kind(&kind), duration_ms) {
            // No time at all would be for ever.
            (None, _) | (_, Some(0)) => self.refuse("sanction"),
            (Some(kind), duration_ms) => {
                let what = What::Sanction { room, user, kind, duration_ms: duration_ms.unwrap_or_default() };
                self.want(what, why.finding, why.reason)
            }
        })
    }

    fn file_case(
        &mut self,
        room: types::Id,
        about: types::Id,
        seq: Option<u64>,
        reason: String,
        finding: types::Finding,
    ) -> wasmtime::Result<bool> {
        let (room, about) = (RoomId::from_u128(number(room)), UserId::from_u128(number(about)));
        let what = What::Case { room, about, seq: seq.map(Seq), reason: report_reason(&reason) };
        Ok(self.want(what, finding, String::new()))
    }

    fn slow_mode(&mut self, room: types::Id, seconds: u32, finding: types::Finding) -> wasmtime::Result<bool> {
        let room = RoomId::from_u128(number(room));
        Ok(match seconds.checked_mul(1000).filter(|ms| *ms <= SLOW_MODE_MS_MAX) {
            Some(ms) => self.want(What::SlowMode { room, ms }, finding, String::new()),
            None => self.refuse("slow-mode"),
        })
    }
}

#[cfg(test)]
mod tests {
    use confab_protocol::model::Millis;

    use super::*;
    use crate::core::hook::Mark;

    fn deed(n: u64) -> Deed {
        let mark = Mark {
            plugin: "x".into(),
            hash: "".into(),
            enforced: true,
            verdict: "delete",
            rule: String::new(),
            label: String::new(),
            score: 0,
            span: None,
            note: String::new(),
            shown: String::new(),
        };
        let what = What::Delete { room: RoomId::from_u128(1), seq: Seq(n) };
        Deed { id: ClientId::new(Millis(1), n.into()), what, mark, is_kept: false }
    }

    #[test]
    fn it_is_bounded_by_rate_and_by_number_and_keeps_its_order() {
        let (waiting, second) = (Waiting::default(), Duration::from_secs);
        let taken = (0..1_000).filter(|n| waiting.push(deed(*n), second(5)).is_ok()).count();
        assert_eq!(taken, 30);
        // As fast as it may, and nobody does anything.
        let outcomes: Vec<_> = (6..).take(30).flat_map(|at| (0..10).map(move |n| (at, n))).collect();
        let mut refused = 0;
        for (at, n) in outcomes {
            match waiting.push(deed(n), second(at)) {
                Ok(()) => {}
                Err(outcome) => {
                    assert_eq!(outcome, "full");
                    refused += 1;
                }
            }
        }
        assert_eq!(refused, 30 + 300 - WAITING_MAX);
        let first = waiting.take().map(|deed| deed.what);
        assert_eq!(first, Some(What::Delete { room: RoomId::from_u128(1), seq: Seq(0) }));
        assert_eq!(waiting.close().len(), WAITING_MAX - 1);
        assert_eq!(waiting.push(deed(1), second(60)), Err("dropped"));
        waiting.open();
        assert_eq!(waiting.push(deed(1), second(60)), Ok(()));
    }

    #[test]
    fn a_case_counts_as_five() {
        let waiting = Waiting::default();
        let what = What::Case {
            room: RoomId::from_u128(1),
            about: UserId::from_u128(2),
            seq: None,
            reason: ReportReason::Spam,
        };
        let case = |n| Deed { what, ..deed(n) };
        assert_eq!((0..100).filter(|n| waiting.push(case(*n), Duration::from_secs(5)).is_ok()).count(), 6);
    }

    #[test]
    fn words_of_the_contract() {
        assert_eq!(
            (report_reason("self-harm"), report_reason("boredom")),
            (ReportReason::SelfHarm, ReportReason::Other)
        );
        assert_eq!((sanction_kind("ban"), sanction_kind("flog")), (Some(SanctionKind::Ban), None));
        assert_eq!(number((1, 2)), (1 << 64) | 2);
        let longest = "a".repeat(DEPUTY_ID_BYTES_MAX);
        assert!(check_account(&longest).is_ok() && check_account(&format!("{longest}a")).is_err());
    }
}
