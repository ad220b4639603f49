//! Capability `actions`: what a plugin calls for waits for its turn ([`super::turns`]) until the server does it. A call does
//! nothing itself and waits for nothing. In shadow mode it is told to the audit, and nothing is done.

use std::sync::Arc;

use confab_protocol::limits::SLOW_MODE_MS_MAX;
use confab_protocol::model::{Millis, ReportReason, RoomId, SanctionKind, Seq, UserId};
use prometheus::IntCounterVec;

use super::host::HostState;
use super::host::bindings::confab::plugin::{actions, types};
use super::outages::Outages;
use super::translate::{Speaker, cut};
use super::turns::Turns;
use super::{Member, PluginSet};
use crate::config::Mode;
use crate::core::cases::reason_name;
use crate::core::deputy::{Deed, What};
use crate::core::names::{DEPUTY_ID_BYTES_MAX, deputy_name};

/// The capability, by the name of the contract.
pub(super) const NAME: &str = "actions";

/// What becomes of what a plugin calls for.
enum Way {
    /// Nothing, in the lab and where a plugin is tried.
    Nowhere,
    /// In shadow mode it is told.
    Told(Arc<Outages>),
    /// It waits for its turn.
    Done,
}

/// By which a plugin acts, and whether it does.
pub(super) struct Hand {
    speaker: Speaker,
    way: Way,
    /// Whether it calls for anything at all.
    is_used: bool,
    counters: IntCounterVec,
}

impl Hand {
    /// Of who does not count it is told what they call for; without that, in the lab, it is only counted.
    pub(super) fn of(
        speaker: Speaker,
        is_used: bool,
        counters: &IntCounterVec,
        told: Option<&Arc<Outages>>,
    ) -> Arc<Self> {
        let way = match told {
            None => Way::Nowhere,
            Some(_) if speaker.enforced => Way::Done,
            Some(told) => Way::Told(Arc::clone(told)),
        };
        Arc::new(Self { speaker, way, is_used, counters: counters.clone() })
    }

    fn count(&self, word: &str, outcome: &str) {
        self.counters.with_label_values(&[&*self.speaker.plugin, word, outcome]).inc();
    }
}

/// Whether what it wants is done: one that is off or in shadow mode does not act.
fn acts(member: &Member) -> bool {
    member.mode == Mode::Enforce && member.pool.hand().is_used
}

impl PluginSet {
    /// Plugins that act, by their ids.
    pub(crate) fn deputies(&self) -> Vec<String> {
        let chain = self.current();
        chain.members.iter().filter(|member| acts(member)).map(|member| member.id.to_string()).collect()
    }

    /// What one of them wants done, and the SHA-256 of the component that it has now; `None`: it does not act (any more).
    pub(crate) fn turns(&self, plugin: &str) -> Option<(Arc<Turns>, Arc<str>)> {
        let chain = self.current();
        let member = chain.members.iter().find(|member| *member.id == *plugin && acts(member))?;
        Some((Arc::clone(&member.pool.lasting().turns), Arc::clone(&member.pool.hand().speaker.hash)))
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
    /// Whether it waits for its turn now. In shadow mode it costs and is bounded as if it did.
    fn want(&mut self, what: What, finding: types::Finding, reason: String) -> bool {
        // It called for that when it was asked about this message the first time, and it was taken and paid for then.
        if self.is_again && self.wanted.contains(&what) {
            return true;
        }
        let (hand, word) = (&self.shared.hand, what.word());
        let (clock, turns) = (&self.shared.clock, &self.shared.lasting.turns);
        let id = what.id(&hand.speaker.plugin, Millis(self.now_ms), clock.now());
        let deed = Deed { id, what, mark: hand.speaker.found(word, finding, cut(reason)) };
        let now = clock.elapsed();
        let taken = match &hand.way {
            Way::Nowhere => Ok(()),
            Way::Told(told) => turns.charge(&what, now).and_then(|()| told.want(deed)),
            Way::Done => turns.push(deed, now),
        };
        match taken {
            Err(outcome) => hand.count(word, outcome),
            // What became of it is counted when it is known.
            Ok(()) if matches!(hand.way, Way::Done) => {}
            Ok(()) => hand.count(word, "shadow"),
        }
        // Where it goes nowhere nothing bounds how much it is, and it costs nothing twice.
        if taken.is_ok() && !matches!(hand.way, Way::Nowhere) {
            self.wanted.push(what);
        }
        taken.is_ok()
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
    use super::*;

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
