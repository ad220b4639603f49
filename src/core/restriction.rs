//! What is taken from somebody in a room, or on the whole server.

use confab_protocol::model::{Millis, SanctionKind};

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
