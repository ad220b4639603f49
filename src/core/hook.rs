//! What the core needs of plugins: one decision for each thing that somebody wants to write or do.

use std::sync::Arc;

use async_trait::async_trait;
use confab_protocol::model::{CaseDecision, CaseKind, Millis, ReportReason, RoomId, RoomRole, Seq, ServerRole, UserId};

use super::context::Context;
use super::deputy::Deed;
use super::earlier::Earlier;
use super::target::About;

/// The rule of what is noted instead of a plugin's word while it is out of service.
pub const OUT_OF_SERVICE: &str = "out-of-service";

/// The rule of what is noted instead of a plugin's word where it did not survive the call.
pub const FAILED: &str = "failed";

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

impl TextKind {
    /// Whether it is said in a room, where others said something before.
    #[must_use]
    pub const fn is_said(self) -> bool {
        matches!(self, Self::New | Self::Edit)
    }

    /// Whether it may be about a message.
    #[must_use]
    pub const fn may_have_target(self) -> bool {
        matches!(self, Self::New | Self::Edit | Self::Reaction)
    }
}

/// How somebody stands in the room that they write to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Presently {
    pub role: RoomRole,
    pub joined: Millis,
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
    /// `None`: there is no room, or they are not in it.
    pub member: Option<Presently>,
    pub now: Millis,
    pub body: &'a str,
    /// What was said in the room before, the oldest first; `None`: it was not read.
    pub earlier: Option<&'a Arc<[Earlier]>>,
    /// What else is known of it; `None`: it was not read.
    pub context: Option<Context>,
    /// Which message it is about; `None`: that was not read.
    pub about: Option<&'a About>,
}

/// Something else that somebody wants to do.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ActEvent<'a> {
    pub who: UserId,
    pub username: &'a str,
    pub role: ServerRole,
    pub account_created: Millis,
    pub now: Millis,
    pub act: Act<'a>,
    /// What else is known of it; `None`: it was not read.
    pub context: Option<Context>,
}

/// See [`ActEvent`].
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Act<'a> {
    /// Coming into a room.
    Join { room: RoomId, by_invitation: bool },
    /// Making an invitation, into a room or to the server.
    Invite { room: RoomId, uses: u32, duration_ms: u64 },
    /// Giving somebody a role in a room or, where that is none, the like of it on the server.
    RoleChange { room: RoomId, target: UserId, role: RoomRole },
    /// Making an account.
    Register { display_name: &'a str, invited: bool },
    /// Logging in, by the right password.
    Login,
    /// Telling those who moderate a room of somebody, or of what they said there.
    Report { room: RoomId, about: UserId, seq: Option<Seq>, reason: ReportReason, text: &'a str },
    /// Asking for another look at a decision about oneself.
    Appeal { room: RoomId, kind: CaseKind, decision: CaseDecision, text: &'a str },
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
    /// For its author alone, who is not told.
    Shadow(Option<String>),
}

impl Verdict {
    /// The text that it wants instead, if it wants one.
    #[must_use]
    pub fn replacement(&self) -> Option<&str> {
        match self {
            Self::Replace(text) | Self::Shadow(Some(text)) => Some(text),
            _ => None,
        }
    }
}

/// What a plugin found, whether it decided or not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark {
    /// Which plugin.
    pub plugin: Arc<str>,
    /// SHA-256 of its component, in hex.
    pub hash: Arc<str>,
    /// Whether it counts: a plugin in shadow mode only says what it would do.
    pub enforced: bool,
    /// By the names of the contract.
    pub verdict: &'static str,
    /// The plugin's own name for why.
    pub rule: String,
    /// What a flag says of it.
    pub label: String,
    /// How sure that is, percent.
    pub score: u8,
    /// Where it was found: of which form of the text, and its bytes.
    pub span: Option<(&'static str, u32, u32)>,
    /// For moderators.
    pub note: String,
    /// What the author is told.
    pub shown: String,
}

/// A hook of a plugin went out of service, or is back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Turned {
    /// Which plugin.
    pub plugin: Arc<str>,
    /// SHA-256 of its component, in hex.
    pub hash: Arc<str>,
    /// Whether what it says counts.
    pub enforced: bool,
    /// By the names of the contract.
    pub hook: &'static str,
    /// Whether it went out of service.
    pub is_open: bool,
    /// In a word: how the last call failed, or why it is back.
    pub why: &'static str,
    /// When.
    pub time: Millis,
}

/// What plugins in shadow mode found of what had passed: nobody waited for them.
#[derive(Clone, Debug)]
pub struct Found {
    /// Who said or did it.
    pub who: UserId,
    /// Of what.
    pub of: FoundOf,
    /// What they found.
    pub marks: Vec<Mark>,
}

/// See [`Found`].
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub enum FoundOf {
    /// A text as it was sent, and what plugins made of it, where that is another.
    Text { kind: TextKind, room: RoomId, sent: String, made: Option<String> },
    /// An act, without its text.
    Act(Act<'static>),
}

/// What came of asking the plugins.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Ruling {
    pub verdict: Verdict,
    /// Of every plugin that said more than "allow".
    pub marks: Vec<Mark>,
    /// What plugins made of the text before one held it: if it is released, it reads so.
    pub replaced: Option<String>,
}

impl Ruling {
    /// As it is, and nothing was found.
    pub const ALLOW: Self = Self { verdict: Verdict::Allow, marks: Vec::new(), replaced: None };
}

/// What a text that is said in a room is to come with: somebody has to read that.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Wants {
    /// What was said there before.
    pub history: bool,
    /// What else is known of it.
    pub context: bool,
    /// Which message it is about: of a reaction too.
    pub target: bool,
}

/// The plugins.
#[async_trait]
pub trait Moderator: Send + Sync {
    /// Decides one text within the chain's budget. It never fails: a plugin that does has a declared outcome.
    async fn decide_message(&self, event: MessageEvent<'_>) -> Ruling;
    /// Decides something else: to allow, to reject, or that it cannot be decided now.
    async fn decide_act(&self, event: ActEvent<'_>) -> Ruling;
    /// Forgets what plugins remember of somebody whose account was erased.
    fn forget(&self, user: UserId);
    /// What is to be read before they are asked about a text.
    fn wants(&self) -> Wants;
    /// Whether what else is known is to be read before they are asked about such an act.
    fn wants_context(&self, act: Act<'_>) -> bool;
    /// Whether every plugin of the chain is loaded; for readiness.
    fn is_ready(&self) -> bool;
    /// Resolves when hooks went out of service or came back since the last time, or one in shadow mode wanted something or
    /// found something afterwards.
    async fn turned(&self);
    /// Which, in their order, each once; and how many more there were than are remembered.
    fn take_turned(&self) -> (Vec<Turned>, u64);
    /// What plugins in shadow mode would have done, in their order, each once.
    fn take_wanted(&self) -> Vec<Deed>;
    /// What they found of what had passed, in its order, each once; and how much more there was than is remembered.
    fn take_found(&self) -> (Vec<Found>, u64);
}
