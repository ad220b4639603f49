//! What is taken from somebody in a room, or on the whole server, and what records say of that and of the like: what it
//! was, and is.

use confab_protocol::model::{Millis, SanctionKind, ServerRole, UserId};

use super::audit::sanction_word;
use super::cases::NewRecord;

/// A mute, a ban or a shadow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Restriction {
    /// [`SanctionKind::Mute`], [`SanctionKind::Ban`] or [`SanctionKind::Shadow`].
    pub kind: SanctionKind,
    /// `None`: until it is lifted.
    pub until: Option<Millis>,
}

impl Restriction {
    /// Whether it holds.
    #[must_use]
    pub fn holds(self, now: Millis) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// Whether somebody may not speak. Who is shadowed may, and is heard by nobody.
    #[must_use]
    pub fn silences(self, now: Millis) -> bool {
        self.kind != SanctionKind::Shadow && self.holds(now)
    }

    /// Whether what they say is kept from others.
    #[must_use]
    pub fn shadows(self, now: Millis) -> bool {
        self.kind == SanctionKind::Shadow && self.holds(now)
    }

    /// As stores keep it: a kind (0: none), and when it ends (0: when it is lifted).
    #[must_use]
    pub fn to_numbers(restriction: Option<Self>) -> (u8, u64) {
        let kind = |kind| match kind {
            SanctionKind::Ban => 2,
            SanctionKind::Shadow => 3,
            _ => 1,
        };
        restriction.map_or((0, 0), |it| (kind(it.kind), it.until.map_or(0, |until| until.0)))
    }

    /// The inverse of [`Self::to_numbers`].
    #[must_use]
    pub fn from_numbers(kind: u8, until: u64) -> Option<Self> {
        let kind = match kind {
            0 => return None,
            2 => SanctionKind::Ban,
            3 => SanctionKind::Shadow,
            _ => SanctionKind::Mute,
        };
        Some(Self { kind, until: (until != 0).then_some(Millis(until)) })
    }
}

/// A restriction of an account on the whole server, or its end.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Restrict {
    pub user: UserId,
    /// Only of an account of a rank below this role.
    pub below: Option<ServerRole>,
    pub kind: SanctionKind,
    /// `None`: until it is lifted.
    pub until: Option<Millis>,
    pub now: Millis,
    /// For the audit; what it was, and is, is written into it.
    pub record: NewRecord,
}

impl Restrict {
    /// What holds from now on, after what did, and the record of it. `None`: to mute or shadow somebody who is banned would
    /// let them come back.
    #[must_use]
    pub fn apply(self, had: Option<Restriction>) -> Option<(Option<Restriction>, NewRecord)> {
        let Self { kind, until, now, record, .. } = self;
        let before = had.filter(|it| it.holds(now)).map(|it| it.kind);
        let has = match kind {
            // Who is put out is as restricted as before.
            SanctionKind::Kick => return Some((had, record)),
            SanctionKind::Mute | SanctionKind::Shadow if before == Some(SanctionKind::Ban) => return None,
            SanctionKind::Mute | SanctionKind::Shadow | SanctionKind::Ban => Some(Restriction { kind, until }),
            SanctionKind::Lift => None,
        };
        let word = |kind: Option<SanctionKind>| kind.map_or("none", sanction_word);
        let mut record = changed(record, word(before), word(has.map(|it| it.kind)));
        let term = term(kind, until.map(|until| until.since(now)));
        if !term.is_empty() {
            record.record.detail = format!("{}, {term}", record.record.detail);
        }
        Some((has, record))
    }
}

/// A record with what something was, and is.
#[must_use]
pub fn changed(mut new: NewRecord, before: &str, after: &str) -> NewRecord {
    new.record.detail = format!("{before} -> {after}");
    new
}

/// As [`changed`], of a role on the server.
#[must_use]
pub fn role_changed(new: NewRecord, before: ServerRole, after: ServerRole) -> NewRecord {
    let word = |role: ServerRole| format!("{role:?}").to_lowercase();
    changed(new, &word(before), &word(after))
}

/// How long something is to hold, as records have it: never an end, which reads as another time on each clock. Empty for
/// what has no time.
pub(super) fn term(kind: SanctionKind, ms: Option<u64>) -> String {
    match (kind, ms) {
        (SanctionKind::Kick | SanctionKind::Lift, _) => String::new(),
        (_, None) => "until lifted".to_owned(),
        (_, Some(ms)) => ["for ", &span(ms)].concat(),
    }
}

/// In the largest unit of which it is a whole number, as the command line takes times.
fn span(ms: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(24 * 3600 * 1000, "d"), (3600 * 1000, "h"), (60 * 1000, "m"), (1000, "s")];
    let whole = UNITS.into_iter().find(|(unit, _)| ms.is_multiple_of(*unit));
    whole.map_or_else(|| format!("{ms}ms"), |(unit, name)| format!("{}{name}", ms / unit))
}

#[cfg(test)]
mod tests {
    use confab_protocol::command::AuditRecord;
    use confab_protocol::model::AuditId;

    use super::*;

    const NOW: Millis = Millis(1_000_000);
    const HOUR_MS: u64 = 3600 * 1000;

    fn restricted(had: Option<Restriction>, kind: SanctionKind, until: Option<Millis>) -> Option<String> {
        let record = NewRecord { id: AuditId::NONE, record: AuditRecord::default(), note: None };
        let restrict = Restrict { user: UserId::NONE, below: None, kind, until, now: NOW, record };
        restrict.apply(had).map(|(_, new)| new.record.detail)
    }

    #[test]
    fn records_say_what_it_was_and_for_how_long_it_is() {
        use SanctionKind::{Ban, Kick, Lift, Mute, Shadow};
        let had = |kind, until| Some(Restriction { kind, until });
        let (over, later) = (Some(NOW), Some(NOW.after(HOUR_MS)));
        for (had, kind, until, told) in [
            (None, Mute, later, "none -> mute, for 1h"),
            (None, Shadow, None, "none -> shadow, until lifted"),
            (had(Mute, later), Ban, Some(NOW.after(72 * HOUR_MS)), "mute -> ban, for 3d"),
            (had(Ban, over), Mute, Some(NOW.after(90_000)), "none -> mute, for 90s"),
            (had(Ban, None), Ban, Some(NOW.after(1_001)), "ban -> ban, for 1001ms"),
            (had(Ban, later), Lift, None, "ban -> none"),
            (had(Mute, later), Kick, None, ""),
        ] {
            assert_eq!(restricted(had, kind, until).as_deref(), Some(told));
        }
        for kind in [Mute, Shadow] {
            assert_eq!(restricted(had(Ban, later), kind, None), None);
        }
    }
}
