//! The chat itself: who may do what, in which order, with what result. It knows traits ([`store::Store`],
//! [`hook::Moderator`], [`log::Log`], [`log::Delivery`]) and neither transports nor drivers.

pub mod access;
mod acts;
pub mod amend;
pub mod append;
pub mod audit;
pub mod auth;
pub mod backup;
pub mod buckets;
pub mod cases;
pub mod commits;
pub mod context;
pub mod costs;
pub mod deputy;
pub mod door;
mod duties;
pub mod earlier;
mod excess;
pub mod heads;
pub mod history;
pub mod hook;
pub mod limits;
pub mod log;
mod mentions;
mod moderation;
pub mod names;
pub mod network;
pub mod observe;
pub mod outages;
pub mod permissions;
pub mod personal;
pub mod presence;
pub mod publish;
pub mod restriction;
pub mod retention;
pub mod rooms;
pub mod seal;
pub mod search;
pub mod standing;
pub mod steward;
pub mod store;
pub mod target;
pub mod vocabulary;
pub mod watch;

use std::sync::Arc;

use confab_protocol::reject::{Reject, RejectCode};

use crate::clock::Clock;
use crate::metrics::Metrics;

/// Everything a command needs, shared by all connections.
pub struct Core {
    /// Durable state.
    pub store: Arc<dyn store::Store>,
    /// The way into a room's log.
    pub log: Arc<dyn log::Log>,
    /// The way to readers.
    pub delivery: Arc<dyn log::Delivery>,
    /// The plugins.
    pub moderator: Arc<dyn hook::Moderator>,
    /// Tokens and passwords.
    pub auth: auth::Auth,
    /// Bounds on users.
    pub limits: limits::Limits,
    /// Where plugins acted, for when they must leave a room.
    pub acted: deputy::Acted,
    /// Recently seen memberships; a hint, checked again where it matters.
    pub memberships: access::MembershipCache,
    /// What every server on the store has to heed, as far as it was heard.
    pub watch: watch::Watch,
    /// Who is here: what is to be told.
    pub presence: presence::Presence,
    /// Who comes and goes, for plugins that observe it.
    pub sessions: Arc<observe::sessions::Sessions>,
    /// Time and randomness.
    pub clock: Arc<dyn Clock>,
    /// What happens, counted.
    pub metrics: Metrics,
}

impl Core {
    /// A store failure as a peer sees it: a number to tell the operator, and nothing else.
    pub fn unavailable(&self, error: &store::Error) -> Reject {
        let correlation = self.clock.random() as u64;
        self.metrics.store_errors_total.with_label_values(&[error.kind()]).inc();
        tracing::error!(correlation = format_args!("{correlation:016x}"), %error, "the store failed");
        match error {
            store::Error::Unavailable(_) | store::Error::Busy(_) => RejectCode::Unavailable.into(),
            store::Error::Corrupt(_) => Reject::new(
                RejectCode::Internal,
                format!("{}; tell the operator {correlation:016x}", RejectCode::Internal.text()),
            ),
        }
    }
}
