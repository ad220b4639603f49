//! What is said of what was said, and done to people and rooms: edit, delete, react, pin, settings, roles, sanctions.
//! Each goes the same way as a message, and is checked again on fresh rows inside its transaction.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use confab_protocol::codec::{decode_entry, encode_entry};
use confab_protocol::command::{
    AuditRecord, Delete, Edit, Pin, React, Reply, SanctionUser, SetRole, UpdateRoom, Write,
};
use confab_protocol::model::{
    ClientId, DisplayName, Emoji, Entry, EntryContent, MembershipChange, Message, RoomId, RoomKind, RoomName, RoomRole,
    RoomSettings, Sanction, SanctionKind, SelfNote, Seq, Topic, UserId,
};
use confab_protocol::reject::{Reject, RejectCode};

use super::access::Action;
use super::append::{Act, Amend, Change, OrderGuard};
use super::audit::{AuditKey, Judged};
use super::auth::Actor;
use super::cases::{Beside, NewRecord};
use super::hook::{self, TextKind, Verdict};
use super::publish::{Admission, Admitted, Applied, Asked, Queueing, UNAVAILABLE_RETRY_MS, digest, judged};
use super::store::Membership;
use super::target::Aim;
use super::{Core, access, audit, names};

/// Something to append, once it is admitted.
struct Amendment {
    digest: [u8; 16],
    membership: Membership,
    /// Whether a plugin keeps it from others.
    hidden: bool,
    altered: bool,
    content: EntryContent,
    act: Act,
    beside: Option<Box<Beside>>,
}

impl Core {
    /// Another text for one's own message.
    ///
    /// # Errors
    /// Somebody else's message or none, what the plugins refuse, limits.
    pub async fn edit(&self, actor: &Actor, order: &Arc<OrderGuard>, edit: Edit) -> Result<Admitted, Reject> {
        let Edit { write, seq, body } = edit;
        let digest = digest("edit", &[&seq.0.to_le_bytes(), body.as_str().as_bytes()]);
        let membership = match self.admit(actor, write, digest, Some(Action::Post)).await? {
            Admission::Granted(membership) => membership,
            Admission::Known(reply) => return Ok(Admitted::Done(reply)),
        };
        let before = self.find_message(write.room, seq).await?;
        let EntryContent::Message(said) = before.content else { return Err(RejectCode::UnknownMessage.into()) };
        if before.author != actor.user {
            // What they do not see is not there for them.
            self.author_of(actor, write.room, seq).await?;
            return Err(RejectCode::Forbidden.into());
        }
        let client_id = before.client_id;
        let rewrite = |body, mentions| {
            let content = EntryContent::Message(Message { body, reply_to: said.reply_to, mentions });
            encode_entry(&Entry { author: actor.user, client_id, content })
        };
        let (member, aim) = ((write.room, Some(membership)), Aim::Own(seq, &said.body));
        let ruling = self.decide_text(actor, TextKind::Edit, member, body.as_str(), aim).await;
        let held = |body| rewrite(body, Vec::new());
        let asked = Asked { actor, write, digest, kind: TextKind::Edit };
        let (body, sent, hidden, marks) = match self.apply(asked, ruling, body, &held).await? {
            Applied::Post { body, sent, shadowed, marks } => (body, sent, shadowed, marks),
            Applied::Done(reply) => return Ok(Admitted::Done(reply)),
        };
        let mentions = self.find_mentions(write.room, &body).await?;
        let (altered, judged) = (sent.is_some(), judged(actor, sent.as_ref(), &body));
        let joins = self.joins_case(actor.user, (write.room, seq), &marks).await?;
        let beside = self.beside_findings(Some((seq, joins)), judged, write.room, marks);
        let act = Act::Edit(seq, rewrite(body, mentions.clone()), mentions);
        let content = EntryContent::Edit(seq);
        Ok(self
            .amend(actor, order, write, Amendment { digest, membership, hidden, altered, content, act, beside })
            .await)
    }

    /// Deletes messages: all of them or none.
    ///
    /// # Errors
    /// Messages that are none (any more), or not theirs to delete.
    pub async fn delete(&self, actor: &Actor, order: &Arc<OrderGuard>, delete: Delete) -> Result<Admitted, Reject> {
        self.delete_for(actor, order, delete, Vec::new()).await
    }

    /// As [`Self::delete`], and what a plugin found of it is kept in the same transaction.
    pub(super) async fn delete_for(
        &self,
        actor: &Actor,
        order: &Arc<OrderGuard>,
        delete: Delete,
        found: Vec<NewRecord>,
    ) -> Result<Admitted, Reject> {
        let Delete { write, mut seqs } = delete;
        seqs.sort_unstable();
        seqs.dedup();
        let asked: Vec<u8> = seqs.iter().flat_map(|seq| seq.0.to_le_bytes()).collect();
        let digest = digest("delete", &[&asked]);
        let membership = match self.admit(actor, write, digest, None).await? {
            Admission::Granted(membership) => membership,
            Admission::Known(reply) => return Ok(Admitted::Done(reply)),
        };
        let before = self.find_messages(write.room, &seqs).await?;
        let said_by_others = before.iter().find(|(_, entry, _)| entry.author != actor.user).map(|(seq, ..)| *seq);
        let by_moderator = said_by_others.is_some();
        if let Some(seq) = said_by_others {
            self.check_moderating(actor)?;
            self.check_deleting(actor, write.room, seq).await?;
        }
        let mut records = self.deletions(actor.user, write.room, &before).await?;
        records.extend(found);
        let beside = with(None, records);
        let tombstone = |(seq, entry, _): (Seq, Entry, Bytes)| {
            let by_moderator = entry.author != actor.user;
            (seq, encode_entry(&Entry { content: EntryContent::Tombstone { by_moderator }, ..entry }))
        };
        let act = Act::Delete(before.into_iter().map(tombstone).collect::<Vec<(Seq, Bytes)>>());
        let content = EntryContent::Deletion { seqs, by_moderator };
        let (hidden, altered) = (false, false);
        Ok(self
            .amend(actor, order, write, Amendment { digest, membership, hidden, altered, content, act, beside })
            .await)
    }

    /// What others said is for moderators to delete. The transaction looks at that once more: who may not costs no more than
    /// this.
    async fn check_deleting(&self, actor: &Actor, room: RoomId, seq: Seq) -> Result<(), Reject> {
        if self.is_moderator(actor, room).await? {
            return Ok(());
        }
        // What they do not see is not there for them.
        self.author_of(actor, room, seq).await?;
        Err(RejectCode::Forbidden.into())
    }

    /// Whether somebody moderates a room that they are in, as of now: who is muted there does not. Two people have no ranks.
    pub(super) async fn is_moderator(&self, actor: &Actor, room: RoomId) -> Result<bool, Reject> {
        let membership = self.store.membership(room, actor.user).await.map_err(|error| self.unavailable(&error))?;
        let membership = membership.ok_or(RejectCode::NotMember)?;
        let found = self.store.room(room, actor.user).await.map_err(|error| self.unavailable(&error))?;
        let is_of_many = found.is_some_and(|room| matches!(room.kind, RoomKind::Channel | RoomKind::Private));
        let is_active = access::check_active(Some(membership), self.clock.now()).is_ok();
        let rank = access::rank(membership.role, actor.role);
        Ok(is_of_many && is_active && access::has_right(rank, access::Right::Moderate))
    }

    /// Records of those messages that others said: what one takes back oneself is nobody's business.
    async fn deletions(
        &self,
        by: UserId,
        room: RoomId,
        messages: &[(Seq, Entry, Bytes)],
    ) -> Result<Vec<NewRecord>, Reject> {
        let of_others = || messages.iter().filter(move |(_, entry, _)| entry.author != by);
        let authors: HashSet<UserId> = of_others().map(|(_, entry, _)| entry.author).collect();
        if authors.is_empty() {
            return Ok(Vec::new());
        }
        let keys = self.store.hash_keys(authors.into_iter().collect()).await;
        let keys = keys.map_err(|error| self.unavailable(&error))?;
        let keys: HashMap<UserId, AuditKey> = keys.into_iter().collect();
        let record = |(seq, entry, _): &(Seq, Entry, Bytes)| {
            self.deletion(by, room, (*seq, entry), keys.get(&entry.author).copied())
        };
        Ok(of_others().map(record).collect())
    }

    /// Gives a reaction or takes it back.
    ///
    /// # Errors
    /// No such message, what the plugins refuse, too many different reactions.
    pub async fn react(&self, actor: &Actor, order: &Arc<OrderGuard>, react: React) -> Result<Admitted, Reject> {
        let React { write, seq, emoji, remove } = react;
        let digest = digest("react", &[&seq.0.to_le_bytes(), &[u8::from(remove)], emoji.as_str().as_bytes()]);
        let membership = match self.admit(actor, write, digest, Some(Action::React)).await? {
            Admission::Granted(membership) => membership,
            Admission::Known(reply) => return Ok(Admitted::Done(reply)),
        };
        let (mut emoji, mut altered, mut hidden) = (emoji, false, false);
        if !remove {
            let member = (write.room, Some(membership));
            let mut ruling = self.decide_text(actor, TextKind::Reaction, member, emoji.as_str(), Aim::At(seq)).await;
            let judged = Judged::of(actor, emoji.as_str(), ruling.verdict.replacement());
            self.keep_findings(TextKind::Reaction, judged, write.room, ruling.marks).await?;
            if let Verdict::Shadow(text) = ruling.verdict {
                hidden = true;
                ruling.verdict = text.map_or(Verdict::Allow, Verdict::Replace);
            }
            if let Some(text) = short_text(ruling.verdict)? {
                (emoji, altered) = (Emoji::parse(&text).map_err(|_| RejectCode::ByPlugin)?, true);
            }
        }
        let content = EntryContent::Reaction { seq, emoji: emoji.clone(), removed: remove };
        let (act, beside) = (Act::React(seq, emoji, !remove), None);
        Ok(self
            .amend(actor, order, write, Amendment { digest, membership, hidden, altered, content, act, beside })
            .await)
    }

    /// Pins a message, or takes the pin away.
    ///
    /// # Errors
    /// No such message, not a moderator.
    pub async fn pin(&self, actor: &Actor, order: &Arc<OrderGuard>, pin: Pin) -> Result<Admitted, Reject> {
        let Pin { write, seq, remove } = pin;
        let digest = digest("pin", &[&seq.0.to_le_bytes(), &[u8::from(remove)]]);
        let membership = match self.admit(actor, write, digest, Some(Action::Pin)).await? {
            Admission::Granted(membership) => membership,
            Admission::Known(reply) => return Ok(Admitted::Done(reply)),
        };
        let (content, act) = (EntryContent::Pin { seq, removed: remove }, Act::Pin(seq, !remove));
        let word = if remove { "unpin" } else { "pin" };
        let beside = self.beside(vec![self.record_of(actor.user, word, write.room, UserId::NONE, seq)]);
        let (hidden, altered) = (false, false);
        Ok(self
            .amend(actor, order, write, Amendment { digest, membership, hidden, altered, content, act, beside })
            .await)
    }

    /// Changes a room's settings; what is not given stays.
    ///
    /// # Errors
    /// Not an admin, a name as [`Core::create_room`] refuses it, what the plugins refuse.
    pub async fn update_room(
        &self,
        actor: &Actor,
        order: &Arc<OrderGuard>,
        update: UpdateRoom,
    ) -> Result<Admitted, Reject> {
        self.update_room_for(actor, order, update, Vec::new()).await
    }

    /// As [`Self::update_room`], and what a plugin found of it is kept in the same transaction.
    pub(super) async fn update_room_for(
        &self,
        actor: &Actor,
        order: &Arc<OrderGuard>,
        update: UpdateRoom,
        found: Vec<NewRecord>,
    ) -> Result<Admitted, Reject> {
        let UpdateRoom { write, name, topic, slow_mode_ms, retention_ms, visibility, knocks, rights } = update;
        let asked =
            format!("{name:?} {topic:?} {slow_mode_ms:?} {retention_ms:?} {visibility:?} {knocks:?} {rights:?}");
        let digest = digest("update", &[asked.as_bytes()]);
        let membership = match self.admit(actor, write, digest, None).await? {
            Admission::Granted(membership) => membership,
            Admission::Known(reply) => return Ok(Admitted::Done(reply)),
        };
        let room = self.store.room(write.room, actor.user).await.map_err(|error| self.unavailable(&error))?;
        let room = room.ok_or(RejectCode::UnknownRoom)?;
        if !matches!(room.kind, RoomKind::Channel | RoomKind::Private) {
            return Err(RejectCode::Forbidden.into());
        }
        let stored = |_| RejectCode::Internal;
        let base = RoomSettings {
            name: RoomName::parse(&room.name).map_err(stored)?,
            topic: Topic::parse(&room.topic).map_err(stored)?,
            slow_mode_ms: room.slow_mode_ms,
            retention_ms: room.retention_ms,
            visibility: room.visibility,
            knocks: room.knocks,
            rights: room.rights,
        };
        let mut settings = RoomSettings {
            name: name.unwrap_or_else(|| base.name.clone()),
            topic: topic.unwrap_or_else(|| base.topic.clone()),
            slow_mode_ms: slow_mode_ms.unwrap_or(base.slow_mode_ms),
            retention_ms: retention_ms.unwrap_or(base.retention_ms),
            visibility: visibility.unwrap_or(base.visibility),
            knocks: knocks.unwrap_or(base.knocks),
            rights: rights.unwrap_or(base.rights),
        };
        // Slow mode and the like can be changed whatever anybody thinks of the name.
        let is_text_new = settings.name != base.name || settings.topic != base.topic;
        // Nobody is asked about what is refused anyhow, nor is that kept; the transaction looks once more.
        let rank = room.role.map_or(u8::MAX, |role| access::rank(role, actor.role));
        if is_text_new && !access::has_right(rank, access::Right::Configure) {
            return Err(RejectCode::Forbidden.into());
        }
        let altered = is_text_new && self.check_room_text(actor, (write.room, Some(membership)), &mut settings).await?;
        // A name that it has may have been given under other rules.
        if settings.name != base.name {
            names::check(settings.name.as_str()).map_err(|error| error.reject("room name"))?;
        }
        let settings_hash = |settings: &RoomSettings| {
            let (author, client_id) = (UserId::NONE, ClientId::NONE);
            audit::hash(&encode_entry(&Entry { author, client_id, content: EntryContent::Settings(settings.clone()) }))
        };
        let record = AuditRecord {
            before: settings_hash(&base),
            after: settings_hash(&settings),
            ..self.record(actor.user, "settings", write.room, UserId::NONE)
        };
        let (hidden, beside) = (false, with(self.beside(vec![record]), found));
        let (content, act) = (EntryContent::Settings(settings.clone()), Act::settings(base, settings));
        Ok(self
            .amend(actor, order, write, Amendment { digest, membership, hidden, altered, content, act, beside })
            .await)
    }

    /// Asks the plugins about name and topic, which they may replace. Whether they did.
    pub(super) async fn check_room_text(
        &self,
        actor: &Actor,
        room: (RoomId, Option<Membership>),
        settings: &mut RoomSettings,
    ) -> Result<bool, Reject> {
        let text = format!("{}\n{}", settings.name, settings.topic);
        let text = text.trim_end();
        let ruling = self.decide_text(actor, TextKind::Room, room, text, Aim::Nothing).await;
        let judged = Judged::of(actor, text, ruling.verdict.replacement());
        self.keep_findings(TextKind::Room, judged, room.0, ruling.marks).await?;
        let Some(text) = short_text(ruling.verdict)? else { return Ok(false) };
        let (name, topic) = text.split_once('\n').unwrap_or((&text, ""));
        settings.name = RoomName::parse(name).map_err(|_| RejectCode::ByPlugin)?;
        settings.topic = Topic::parse(topic).map_err(|_| RejectCode::ByPlugin)?;
        Ok(true)
    }

    /// Gives somebody of lower rank a role below one's own; an owner may hand the room over.
    ///
    /// # Errors
    /// Nobody of that id in the room, or of too high a rank.
    pub async fn set_role(&self, actor: &Actor, order: &Arc<OrderGuard>, set: SetRole) -> Result<Admitted, Reject> {
        let SetRole { write, user, role } = set;
        let digest = digest("role", &[&user.to_bytes(), &[role.number()]]);
        let membership = match self.admit(actor, write, digest, None).await? {
            Admission::Granted(membership) => membership,
            Admission::Known(reply) => return Ok(Admitted::Done(reply)),
        };
        let display_name = self.display_name(user).await?;
        let had = self.store.membership(write.room, user).await.map_err(|error| self.unavailable(&error))?;
        self.check_granting(actor, write.room, (user, had), role).await?;
        self.check_act(actor, hook::Act::RoleChange { room: write.room, target: user, role }).await?;
        let change = MembershipChange::RoleChanged;
        let content = EntryContent::Membership { user, change, role, display_name };
        let word = |role: RoomRole| format!("{role:?}").to_lowercase();
        let record = AuditRecord {
            detail: format!("{} -> {}", had.map_or_else(|| "nobody".to_owned(), |it| word(it.role)), word(role)),
            ..self.record(actor.user, "role", write.room, user)
        };
        let (act, beside) = (Act::SetRole(user, role), self.beside(vec![record]));
        let (hidden, altered) = (false, false);
        Ok(self
            .amend(actor, order, write, Amendment { digest, membership, hidden, altered, content, act, beside })
            .await)
    }

    /// Nobody is asked about a role that is refused anyhow, nor is that kept. Whether they have a higher rank on the server
    /// is looked at by the transaction, which looks at all of it once more.
    async fn check_granting(
        &self,
        actor: &Actor,
        room: RoomId,
        (user, had): (UserId, Option<Membership>),
        role: RoomRole,
    ) -> Result<(), Reject> {
        let mine = self.store.membership(room, actor.user).await.map_err(|error| self.unavailable(&error))?;
        let mine = mine.ok_or(RejectCode::NotMember)?;
        let is_handed_over = role == RoomRole::Owner && mine.role == RoomRole::Owner;
        let theirs = had.map_or(u8::MAX, |it| it.role.number());
        let may_grant = access::may_act_on(access::rank(mine.role, actor.role), theirs, Some(role));
        if user == actor.user || !(is_handed_over || may_grant) {
            return Err(RejectCode::Forbidden.into());
        }
        // Who may not give it is not told who is there.
        if had.is_some() { Ok(()) } else { Err(RejectCode::UnknownUser.into()) }
    }

    /// Mutes, kicks or bans somebody of lower rank, or lifts that.
    ///
    /// # Errors
    /// As [`Core::set_role`].
    pub async fn sanction(
        &self,
        actor: &Actor,
        order: &Arc<OrderGuard>,
        sanction: SanctionUser,
    ) -> Result<Admitted, Reject> {
        self.sanction_for(actor, order, sanction, Vec::new()).await
    }

    /// As [`Self::sanction`], and what a plugin found of it is kept in the same transaction.
    pub(super) async fn sanction_for(
        &self,
        actor: &Actor,
        order: &Arc<OrderGuard>,
        sanction: SanctionUser,
        found: Vec<NewRecord>,
    ) -> Result<Admitted, Reject> {
        let SanctionUser { write, user, kind, duration_ms, reason } = sanction;
        let digest =
            digest("sanction", &[format!("{user} {kind:?} {duration_ms}").as_bytes(), reason.as_str().as_bytes()]);
        let membership = match self.admit(actor, write, digest, None).await? {
            Admission::Granted(membership) => membership,
            Admission::Known(reply) => return Ok(Admitted::Done(reply)),
        };
        let lasts = matches!(kind, SanctionKind::Mute | SanctionKind::Ban | SanctionKind::Shadow) && duration_ms > 0;
        let until = lasts.then(|| self.clock.now().after(duration_ms));
        let lasting = (kind, lasts.then_some(duration_ms));
        let told = audit::sanction_text(lasting, reason.as_str());
        let content = EntryContent::Sanction(Sanction { user, kind, until, reason });
        let act = Act::Sanction(user, kind, until);
        // Their other devices, and those that are away, learn of it from their own log.
        let self_room = self.store.find_self_room(user).await.map_err(|error| self.unavailable(&error))?;
        let note = |self_room| self.note_for(user, self_room, SelfNote::Left(write.room));
        let then = self_room.filter(|_| matches!(kind, SanctionKind::Kick | SanctionKind::Ban)).map(note);
        let change = Change::Amend(Box::new(Amend {
            server_role: actor.role,
            shadowed: self.is_shadowed(actor, membership),
            decided: false,
            act,
        }));
        let beside = with(Some(self.beside_sanction(actor, write.room, user, lasting, told)), found);
        let then = then.into_iter().collect();
        let queueing = Queueing { digest, altered: false, membership, content, change, then, beside };
        let queued = self.queue(actor, order, write, queueing).await;
        // A hint that is older than the entry is found to be stale by its version; this only saves that.
        self.memberships.remove(write.room, user);
        Ok(queued)
    }

    /// Earlier texts of a message, for moderators: the newest of those before this one; 0: of all.
    ///
    /// # Errors
    /// Not a moderator.
    pub async fn revisions(&self, actor: &Actor, room: RoomId, seq: Seq, before: u32) -> Result<Reply, Reject> {
        if !self.is_moderator(actor, room).await? {
            return Err(RejectCode::Forbidden.into());
        }
        let page = self.store.read(room, actor.user, Seq(u64::MAX >> 1), 1).await;
        let page = page.map_err(|error| self.unavailable(&error))?.ok_or(RejectCode::NotMember)?;
        // What is hidden from them as it reads now is hidden as it read before.
        if seq < page.state.first_seq {
            return Err(RejectCode::UnknownMessage.into());
        }
        let before = if before == 0 { u32::MAX } else { before };
        let entries = self.store.revisions(room, seq, before).await.map_err(|error| self.unavailable(&error))?;
        let next = match entries.first().map_or(0, |oldest| oldest.rev) {
            // Nothing was said before the first text.
            0 => 0,
            // Before another one there may be nothing any more: earlier texts are kept for their time.
            oldest => {
                let older = self.store.revisions(room, seq, oldest).await.map_err(|error| self.unavailable(&error))?;
                if older.is_empty() { 0 } else { oldest }
            }
        };
        Ok(Reply::Page(super::history::page(room, page.state, entries, Seq(next.into()))))
    }

    /// Notes how far somebody has read, for all their devices.
    ///
    /// # Errors
    /// Not a member.
    pub async fn mark_read(&self, actor: &Actor, room: RoomId, seq: Seq) -> Result<Reply, Reject> {
        self.limits.check_send(actor.user)?;
        self.check_read(actor, room).await?;
        let position = self.store.read_position(room, seq).await.map_err(|error| self.unavailable(&error))?;
        let (seq, number) = position.ok_or(RejectCode::NotMember)?;
        let content = EntryContent::SelfNote(SelfNote::Read(room, seq));
        self.append_self(actor, content, Change::Read { room, seq, number }).await?;
        Ok(Reply::Ok)
    }

    async fn amend(&self, actor: &Actor, order: &Arc<OrderGuard>, write: Write, amendment: Amendment) -> Admitted {
        let Amendment { digest, membership, hidden, altered, content, act, beside } = amendment;
        let change = Change::Amend(Box::new(Amend {
            server_role: actor.role,
            shadowed: hidden || self.is_shadowed(actor, membership),
            decided: false,
            act,
        }));
        let then = Vec::new();
        self.queue(actor, order, write, Queueing { digest, altered, membership, content, change, then, beside }).await
    }

    pub(super) async fn find_message(&self, room: RoomId, seq: Seq) -> Result<Entry, Reject> {
        let found = self.find_messages(room, &[seq]).await?.into_iter().next();
        Ok(found.ok_or(RejectCode::UnknownMessage)?.1)
    }

    /// All of them, or a refusal.
    async fn find_messages(&self, room: RoomId, seqs: &[Seq]) -> Result<Vec<(Seq, Entry, Bytes)>, Reject> {
        let found = self.store.find_entries(room, seqs.to_vec()).await.map_err(|error| self.unavailable(&error))?;
        if found.len() < seqs.len() {
            return Err(RejectCode::UnknownMessage.into());
        }
        let mut messages = Vec::with_capacity(found.len());
        for envelope in found {
            let entry = decode_entry(&envelope.payload).map_err(|error| {
                let what = format!("entry {} of room {room}: {error}", envelope.seq.0);
                self.unavailable(&super::store::Error::Corrupt(what))
            })?;
            if !matches!(entry.content, EntryContent::Message(_)) {
                return Err(RejectCode::UnknownMessage.into());
            }
            messages.push((envelope.seq, entry, envelope.payload));
        }
        Ok(messages)
    }

    pub(super) async fn display_name(&self, user: UserId) -> Result<DisplayName, Reject> {
        let found = self.store.find_users(vec![user]).await.map_err(|error| self.unavailable(&error))?;
        let member = found.into_iter().next().ok_or(RejectCode::UnknownUser)?;
        Ok(DisplayName::parse(&member.display_name).map_err(|_| RejectCode::Internal)?)
    }
}

/// What is kept beside an entry, and what a plugin found beside that: of the case that begins with it, if one does.
fn with(beside: Option<Box<Beside>>, mut found: Vec<NewRecord>) -> Option<Box<Beside>> {
    match beside {
        Some(mut beside) => {
            if let Some(opens) = &beside.opens {
                found.iter_mut().for_each(|new| new.record.case = opens.row.id);
            }
            beside.audit.extend(found);
            Some(beside)
        }
        None if found.is_empty() => None,
        None => Some(Box::new(Beside { audit: found, opens: None, releases: false })),
    }
}

/// What a verdict says of a text that nothing can be held of: the text instead, if another is wanted.
pub(super) fn short_text(verdict: Verdict) -> Result<Option<String>, Reject> {
    let reject = |code: RejectCode, reason: String| {
        Err(Reject::new(code, if reason.is_empty() { code.text().to_owned() } else { reason }))
    };
    match verdict {
        Verdict::Allow => Ok(None),
        Verdict::Replace(text) => Ok(Some(text)),
        // There is nothing that its author alone could be shown.
        Verdict::Hold { .. } | Verdict::Shadow(_) => reject(RejectCode::ByPlugin, String::new()),
        Verdict::Bounce { reason } => reject(RejectCode::Bounced, reason),
        Verdict::Reject { reason, .. } => reject(RejectCode::ByPlugin, reason),
        Verdict::Unavailable { reason } => {
            Err(Reject { detail: reason, ..Reject::retry(RejectCode::Busy, UNAVAILABLE_RETRY_MS) })
        }
    }
}
