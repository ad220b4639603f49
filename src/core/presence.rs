//! Who is here and who types. Nothing of it is kept: who is here follows from who follows a room, and news of it are
//! gathered for a second, so that a thousand who come back at once are a few pushes and no storm.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use confab_protocol::codec::encode_ephemeral;
use confab_protocol::command::{Ephemeral, News, PresenceStatus, Reply};
use confab_protocol::limits::{PRESENCE_CONNECTIONS_MAX, TYPING_MS};
use confab_protocol::model::{Millis, RoomId, SessionId, UserId};
use confab_protocol::reject::{Reject, RejectCode};

use super::auth::Actor;
use super::log::Followers;
use super::{Core, access};

/// Who drops out is taken for here for so long: most are back by then, milliseconds.
const GRACE_MS: u64 = 15_000;
/// Rooms of many are counted this seldom, milliseconds.
const COUNT_EVERY_MS: u64 = 5_000;

/// That a room was counted is remembered so long, milliseconds.
const COUNT_KEPT_MS: u64 = 600_000;

/// Somebody may be shown otherwise than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Change {
    /// Looked at then.
    due: Millis,
    /// How others may have them by now. What is so already is not told: somebody who is not to be seen would be told
    /// of by it.
    shown: Option<PresenceStatus>,
    /// Others may have them as not being here.
    absent: bool,
}

/// What is to be told.
#[derive(Default)]
struct Waiting {
    /// Bounded by the rooms that those are in who came, went or changed lately.
    changes: HashMap<RoomId, HashMap<UserId, Change>>,
    /// Rooms of many that have been counted: when, and how many were told of.
    counted: HashMap<RoomId, (Millis, u32)>,
}

/// Changes of who is here that wait to be told.
#[derive(Default)]
pub struct Presence {
    waiting: Mutex<Waiting>,
}

impl Presence {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody may be shown otherwise in these rooms, when it is due, than one of their connections was until now.
    fn note(&self, rooms: &[RoomId], user: UserId, shown: Option<PresenceStatus>, due: Millis) {
        let was_known = shown.is_some();
        let shown = shown.filter(|status| is_visible(*status));
        let mut waiting = self.lock();
        for room in rooms {
            let changes = waiting.changes.entry(*room).or_default();
            let change = changes.entry(user).or_insert(Change { due, shown, absent: shown.is_none() });
            change.due = due;
            // Who comes back in time is still shown as before: then there is nothing to tell.
            if was_known {
                change.absent |= shown.is_none() || change.shown.is_some_and(|other| Some(other) != shown);
                change.shown = change.shown.or(shown);
            }
        }
    }

    /// What is due, by room.
    fn take_due(&self, now: Millis) -> Vec<(RoomId, Vec<(UserId, Change)>)> {
        let mut due = Vec::new();
        self.lock().changes.retain(|room, changes| {
            let mut now_due: Vec<_> = changes.extract_if(|_, change| change.due <= now).collect();
            if !now_due.is_empty() {
                now_due.sort_unstable_by_key(|(user, _)| *user);
                due.push((*room, now_due));
            }
            !changes.is_empty()
        });
        due
    }

    /// Puts changes of a room of many off until it may be counted again; `true`: now.
    fn may_count(&self, room: RoomId, users: Vec<(UserId, Change)>, now: Millis) -> bool {
        let mut waiting = self.lock();
        let next = waiting.counted.get(&room).map_or(now, |(at, _)| at.after(COUNT_EVERY_MS));
        if next <= now {
            return true;
        }
        if let Some((user, change)) = users.into_iter().next() {
            // One of them stands for all.
            waiting.changes.entry(room).or_default().entry(user).or_insert(Change { due: next, ..change });
        }
        false
    }

    /// Whether so many are news.
    fn count(&self, room: RoomId, count: u32, now: Millis) -> bool {
        self.lock().counted.insert(room, (now, count)).is_none_or(|(_, before)| before != count)
    }

    fn forget_counted(&self, now: Millis) {
        self.lock().counted.retain(|_, (at, _)| at.after(COUNT_KEPT_MS) > now);
    }

    /// Whether a room's people were counted until now.
    fn was_counted(&self, room: RoomId) -> bool {
        self.lock().counted.remove(&room).is_some()
    }
}

fn is_visible(status: PresenceStatus) -> bool {
    status != PresenceStatus::Invisible
}

/// Who of those that changed is shown otherwise than before.
fn news_of(followers: &Followers, changes: Vec<(UserId, Change)>) -> Vec<(UserId, Option<PresenceStatus>)> {
    let now = |user: &UserId| followers.users.get(user).copied().filter(|status| is_visible(*status));
    let news = |(user, Change { shown, absent, .. }): (UserId, Change)| {
        let is_told = match now(&user) {
            Some(now) => absent || shown != Some(now),
            None => shown.is_some(),
        };
        is_told.then(|| (user, now(&user)))
    };
    changes.into_iter().filter_map(news).collect()
}

impl Core {
    /// Tells those who follow a room that somebody types there, or does not any more.
    ///
    /// # Errors
    /// Too often; who may not post there, or does not follow it.
    pub async fn typing(
        &self,
        actor: &Actor,
        session: SessionId,
        room: RoomId,
        stopped: bool,
    ) -> Result<Reply, Reject> {
        self.limits.check_news(actor.user)?;
        let membership = self.store.membership(room, actor.user).await.map_err(|error| self.unavailable(&error))?;
        access::check_action(membership, actor.role, access::Action::Post, self.clock.now())?;
        // Who was just put out does not follow it any more.
        if !self.delivery.is_here(session, room) {
            return Err(RejectCode::NotMember.into());
        }
        let is_shadowed = membership.is_some_and(|membership| self.is_shadowed(actor, membership));
        let is_seen = is_visible(self.delivery.status(session)) && !is_shadowed;
        if is_seen && self.delivery.count_followers(room) <= PRESENCE_CONNECTIONS_MAX {
            let news = News::Typing { user: actor.user, for_ms: if stopped { 0 } else { TYPING_MS } };
            self.delivery.announce(room, Some((room, actor.user)), &encode_ephemeral(&Ephemeral { room, news }));
        }
        Ok(Reply::Ok)
    }

    /// How a connection is shown from now on.
    ///
    /// # Errors
    /// Too often.
    pub fn set_presence(&self, actor: &Actor, session: SessionId, status: PresenceStatus) -> Result<Reply, Reject> {
        self.limits.check_presence(actor.user)?;
        let before = self.delivery.status(session);
        let rooms = self.delivery.set_status(session, status);
        self.presence.note(&rooms, actor.user, Some(before), self.presence_now());
        Ok(Reply::Ok)
    }

    /// Who follows a room now.
    ///
    /// # Errors
    /// Not a member.
    pub async fn who_is_here(&self, actor: &Actor, room: RoomId) -> Result<Reply, Reject> {
        self.limits.check_presence(actor.user)?;
        self.check_read(actor, room).await?;
        let Followers { connections, mut users } = self.delivery.followers(room);
        users.retain(|_, status| is_visible(*status));
        let count = u32::try_from(users.len()).unwrap_or(u32::MAX);
        let mut users: Vec<_> =
            if connections > PRESENCE_CONNECTIONS_MAX { Vec::new() } else { users.into_iter().collect() };
        users.sort_unstable();
        Ok(Reply::Here { count, users })
    }

    /// A connection follows a room from now on.
    pub(super) fn note_here(&self, room: RoomId, user: UserId) {
        self.presence.note(&[room], user, None, self.presence_now());
    }

    /// A connection does not follow these rooms any more.
    pub fn note_gone(&self, user: UserId, shown: PresenceStatus, rooms: &[RoomId]) {
        self.presence.note(rooms, user, Some(shown), self.presence_now().after(GRACE_MS));
    }

    /// A time that no step of the wall clock moves.
    fn presence_now(&self) -> Millis {
        Millis(u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Tells what is due; to be called every second.
    pub fn tell_presence(&self) {
        let now = self.presence_now();
        self.presence.forget_counted(now);
        for (room, changes) in self.presence.take_due(now) {
            let news = if self.delivery.count_followers(room) > PRESENCE_CONNECTIONS_MAX {
                if !self.presence.may_count(room, changes, now) {
                    continue;
                }
                let users = self.delivery.followers(room).users;
                let visible = users.values().filter(|status| is_visible(**status)).count();
                let count = u32::try_from(visible).unwrap_or(u32::MAX);
                if !self.presence.count(room, count, now) {
                    continue;
                }
                News::Count(count)
            } else {
                let users = news_of(&self.delivery.followers(room), changes);
                match users.len() {
                    // They were counted; those who are left are to be listed.
                    _ if self.presence.was_counted(room) => News::Missed,
                    0 => continue,
                    1..=PRESENCE_CONNECTIONS_MAX => News::Here(users),
                    // A crowd has gone: a list of it could be of any length.
                    _ => News::Missed,
                }
            };
            self.delivery.announce(room, None, &encode_ephemeral(&Ephemeral { room, news }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use PresenceStatus::{Away, Invisible, Online};

    const ROOM: RoomId = RoomId::from_u128(1);
    const ALICE: UserId = UserId::from_u128(2);

    fn followers(status: Option<PresenceStatus>) -> Followers {
        Followers { connections: 1, users: status.map(|status| (ALICE, status)).into_iter().collect() }
    }

    #[test]
    fn who_comes_back_in_time_is_no_news() {
        let presence = Presence::default();
        presence.note(&[ROOM], ALICE, Some(Online), Millis(16_000));
        assert_eq!(presence.take_due(Millis(15_999)), []);
        presence.note(&[ROOM], ALICE, None, Millis(15_999));
        let due = presence.take_due(Millis(16_000));
        assert_eq!(due, [(ROOM, vec![(ALICE, Change { due: Millis(15_999), shown: Some(Online), absent: false })])]);
        assert_eq!(news_of(&followers(Some(Online)), due[0].1.clone()), [], "shown as before");
        assert_eq!(news_of(&followers(Some(Away)), due[0].1.clone()), [(ALICE, Some(Away))]);
        assert!(presence.lock().changes.is_empty(), "nothing stays");
    }

    #[test]
    fn who_was_never_told_of_is_told_of_after_a_first_link_that_broke() {
        let presence = Presence::default();
        presence.note(&[ROOM], ALICE, None, Millis(1));
        presence.note(&[ROOM], ALICE, Some(Online), Millis(15_001));
        presence.note(&[ROOM], ALICE, None, Millis(3));
        let due = presence.take_due(Millis(3)).remove(0).1;
        assert_eq!(news_of(&followers(Some(Online)), due.clone()), [(ALICE, Some(Online))]);
        assert_eq!(news_of(&followers(None), due), [(ALICE, None)]);
    }

    #[test]
    fn who_stays_away_is_gone_after_the_grace() {
        let presence = Presence::default();
        presence.note(&[ROOM], ALICE, Some(Online), Millis(16_000));
        let due = presence.take_due(Millis(16_000));
        assert_eq!(news_of(&followers(None), due[0].1.clone()), [(ALICE, None)]);
        assert_eq!(news_of(&followers(Some(Invisible)), due[0].1.clone()), [(ALICE, None)], "to others the same");
    }

    #[test]
    fn who_is_not_to_be_seen_comes_and_goes_without_a_word() {
        let presence = Presence::default();
        let news = |now| news_of(&followers(now), presence.take_due(Millis(5)).remove(0).1);
        presence.note(&[ROOM], ALICE, None, Millis(5));
        assert_eq!(news(Some(Invisible)), [], "comes");
        presence.note(&[ROOM], ALICE, Some(Invisible), Millis(5));
        assert_eq!(news(None), [], "goes");
        presence.note(&[ROOM], ALICE, Some(Invisible), Millis(5));
        assert_eq!(news(Some(Online)), [(ALICE, Some(Online))], "appears");
        presence.note(&[ROOM], ALICE, None, Millis(5));
        presence.note(&[ROOM], ALICE, Some(Online), Millis(5));
        assert_eq!(news(Some(Invisible)), [(ALICE, None)], "comes by one connection and hides on another");
    }

    #[test]
    fn a_room_of_many_is_counted_now_and_then() {
        let presence = Presence::default();
        let change = vec![(ALICE, Change { due: Millis(0), shown: None, absent: true })];
        assert!(presence.may_count(ROOM, change.clone(), Millis(0)) && presence.count(ROOM, 200, Millis(0)));
        assert!(!presence.may_count(ROOM, change.clone(), Millis(1_000)));
        assert_eq!(presence.take_due(Millis(4_999)), []);
        assert_eq!(presence.take_due(Millis(5_000)).len(), 1, "it is not forgotten");
        assert!(presence.may_count(ROOM, change, Millis(5_000)));
        presence.forget_counted(Millis(5_000));
        assert!(!presence.count(ROOM, 200, Millis(5_000)), "as many as before is no news");
        assert!(presence.was_counted(ROOM) && !presence.was_counted(ROOM));
    }
}
