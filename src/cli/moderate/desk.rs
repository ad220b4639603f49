//! The place that commands are given from: asks, finds rooms and people by their names, and learns their names by id.

use std::time::Duration;

use anyhow::bail;
use confab_client::{Client, Error};
use confab_protocol::command::{Command, Identity, Reply, RoomScope, Write};
use confab_protocol::limits::PAGE_ITEMS_MAX;
use confab_protocol::model::{RoomId, UserId, Username};
use confab_protocol::reject::RejectCode;

use super::shown::Names;

/// How often what was refused as too fast is asked again, and the longest wait before that, milliseconds.
const TRIES_MAX: u32 = 5;
const WAIT_MS_MAX: u32 = 10_000;
/// Pages of rooms, or of a room's members, that a name is looked for on.
const PAGES_MAX: usize = 50;

/// A session that is logged in, with what it knows of names.
pub(super) struct Desk {
    client: Client,
    own: Identity,
    pub(super) names: Names,
    /// Where the list of rooms goes on: those that are one's own, then those that are open.
    listing: Option<(RoomScope, RoomId)>,
    pages: usize,
}

/// The server answered something else than what was asked for.
pub(super) fn unexpected() -> anyhow::Error {
    Error::Unexpected.into()
}

impl Desk {
    pub(super) fn new(client: Client, own: Identity) -> Self {
        Self { client, own, names: Names::default(), listing: Some((RoomScope::Joined, RoomId::NONE)), pages: 0 }
    }

    /// Many pages may be too many at once. What was refused as that was not done, so it may be asked again.
    pub(super) async fn ask(&self, command: Command) -> anyhow::Result<Reply> {
        let mut tries = 1;
        loop {
            let reject = match self.client.request(command.clone()).await {
                Err(Error::Rejected(reject)) => reject,
                other => return Ok(other?),
            };
            let wait = reject.retry_after_ms;
            if !reject.is(RejectCode::RateLimited) || wait == 0 || wait > WAIT_MS_MAX || tries == TRIES_MAX {
                return Err(Error::Rejected(reject).into());
            }
            tries += 1;
            tokio::time::sleep(Duration::from_millis(wait.into())).await;
        }
    }

    /// Asks for what has no other answer than that it is done.
    pub(super) async fn order(&self, command: Command) -> anyhow::Result<()> {
        match self.ask(command).await? {
            Reply::Ok => Ok(()),
            _ => Err(unexpected()),
        }
    }

    /// What a command begins with that appends to a room, each time with another id.
    pub(super) fn write(&self, room: RoomId) -> Write {
        Write { room, client_id: self.client.new_client_id(), resend: false }
    }

    /// A room by its name or id.
    pub(super) async fn find_room(&mut self, named: &str) -> anyhow::Result<RoomId> {
        if let Some(id) = named.parse().ok().filter(|id: &RoomId| !id.is_none()) {
            return Ok(id);
        }
        loop {
            // Rooms of two have no name.
            let is_it = |(_, name): &(&RoomId, &String)| !name.is_empty() && name.as_str() == named;
            if let Some((id, _)) = self.names.rooms.iter().find(is_it) {
                return Ok(*id);
            }
            if !self.list_more_rooms().await? {
                bail!("no room {named:?} is listed for you: look at its name, or give its id");
            }
        }
    }

    pub(super) async fn find_optional_room(&mut self, named: Option<&str>) -> anyhow::Result<Option<RoomId>> {
        match named {
            Some(named) => self.find_room(named).await.map(Some),
            None => Ok(None),
        }
    }

    /// Somebody by user name or id. The protocol tells user names of a room's members, and of nobody else.
    pub(super) async fn find_person(&mut self, named: &str, room: Option<RoomId>) -> anyhow::Result<UserId> {
        if let Some(id) = named.parse().ok().filter(|id: &UserId| !id.is_none()) {
            return Ok(id);
        }
        let Ok(username) = Username::parse(named.trim_start_matches('@')) else {
            bail!("{named:?} cannot be a user name")
        };
        if username == self.own.username {
            return Ok(self.own.user);
        }
        let Some(room) = room else {
            bail!("{username} can be found as a member of a room only: name one with --room, or give an id")
        };
        let mut after = UserId::NONE;
        for _ in 0..PAGES_MAX {
            let ask = Command::ListMembers { room, after, limit: 0 };
            let Reply::Members { members, next } = self.ask(ask).await? else { return Err(unexpected()) };
            if let Some(found) = members.into_iter().find(|member| member.username == username.as_str()) {
                let user = found.user;
                self.names.people.insert(user, found);
                return Ok(user);
            }
            if next.is_none() {
                break;
            }
            after = next;
        }
        bail!("no member of that room is listed as {username}: give an id")
    }

    /// Asks for the names of those whose names are not known yet.
    pub(super) async fn learn_people(&mut self, users: impl Iterator<Item = UserId>) -> anyhow::Result<()> {
        let is_new = |user: &UserId| !user.is_none() && !self.names.people.contains_key(user);
        let mut unknown: Vec<UserId> = users.filter(is_new).collect();
        unknown.sort_unstable();
        unknown.dedup();
        for some in unknown.chunks(PAGE_ITEMS_MAX) {
            let ask = Command::Profiles(some.to_vec());
            let Reply::Members { members, .. } = self.ask(ask).await? else { return Err(unexpected()) };
            self.names.people.extend(members.into_iter().map(|member| (member.user, member)));
        }
        Ok(())
    }

    /// Reads on in the list of rooms until these are known, or it ends: others are shown by their ids.
    pub(super) async fn learn_rooms(&mut self, rooms: impl Iterator<Item = RoomId>) -> anyhow::Result<()> {
        let rooms: Vec<RoomId> = rooms.filter(|room| !room.is_none()).collect();
        while rooms.iter().any(|room| !self.names.rooms.contains_key(room)) {
            if !self.list_more_rooms().await? {
                break;
            }
        }
        Ok(())
    }

    /// False: there are no more, or they are too many.
    async fn list_more_rooms(&mut self) -> anyhow::Result<bool> {
        let Some((scope, after)) = self.listing.filter(|_| self.pages < PAGES_MAX) else { return Ok(false) };
        self.pages += 1;
        let ask = Command::ListRooms { scope, after, limit: 0 };
        let Reply::Rooms { rooms, next } = self.ask(ask).await? else { return Err(unexpected()) };
        self.names.rooms.extend(rooms.into_iter().map(|room| (room.id, room.name)));
        self.listing = match scope {
            _ if !next.is_none() => Some((scope, next)),
            RoomScope::Joined => Some((RoomScope::Open, RoomId::NONE)),
            RoomScope::Open => None,
        };
        Ok(true)
    }
}
