//! How far a rotation of keys got.

use confab_protocol::model::{CaseId, ClientId, RoomId, Seq, UserId};

/// How far a store was sealed anew, row by row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Resealed {
    /// Behind which row it goes on.
    pub at: ResealedTo,
    /// Rows that were looked at.
    pub looked: u64,
    /// Rows of these that were not as they are to be, and are now.
    pub sealed: u64,
}

/// See [`Resealed`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "tables and their keys")]
pub enum ResealedTo {
    Entry(RoomId, Seq),
    Revision(RoomId, Seq, u32),
    Unappended(RoomId, UserId, ClientId),
    Evidence(CaseId, Seq, u32),
    /// It was all.
    End,
}

impl Resealed {
    /// Before the first row.
    pub const START: Self = Self { at: ResealedTo::Entry(RoomId::NONE, Seq(0)), looked: 0, sealed: 0 };

    /// After a look at some rows behind it, of which the last is given, if there was one more at all.
    #[must_use]
    pub const fn then(self, last: Option<ResealedTo>, looked: u64, sealed: u64) -> Self {
        let at = match (last, self.at) {
            (Some(last), _) => last,
            (None, ResealedTo::Entry(..)) => ResealedTo::Revision(RoomId::NONE, Seq(0), 0),
            (None, ResealedTo::Revision(..)) => {
                ResealedTo::Unappended(RoomId::NONE, UserId::NONE, ClientId::from_u128(0))
            }
            (None, ResealedTo::Unappended(..)) => ResealedTo::Evidence(CaseId::NONE, Seq(0), 0),
            (None, ResealedTo::Evidence(..) | ResealedTo::End) => ResealedTo::End,
        };
        Self { at, looked: self.looked + looked, sealed: self.sealed + sealed }
    }
}
