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
    pending: BTreeMap<RequestId, (Asker, Command)>,
}

impl Requests {
    pub(super) fn add(&mut self, asker: Asker, command: Command) -> RequestId {
        self.last_id = self.last_id.wrapping_add(1);
        self.pending.insert(self.last_id, (asker, command));
        self.last_id
    }

    pub(super) fn take(&mut self, id: RequestId) -> Option<(Asker, Command)> {
        self.pending.remove(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    /// After the link was lost: what the session asked is dropped (it asks anew), what must not be
    /// repeated is returned to be failed, the rest stays with its `resend` flag set.
    pub(super) fn handle_loss(&mut self) -> Vec<RequestId> {
        let mut failed = Vec::new();
        self.pending.retain(|id, (asker, command)| {
            match command {
                Command::Publish(publish) => publish.resend = true,
                Command::CreateRoom(create) => create.resend = true,
                Command::Register(_)
                | Command::Login(_)
                | Command::Authenticate(_)
                | Command::Refresh(_)
                | Command::Logout => {
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

    pub(super) fn find(&self, id: RequestId) -> Option<&Command> {
        self.pending.get(&id).map(|(_, command)| command)
    }

    /// What to send again, in the order it was asked.
    pub(super) fn outstanding(&self) -> impl Iterator<Item = (RequestId, &Command)> {
        self.pending.iter().map(|(id, (_, command))| (*id, command))
    }
}
