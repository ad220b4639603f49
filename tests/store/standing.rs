//! Restrictions, roles, tickets, keys, and what every server on the store heeds.

use confab::core::standing::{FoundKey, Level, NewKey, NewTicket, Revoked, Scopes, TicketKind};
use confab::core::store::{Created, NewUser, Restrict, Restriction};
use confab_protocol::close::CloseCode;
use confab_protocol::command::AuditRecord;
use confab_protocol::model::{DeviceId, Millis, SanctionKind, ServerRole, UserId};

use super::{START, Scene};

super::cases![
    restrictions_are_of_those_of_lower_rank,
    who_is_banned_is_logged_in_nowhere,
    what_is_revoked_is_told_in_order,
    roles_change_below_ones_own,
    what_is_done_is_kept_and_what_is_refused_is_not,
    a_ticket_is_spent_once,
    a_ticket_is_as_good_as_who_gave_it,
    an_account_and_its_ticket_are_one,
    a_password_that_changed_logs_nobody_in,
    a_key_is_a_login_of_its_own,
    the_level_is_told,
];

const LATER: Millis = Millis(START.0 + 60_000);

impl Scene {
    async fn someone(&self, name: &str, role: ServerRole) -> NewUser {
        let user = self.new_user(name, role);
        assert_eq!(self.store.create_user(user.clone()).await.unwrap(), Created::Yes);
        user
    }

    async fn logged_in(&self, user: UserId) -> DeviceId {
        let login = self.login(user);
        let device = login.device;
        self.store.log_in(login).await.unwrap().unwrap();
        device
    }

    /// Whether it was done, with a record by this word.
    async fn restrict(
        &self,
        user: UserId,
        below: Option<ServerRole>,
        kind: SanctionKind,
        until: Option<Millis>,
    ) -> bool {
        let record = self.new_record(AuditRecord { act: "restrict".to_owned(), user, ..AuditRecord::default() });
        self.store.restrict(Restrict { user, below, kind, until, now: START, record }).await.unwrap()
    }

    /// As [`Self::restrict`].
    async fn appoint(&self, user: UserId, below: Option<ServerRole>, role: ServerRole) -> bool {
        let record = self.new_record(AuditRecord { act: "appoint".to_owned(), user, ..AuditRecord::default() });
        self.store.set_server_role(user, below, role, record).await.unwrap()
    }

    async fn is_in(&self, user: UserId, device: DeviceId) -> bool {
        self.store.find_identity(user, device).await.unwrap().is_some()
    }

    async fn epoch(&self) -> u64 {
        self.store.controls(u64::MAX >> 1).await.unwrap().epoch
    }

    async fn revoked_since(&self, epoch: u64) -> Vec<Revoked> {
        let controls = self.store.controls(epoch).await.unwrap();
        assert_eq!(controls.revoked.last().map_or(epoch, |it| it.epoch), controls.epoch, "nothing is told late");
        controls.revoked
    }
}

async fn restrictions_are_of_those_of_lower_rank(scene: Scene) {
    let moderator = scene.someone("moderator", ServerRole::Moderator).await.id;
    let alice = scene.someone("alice", ServerRole::User).await.id;
    let mute = |user, below| scene.restrict(user, below, SanctionKind::Mute, Some(LATER));
    assert!(!mute(moderator, Some(ServerRole::Moderator)).await, "not on one's own rank");
    assert!(!mute(UserId::from_u128(7), None).await, "there is nobody");
    assert!(mute(alice, Some(ServerRole::Moderator)).await);
    let restriction = async |user| scene.store.find_user(user).await.unwrap().unwrap().restriction;
    assert_eq!(restriction(alice).await, Some(Restriction { kind: SanctionKind::Mute, until: Some(LATER) }));
    assert!(scene.restrict(alice, None, SanctionKind::Kick, None).await);
    assert!(restriction(alice).await.is_some(), "who is put out is as restricted as before");
    assert!(scene.restrict(alice, None, SanctionKind::Lift, None).await);
    assert_eq!(restriction(alice).await, None);
    assert_eq!(restriction(moderator).await, None);
}

async fn who_is_banned_is_logged_in_nowhere(scene: Scene) {
    let alice = scene.someone("alice", ServerRole::User).await;
    let bob = scene.someone("bob", ServerRole::User).await.id;
    let (one, two) = (scene.logged_in(alice.id).await, scene.logged_in(alice.id).await);
    let other = scene.logged_in(bob).await;
    assert!(scene.restrict(alice.id, None, SanctionKind::Ban, None).await);
    assert!(!scene.is_in(alice.id, one).await && !scene.is_in(alice.id, two).await);
    assert!(scene.is_in(bob, other).await, "others stay");
    // To be muted does not bring them back.
    for kind in [SanctionKind::Mute, SanctionKind::Shadow] {
        assert!(!scene.restrict(alice.id, None, kind, None).await);
    }
    let (found, _) = scene.store.find_login(alice.username).await.unwrap().unwrap();
    assert_eq!(found.restriction, Some(Restriction { kind: SanctionKind::Ban, until: None }));
}

async fn what_is_revoked_is_told_in_order(scene: Scene) {
    let alice = scene.someone("alice", ServerRole::User).await.id;
    let devices = [scene.logged_in(alice).await, scene.logged_in(alice).await, scene.logged_in(alice).await];
    let start = scene.epoch().await;
    scene.store.log_out(alice, devices[0]).await.unwrap();
    scene.store.end_logins(alice, devices[1]).await.unwrap();
    assert!(scene.restrict(alice, None, SanctionKind::Kick, None).await);
    let told = scene.revoked_since(start).await;
    let told: Vec<_> = told.iter().map(|it| (it.user, it.device, it.code)).collect();
    let ended = |device| (alice, Some(device), CloseCode::LoggedOut);
    assert_eq!(told, [ended(devices[0]), ended(devices[2]), (alice, None, CloseCode::LoggedOut)]);
    assert_eq!(scene.revoked_since(scene.epoch().await).await, []);
    // Who is found in good standing afterwards is not meant.
    let next = scene.logged_in(alice).await;
    let standing = scene.store.find_identity(alice, next).await.unwrap().unwrap();
    assert_eq!(standing.epoch, scene.epoch().await);
}

async fn roles_change_below_ones_own(scene: Scene) {
    let owner = scene.someone("owner", ServerRole::Owner).await.id;
    let admin = scene.someone("admin", ServerRole::Admin).await.id;
    let alice = scene.someone("alice", ServerRole::User).await.id;
    let set = |user, below| scene.appoint(user, below, ServerRole::Moderator);
    assert!(!set(admin, Some(ServerRole::Admin)).await);
    assert!(!set(owner, None).await, "the owner stays");
    let start = scene.epoch().await;
    assert!(set(alice, Some(ServerRole::Admin)).await);
    assert_eq!(scene.store.find_user(alice).await.unwrap().unwrap().role, ServerRole::Moderator);
    let told = scene.revoked_since(start).await;
    assert_eq!((told.len(), told[0].code), (1, CloseCode::RightsChanged));
}

async fn what_is_done_is_kept_and_what_is_refused_is_not(scene: Scene) {
    let owner = scene.someone("owner", ServerRole::Owner).await.id;
    let alice = scene.someone("alice", ServerRole::User).await.id;
    let mute = |user, below| scene.restrict(user, below, SanctionKind::Mute, Some(LATER));
    assert!(!mute(alice, Some(ServerRole::User)).await && !mute(UserId::from_u128(7), None).await);
    assert!(!scene.appoint(owner, None, ServerRole::User).await);
    assert!(scene.appoint(alice, None, ServerRole::Admin).await);
    assert!(!scene.appoint(alice, Some(ServerRole::Admin), ServerRole::User).await, "they are equals now");
    assert!(scene.appoint(alice, None, ServerRole::Moderator).await);
    assert!(mute(alice, None).await);
    assert!(scene.restrict(alice, None, SanctionKind::Kick, None).await);
    assert!(scene.restrict(alice, None, SanctionKind::Ban, None).await);
    assert!(!mute(alice, None).await, "it would let them come back");
    assert!(scene.restrict(alice, None, SanctionKind::Lift, None).await);
    let told = scene.audit_of(None).await;
    assert!(told.iter().all(|record| record.user == alice));
    let told: Vec<_> = told.iter().map(|record| (record.act.as_str(), record.detail.as_str())).collect();
    let expected = [
        ("appoint", "user -> admin"),
        ("appoint", "admin -> moderator"),
        ("restrict", "none -> mute, for 1m"),
        ("restrict", ""),
        ("restrict", "mute -> ban, until lifted"),
        ("restrict", "ban -> none"),
    ];
    assert_eq!(told, expected);
    // What cannot be kept does not happen: there is one record of a number.
    let record = scene.new_record(AuditRecord::default());
    scene.store.audit(vec![record.clone()]).await.unwrap();
    let (user, kind, epoch) = (alice, SanctionKind::Ban, scene.epoch().await);
    let ban = Restrict { user, below: None, kind, until: None, now: START, record: record.clone() };
    assert!(scene.store.restrict(ban).await.is_err());
    assert!(scene.store.set_server_role(alice, None, ServerRole::Admin, record.clone()).await.is_err());
    assert!(scene.store.set_level(Level::StaffOnly, record).await.is_err());
    let now = scene.store.find_user(alice).await.unwrap().unwrap();
    assert_eq!((now.restriction, now.role, scene.epoch().await), (None, ServerRole::Moderator, epoch));
    assert_eq!(scene.audit_of(None).await.len(), expected.len() + 1);
}

fn ticket(hash: u8, kind: TicketKind, user: UserId, uses: u32) -> NewTicket {
    NewTicket { hash: [hash; 32], kind, user, author: UserId::NONE, uses, expires: LATER, now: START }
}

async fn a_ticket_is_spent_once(scene: Scene) {
    let alice = scene.someone("alice", ServerRole::User).await;
    let device = scene.logged_in(alice.id).await;
    for hash in [1, 2] {
        scene.store.create_ticket(ticket(hash, TicketKind::Reset, alice.id, 1)).await.unwrap();
    }
    let has = |hash: u8, kind, now| scene.store.has_ticket([hash; 32], kind, now);
    assert!(has(1, TicketKind::Reset, LATER).await.unwrap());
    assert!(!has(1, TicketKind::Reset, LATER.after(1)).await.unwrap(), "too old");
    assert!(!has(1, TicketKind::Account, START).await.unwrap(), "of another kind");
    let reset = |hash: u8| scene.store.reset_password([hash; 32], "new".into(), START);
    assert_eq!(reset(3).await.unwrap(), None);
    assert!(scene.is_in(alice.id, device).await);
    assert_eq!(reset(1).await.unwrap(), Some(alice.id));
    assert!(!scene.is_in(alice.id, device).await);
    let (user, hash) = scene.store.find_login(alice.username).await.unwrap().unwrap();
    assert_eq!((user.token_version, hash.as_deref()), (1, Some("new")));
    assert_eq!((reset(1).await.unwrap(), reset(2).await.unwrap()), (None, None), "nor is any other of the account");
}

/// A token of somebody who may not give it any more is good for nothing.
async fn a_ticket_is_as_good_as_who_gave_it(scene: Scene) {
    let admin = scene.someone("admin", ServerRole::Admin).await.id;
    let alice = scene.someone("alice", ServerRole::User).await.id;
    let give = async |hash: u8, kind, user| {
        let ticket = NewTicket { author: admin, ..ticket(hash, kind, user, 9) };
        scene.store.create_ticket(ticket).await.unwrap();
    };
    give(1, TicketKind::Reset, alice).await;
    give(2, TicketKind::Account, admin).await;
    let has = async || {
        let has = |hash: u8, kind| scene.store.has_ticket([hash; 32], kind, START);
        (has(1, TicketKind::Reset).await.unwrap(), has(2, TicketKind::Account).await.unwrap())
    };
    assert_eq!(has().await, (true, true));
    assert!(scene.appoint(alice, None, ServerRole::Admin).await);
    assert_eq!(has().await, (false, true), "they are equals now");
    assert_eq!(scene.store.reset_password([1; 32], "x".into(), START).await.unwrap(), None);
    assert!(scene.appoint(alice, None, ServerRole::User).await);
    assert!(scene.appoint(admin, None, ServerRole::Moderator).await);
    assert_eq!(has().await, (false, true), "moderators invite");
    assert!(scene.restrict(admin, None, SanctionKind::Ban, None).await);
    assert_eq!(has().await, (false, false));
    let newcomer = NewUser { ticket: Some([2; 32]), ..scene.new_user("bob", ServerRole::User) };
    assert_eq!(scene.store.create_user(newcomer).await.unwrap(), Created::TicketInvalid);
}

async fn an_account_and_its_ticket_are_one(scene: Scene) {
    let owner = scene.someone("owner", ServerRole::Owner).await.id;
    scene.store.create_ticket(ticket(1, TicketKind::Account, owner, 1)).await.unwrap();
    let newcomer =
        |name: &str, hash: u8| NewUser { ticket: Some([hash; 32]), ..scene.new_user(name, ServerRole::User) };
    assert_eq!(scene.store.create_user(newcomer("alice", 2)).await.unwrap(), Created::TicketInvalid);
    assert_eq!(scene.store.create_user(newcomer("owner", 1)).await.unwrap(), Created::NameTaken);
    assert_eq!(scene.store.create_user(newcomer("alice", 1)).await.unwrap(), Created::Yes, "it was not spent");
    assert_eq!(scene.store.create_user(newcomer("bob", 1)).await.unwrap(), Created::TicketInvalid);
    assert!(scene.store.find_login(newcomer("bob", 1).username).await.unwrap().is_none());
}

async fn a_password_that_changed_logs_nobody_in(scene: Scene) {
    let alice = scene.someone("alice", ServerRole::User).await;
    let first = scene.logged_in(alice.id).await;
    let mut login = scene.login(alice.id);
    login.password_hash = alice.password_hash.clone();
    let change = |old: &str, device| scene.store.change_password(alice.id, old.into(), "new".into(), device);
    assert!(!change("another", first).await.unwrap(), "it was reset meanwhile");
    let old = alice.password_hash.clone().unwrap();
    assert!(!change(&old, DeviceId::from_u128(9)).await.unwrap(), "that login is over");
    assert!(change(&old, first).await.unwrap());
    assert!(scene.store.log_in(login.clone()).await.unwrap().is_none());
    assert!(!scene.is_in(alice.id, login.device).await && scene.is_in(alice.id, first).await);
    login.password_hash = Some("new".into());
    assert!(scene.store.log_in(login).await.unwrap().is_some());
}

async fn a_key_is_a_login_of_its_own(scene: Scene) {
    let bot = scene.someone("bot", ServerRole::Bot).await.id;
    let device = DeviceId::from_u128(77);
    let (hash, scopes) = ([5; 32], Scopes::READ);
    let key = NewKey { hash, user: bot, device, name: "deploy".into(), scopes, expires: LATER, now: START };
    scene.store.create_key(key).await.unwrap();
    let found = scene.store.find_key(hash).await.unwrap();
    assert_eq!(found, Some(FoundKey { user: bot, device, expires: LATER }));
    assert_eq!(scene.store.find_identity(bot, device).await.unwrap().unwrap().scopes, Scopes::READ);
    let login = scene.logged_in(bot).await;
    assert_eq!(scene.store.find_identity(bot, login).await.unwrap().unwrap().scopes, Scopes::ALL);
    let logins = scene.store.logins(bot).await.unwrap();
    let of_key = logins.iter().find(|login| login.device == device).unwrap();
    assert!((logins.len(), of_key.is_key, of_key.name.as_str(), of_key.created) == (2, true, "deploy", START));
    scene.store.log_out(bot, device).await.unwrap();
    assert_eq!(scene.store.find_key(hash).await.unwrap(), None);
    assert!(!scene.is_in(bot, device).await && scene.is_in(bot, login).await);
}

async fn the_level_is_told(scene: Scene) {
    let start = scene.store.controls(0).await.unwrap();
    assert_eq!(start.level, Level::Normal);
    for level in [Level::StaffOnly, Level::NewcomersRead, Level::StaffOnly] {
        scene.store.set_level(level, scene.new_record(AuditRecord::default())).await.unwrap();
    }
    let now = scene.store.controls(0).await.unwrap();
    assert!(now.level == Level::StaffOnly && now.epoch > start.epoch && now.revoked.is_empty());
    let told: Vec<_> = scene.audit_of(None).await.into_iter().map(|record| record.detail).collect();
    assert_eq!(told, ["0 -> 3", "3 -> 2", "2 -> 3"]);
}
