//! The words by which records of the audit are looked for: who misspells one is told, instead of finding nothing. A debug
//! build writes no record in any other.

use confab_protocol::command::{AuditRecord, Finding};

/// What was done.
pub const ACTS: &[&str] = &[
    // In a room.
    "delete",
    "pin",
    "unpin",
    "settings",
    "role",
    "admit",
    "invite",
    "notice",
    "mute",
    "shadow",
    "kick",
    "ban",
    "lift",
    // Of cases, and what is done because of one.
    "report",
    "take",
    "let-go",
    "note",
    "decide",
    "appeal",
    "release",
    "fail",
    // On the whole server.
    "server-mute",
    "server-shadow",
    "server-kick",
    "server-ban",
    "server-lift",
    "server-role",
    "reset-token",
    "invite-account",
    "bot-key",
    "erase",
    "emergency",
    // By plugins.
    "verdict",
    "breaker",
];

/// What plugins found says: what they decided of a text or an act, what they did by their own account, and that one is out
/// of service, or back in it.
pub const VERDICTS: &[&str] = &[
    "replace",
    "flag",
    "hold",
    "bounce",
    "reject",
    "shadow",
    "unavailable",
    "delete",
    "mute",
    "kick",
    "ban",
    "lift",
    "case",
    "slow-mode",
    "breaker-open",
    "breaker-close",
];

/// Whether a record can be found by its words.
#[must_use]
pub fn has(record: &AuditRecord) -> bool {
    let is_verdict = |finding: &Finding| VERDICTS.contains(&finding.verdict.as_str());
    ACTS.contains(&record.act.as_str()) && record.finding.as_ref().is_none_or(is_verdict)
}

#[cfg(test)]
mod tests {
    use confab_protocol::model::{ReportReason, RoomId, SanctionKind, Seq, UserId};

    use super::*;
    use crate::core::audit::sanction_word;
    use crate::core::deputy::What;
    use crate::core::steward::server_word;

    #[test]
    fn words_that_are_made_of_kinds_are_among_them() {
        use SanctionKind::{Ban, Kick, Lift, Mute, Shadow};
        let (room, user, seq) = (RoomId::NONE, UserId::NONE, Seq(1));
        for kind in [Mute, Kick, Ban, Lift, Shadow] {
            assert!(ACTS.contains(&sanction_word(kind)) && ACTS.contains(&server_word(kind)), "{kind:?}");
            let what = What::Sanction { room, user, kind, duration_ms: 0 };
            assert!(VERDICTS.contains(&what.word()), "{what:?}");
        }
        let filed = What::Case { room, about: user, seq: None, reason: ReportReason::Spam };
        for what in [What::Delete { room, seq }, filed, What::SlowMode { room, ms: 0 }] {
            assert!(VERDICTS.contains(&what.word()), "{what:?}");
        }
    }

    #[test]
    fn each_word_stands_once() {
        for words in [ACTS, VERDICTS] {
            let mut once = words.to_vec();
            once.sort_unstable();
            once.dedup();
            assert_eq!(once.len(), words.len());
        }
    }

    #[test]
    fn a_record_is_found_by_both_of_its_words() {
        let record = |act: &str, verdict: Option<&str>| AuditRecord {
            act: act.to_owned(),
            finding: verdict.map(|verdict| Finding { verdict: verdict.to_owned(), ..Finding::default() }),
            ..AuditRecord::default()
        };
        assert!(has(&record("pin", None)) && has(&record("verdict", Some("hold"))));
        assert!(!has(&record("pinned", None)) && !has(&record("verdict", Some("held"))));
    }
}
