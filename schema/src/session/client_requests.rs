//! The client's requests without a reply: what is sent again after a reconnect, and how.

use std::collections::BTreeMap;

use crate::command::{Command, RequestId};

/// Who waits for the reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asker {
    /// The application.
    Application,
    /// The session itself.
    Session,
}

#[derive(Debug, Default)]
pub(super) struct Requests {
    last_id: RequestId,
    pending: BTreeMap<RequestId, Pending>,
}

#[derive(Debug)]
struct Pending {
    asker: Asker,
    command: Command,
    /// Sent over the link that is up now.
    sent: bool,
}

impl Requests {
    pub(super) fn add(&mut self, asker: Asker, command: Command) -> RequestId {
        self.last_id = self.last_id.wrapping_add(1);
        self.pending.insert(self.last_id, Pending { asker, command, sent: false });
        self.last_id
    }

    pub(super) fn take(&mut self, id: RequestId) -> Option<(Asker, Command)> {
        self.pending.remove(&id).map(|pending| (pending.asker, pending.command))
    }

    /// Whether so many more fit a bound.
    pub(super) fn has_room(&self, more: usize, bound: usize) -> bool {
        self.pending.len() + more <= bound
    }

    /// Whether the application waits for anything.
    pub(super) fn is_application_waiting(&self) -> bool {
        self.pending.values().any(|pending| pending.asker == Asker::Application)
    }

    /// Whether the session waits for the next tokens.
    pub(super) fn is_refreshing(&self) -> bool {
        self.pending.values().any(|pending| matches!(pending.command, Command::Refresh(_)))
    }

    /// After the link was lost: what the session asked is dropped (it asks anew), what must not be
    /// repeated is returned to be failed, the rest stays with its `resend` flag set.
    pub(super) fn handle_loss(&mut self) -> Vec<RequestId> {
        let mut failed = Vec::new();
        self.pending.retain(|id, Pending { asker, command, sent }| {
            *sent = false;
            match command {
                Command::Publish(publish) => publish.resend = true,
                Command::CreateRoom(create) => create.resend = true,
                Command::Register(_)
                | Command::Login(_)
                | Command::Authenticate(_)
                | Command::Refresh(_)
                | Command::Logout
                // It was true then.
                | Command::Typing { .. } => {
                    if *asker == Asker::Application {
                        failed.push(*id);
                    }
                    return false;
                }
                _ => {}
            }
            *asker == Asker::Application
        });
        failed
    }

    /// The command of a request that is to be sent now.
    pub(super) fn send(&mut self, id: RequestId) -> Option<Command> {
        let pending = self.pending.get_mut(&id)?;
        pending.sent = true;
        Some(pending.command.clone())
    }

    /// What is still to be sent over this link, in the order it was asked.
    pub(super) fn unsent(&self) -> impl Iterator<Item = (RequestId, &Command)> {
        self.pending.iter().filter(|(_, pending)| !pending.sent).map(|(id, pending)| (*id, &pending.command))
    }
}
