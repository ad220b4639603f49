//! What the core needs of plugins: one decision for each thing that somebody wants to write.

use async_trait::async_trait;
use confab_protocol::model::{Millis, RoomId, ServerRole, UserId};

/// What a text is to be. Each way to write one asks the plugins once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TextKind {
    /// A message.
    New,
    /// Another text for a message.
    Edit,
    /// A reaction.
    Reaction,
    /// Name and topic of a room, a line each.
    Room,
    /// The name that a person shows.
    DisplayName,
}

/// A text that somebody wants others to read.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct MessageEvent<'a> {
    pub kind: TextKind,
    pub room: RoomId,
    pub author: UserId,
    pub username: &'a str,
    pub role: ServerRole,
    pub account_created: Millis,
    pub now: Millis,
    pub body: &'a str,
}

/// What a chain of plugins says about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// As it is.
    Allow,
    /// With this text instead.
    Replace(String),
    /// Into the review queue; the author sees "in review".
    Hold {
        /// For moderators.
        note: String,
    },
    /// Not like this; the author may change it and send it again.
    Bounce {
        /// For the author.
        reason: String,
    },
    /// It cannot be decided now; the author may send it again later.
    Unavailable {
        /// For the author.
        reason: String,
    },
    /// Not at all.
    Reject {
        /// For the author.
        reason: String,
        /// For moderators.
        note: String,
    },
}

/// The plugins.
#[async_trait]
pub trait Moderator: Send + Sync {
    /// Decides one text within the chain's budget. It never fails: a plugin that does has a declared outcome.
    async fn decide_message(&self, event: MessageEvent<'_>) -> Verdict;
    /// Whether every plugin of the chain is loaded; for readiness.
    fn is_ready(&self) -> bool;
}
