//! What is said of what was said, and done to people and rooms.

use bytes::Bytes;
use confab::core::append::{Act, Amend, Change, Decided, Decision, Item, Said};
use confab::core::store::{NewInvite, NewRoom, RoomShape, pair};
use confab_protocol::command::{AuditRecord, History, HistoryRange};
use confab_protocol::limits::REACTIONS_MAX;
use confab_protocol::model::{
    Emoji, Millis, RoomId, RoomKind, RoomName, RoomRole, RoomSettings, SanctionKind, Seq, ServerRole, Topic, UserId,
    Username, Visibility,
};
use confab_protocol::reject::RejectCode;
use confab_protocol::rights::RoomRights;

use super::{START, Scene, seq};

super::cases![
    an_edit_writes_over_and_keeps_what_was_said,
    only_its_author_edits_a_message,
    what_is_deleted_is_gone_but_for_moderators,
    a_batch_amends_what_it_appends,
    reactions_are_counted_once_each,
    pins_and_answers_are_told,
    settings_take_rank_and_a_free_name,
    a_room_is_not_called_what_looks_like_another,
    nobody_acts_on_their_own_rank,
    a_mute_ends_by_itself,
    a_ban_puts_out_and_keeps_out,
    nothing_of_the_banned_follows_the_ban,
    a_slow_room_asks_for_time,
    marks_only_go_forward_and_count_what_is_unread,
    mentions_are_counted_until_read,
    a_private_room_is_entered_by_invitation,
    two_people_have_one_room,
    rank_on_the_server_counts_on_both_sides,
    to_mute_the_banned_does_not_let_them_in,
    an_edit_says_anew_whom_it_mentions,
];

pub(super) fn act(scene: &Scene, room: RoomId, author: UserId, act: Act) -> Item {
    let amend = Amend { server_role: ServerRole::User, shadowed: false, decided: false, act };
    scene.item(room, author, Change::Amend(Box::new(amend)))
}

pub(super) fn emoji(text: &str) -> Emoji {
    Emoji::parse(text).unwrap()
}

pub(super) fn settings(name: &str, slow_mode_ms: u32) -> RoomSettings {
    let (name, topic) = (RoomName::parse(name).unwrap(), Topic::parse("talk").unwrap());
    RoomSettings {
        name,
        topic,
        slow_mode_ms,
        retention_ms: 0,
        visibility: Visibility::All,
        knocks: false,
        rights: RoomRights::default(),
    }
}

pub(super) const fn refused(code: RejectCode) -> Decision {
    Decision::Refuse(code)
}

pub(super) fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

impl Scene {
    /// Owner, moderator and member of a room, with a message of each: seqs 5, 6 and 7.
    pub(super) async fn company(&self) -> (RoomId, [UserId; 3]) {
        let [owner, moderator, member] =
            [self.user("alice").await.id, self.user("bob").await.id, self.user("carol").await.id];
        let room = self.room(owner, "one").await;
        self.join(room, moderator).await;
        self.join(room, member).await;
        self.act(room, owner, Act::SetRole(moderator, RoomRole::Moderator)).await;
        for author in [owner, moderator, member] {
            self.say(room, author).await;
        }
        (room, [owner, moderator, member])
    }

    pub(super) async fn act(&self, room: RoomId, author: UserId, what: Act) -> Decision {
        self.append_one(act(self, room, author, what)).await
    }

    async fn say(&self, room: RoomId, author: UserId) -> Decision {
        self.append_one(self.item(room, author, Change::Message(Said::default()))).await
    }

    pub(super) async fn at(&self, now: Millis, item: Item) -> Decision {
        self.store.append(vec![item], now).await.unwrap().remove(0).decision
    }

    async fn texts(&self, room: RoomId, reader: UserId, thread: Option<Seq>) -> Vec<(u64, u32, Bytes)> {
        let history = History { room, range: HistoryRange::Before(Seq(0)), thread, pinned: false, limit: 200 };
        let page = self.store.history(reader, history).await.unwrap().unwrap();
        page.entries.into_iter().map(|entry| (entry.seq.0, entry.rev, entry.payload)).collect()
    }
}

async fn an_edit_writes_over_and_keeps_what_was_said(scene: Scene) {
    let (room, [owner, ..]) = scene.company().await;
    let said = scene.store.find_entries(room, vec![Seq(5)]).await.unwrap().remove(0);
    let edited =
        scene.append(vec![act(&scene, room, owner, Act::Edit(Seq(5), bytes("second"), Vec::new()))]).await.remove(0);
    assert_eq!(seq(&edited.decision), Some(8));
    let now = edited.rewritten.unwrap();
    assert_eq!((now.seq, now.rev, now.time, &now.payload), (Seq(5), 1, said.time, &bytes("second")));
    scene.act(room, owner, Act::Edit(Seq(5), bytes("third"), Vec::new())).await;
    assert_eq!(scene.texts(room, owner, None).await[0], (5, 2, bytes("third")));
    let before = scene.store.revisions(room, Seq(5), u32::MAX).await.unwrap();
    let before: Vec<_> = before.into_iter().map(|entry| (entry.seq.0, entry.rev, entry.payload)).collect();
    assert_eq!(before, [(5, 0, said.payload), (5, 1, bytes("second"))]);
    // Whoever reads the log gets the message with each edit as it reads now, and its place stays.
    let log = scene.store.read(room, owner, Seq(4), 200).await.unwrap().unwrap().entries;
    assert_eq!((log[0].rev, log[0].payload.clone(), log[0].rewritten.clone()), (2, bytes("third"), None));
    for edit in &log[3..] {
        let now = edit.rewritten.as_ref().unwrap();
        assert_eq!((now.seq, now.rev, now.payload.clone()), (Seq(5), 2, bytes("third")));
    }
}

async fn only_its_author_edits_a_message(scene: Scene) {
    let (room, [owner, moderator, member]) = scene.company().await;
    for (author, target, code) in [
        (owner, 7, RejectCode::Forbidden),
        (moderator, 7, RejectCode::Forbidden),
        (member, 1, RejectCode::UnknownMessage),
        (member, 99, RejectCode::UnknownMessage),
    ] {
        assert_eq!(scene.act(room, author, Act::Edit(Seq(target), bytes("mine"), Vec::new())).await, refused(code));
    }
    let stranger = scene.user("dora").await.id;
    assert_eq!(
        scene.act(room, stranger, Act::Edit(Seq(7), bytes("x"), Vec::new())).await,
        refused(RejectCode::NotMember)
    );
    assert_eq!(scene.head(room, owner).await, Seq(7));
}

async fn what_is_deleted_is_gone_but_for_moderators(scene: Scene) {
    let (room, [owner, moderator, member]) = scene.company().await;
    let delete = |seqs: &[u64]| Act::Delete(seqs.iter().map(|seq| (Seq(*seq), bytes("gone"))).collect());
    scene.act(room, owner, Act::React(Seq(5), emoji("+"), true)).await;
    scene.act(room, owner, Act::Pin(Seq(5), true)).await;
    assert_eq!(scene.act(room, member, delete(&[5])).await, refused(RejectCode::Forbidden));
    assert_eq!(scene.act(room, moderator, delete(&[5, 6, 99])).await, refused(RejectCode::UnknownMessage));
    assert_eq!(scene.texts(room, owner, None).await.len(), 3, "all of them or none");
    assert!(seq(&scene.act(room, moderator, delete(&[5, 6])).await).is_some());
    assert_eq!(scene.texts(room, owner, None).await.len(), 1);
    let stone = scene.store.find_entries(room, vec![Seq(5)]).await.unwrap().remove(0);
    assert_eq!((stone.rev, stone.payload), (1, bytes("gone")));
    assert_eq!(scene.store.revisions(room, Seq(5), u32::MAX).await.unwrap().len(), 1);
    assert!(
        scene.store.message_states(room, owner, vec![Seq(5)]).await.unwrap().is_empty(),
        "nor what stood beside it"
    );
    assert_eq!(scene.act(room, moderator, delete(&[5])).await, refused(RejectCode::UnknownMessage));
    assert_eq!(
        scene.act(room, owner, Act::Edit(Seq(5), bytes("back"), Vec::new())).await,
        refused(RejectCode::UnknownMessage)
    );
    assert!(seq(&scene.act(room, member, delete(&[7])).await).is_some(), "one's own");
}

async fn a_batch_amends_what_it_appends(scene: Scene) {
    let (room, [owner, ..]) = scene.company().await;
    let said = scene.item(room, owner, Change::Message(Said::default()));
    let batch = vec![
        said,
        act(&scene, room, owner, Act::Edit(Seq(8), bytes("second"), Vec::new())),
        act(&scene, room, owner, Act::Edit(Seq(8), bytes("third"), Vec::new())),
        act(&scene, room, owner, Act::React(Seq(8), emoji("+"), true)),
        act(&scene, room, owner, Act::React(Seq(8), emoji("+"), true)),
        act(&scene, room, owner, Act::Delete(vec![(Seq(8), bytes("gone"))])),
        act(&scene, room, owner, Act::React(Seq(8), emoji("-"), true)),
    ];
    let decisions: Vec<Decision> = scene.append(batch).await.into_iter().map(|it: Decided| it.decision).collect();
    let seqs: Vec<_> = decisions.iter().map(seq).collect();
    assert_eq!(seqs, [Some(8), Some(9), Some(10), Some(11), None, Some(12), None]);
    assert_eq!((&decisions[4], &decisions[6]), (&Decision::Unchanged, &refused(RejectCode::UnknownMessage)));
    let revs: Vec<u32> = scene.store.revisions(room, Seq(8), u32::MAX).await.unwrap().iter().map(|it| it.rev).collect();
    assert_eq!((revs, scene.store.find_entries(room, vec![Seq(8)]).await.unwrap().remove(0).rev), (vec![0, 1, 2], 3));
}

async fn reactions_are_counted_once_each(scene: Scene) {
    let (room, [owner, moderator, member]) = scene.company().await;
    for author in [owner, moderator] {
        assert!(seq(&scene.act(room, author, Act::React(Seq(7), emoji("+"), true)).await).is_some());
        assert_eq!(scene.act(room, author, Act::React(Seq(7), emoji("+"), true)).await, Decision::Unchanged);
    }
    scene.act(room, member, Act::React(Seq(7), emoji("\u{1f44d}"), true)).await;
    let told = async |reader| {
        let states = scene.store.message_states(room, reader, vec![Seq(5), Seq(7)]).await.unwrap();
        assert!(states.len() <= 1);
        let counts = states.into_iter().flat_map(|state| state.reactions);
        counts.map(|it| (it.emoji, it.count, it.mine)).collect::<Vec<_>>()
    };
    let thumb = "\u{1f44d}".to_owned();
    assert_eq!(told(owner).await, [("+".to_owned(), 2, true), (thumb.clone(), 1, false)]);
    assert_eq!(scene.act(room, member, Act::React(Seq(7), emoji("+"), false)).await, Decision::Unchanged);
    assert!(seq(&scene.act(room, owner, Act::React(Seq(7), emoji("+"), false)).await).is_some());
    assert_eq!(told(member).await, [("+".to_owned(), 1, false), (thumb, 1, true)]);
    // So many different ones, and no more; those that are there may be given by others.
    for n in 2..REACTIONS_MAX {
        let letter = char::from_u32('a' as u32 + n).unwrap().to_string();
        assert!(seq(&scene.act(room, owner, Act::React(Seq(7), emoji(&letter), true)).await).is_some());
    }
    let full = scene.act(room, owner, Act::React(Seq(7), emoji("!"), true)).await;
    assert_eq!(full, refused(RejectCode::TooManyReactions));
    assert!(seq(&scene.act(room, owner, Act::React(Seq(7), emoji("+"), true)).await).is_some());
}

async fn pins_and_answers_are_told(scene: Scene) {
    let (room, [owner, moderator, member]) = scene.company().await;
    assert_eq!(scene.act(room, member, Act::Pin(Seq(7), true)).await, refused(RejectCode::Forbidden));
    assert!(seq(&scene.act(room, moderator, Act::Pin(Seq(7), true)).await).is_some());
    assert_eq!(scene.act(room, owner, Act::Pin(Seq(7), true)).await, Decision::Unchanged);
    let answer = |to| scene.item(room, owner, Change::Message(Said { reply_to: Some(Seq(to)), ..Said::default() }));
    assert_eq!(scene.append_one(answer(1)).await, refused(RejectCode::UnknownMessage));
    let answers = [scene.append_one(answer(7)).await, scene.append_one(answer(7)).await];
    let answers: Vec<u64> = answers.iter().filter_map(seq).collect();
    let states = scene.store.message_states(room, member, vec![Seq(6), Seq(7)]).await.unwrap();
    assert_eq!(states.iter().map(|it| (it.seq.0, it.pinned, it.replies)).collect::<Vec<_>>(), [(7, true, 2)]);
    let pins = History { pinned: true, ..History::before(room, Seq(0), 200) };
    let page = scene.store.history(member, pins).await.unwrap().unwrap();
    assert_eq!(page.entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [Seq(7)]);
    let pinned_answers = History { thread: Some(Seq(7)), ..pins };
    assert_eq!(scene.store.history(member, pinned_answers).await.unwrap().unwrap().entries, []);
    let thread = scene.texts(room, member, Some(Seq(7))).await;
    assert_eq!(thread.iter().map(|(seq, ..)| *seq).collect::<Vec<_>>(), answers);
}

async fn settings_take_rank_and_a_free_name(scene: Scene) {
    let (room, [owner, moderator, _]) = scene.company().await;
    let other = scene.room(owner, "two").await;
    let new = |name: &str| settings(name, 5_000);
    let renamed = |name| Act::settings(settings("one", 0), new(name));
    assert_eq!(scene.act(room, moderator, renamed("three")).await, refused(RejectCode::Forbidden));
    assert_eq!(scene.act(room, owner, renamed("two")).await, refused(RejectCode::RoomNameTaken));
    assert!(seq(&scene.act(room, owner, renamed("three")).await).is_some());
    let told = scene.store.room(room, owner).await.unwrap().unwrap();
    assert_eq!((told.name.as_str(), told.slow_mode_ms), ("three", 5_000));
    assert_eq!(scene.store.find_room(new("three").name).await.unwrap(), Some(room));
    assert_eq!(scene.store.find_room(new("one").name).await.unwrap(), None);
    assert_eq!(scene.act(room, owner, renamed("four")).await, refused(RejectCode::ChangedMeanwhile));
    let back = Act::settings(settings("two", 0), new("one"));
    assert!(seq(&scene.act(other, owner, back.clone()).await).is_some(), "a name that was left is free");
    let same = Act::settings(new("one"), new("one"));
    assert_eq!(scene.act(other, owner, same).await, Decision::Unchanged);
}

async fn a_room_is_not_called_what_looks_like_another(scene: Scene) {
    let (room, [owner, ..]) = scene.company().await;
    let other = scene.room(owner, "GeneraI").await;
    let renamed = |name: &str| Act::settings(settings("one", 0), settings(name, 0));
    assert_eq!(scene.act(room, owner, renamed("general")).await, refused(RejectCode::RoomNameTaken));
    let id = RoomId::from_u128(scene.client_id().as_u128());
    let create = |name| scene.item(id, owner, Change::CreateRoom(Box::new(scene.new_room(name))));
    assert_eq!(scene.append_one(create("General")).await, refused(RejectCode::RoomNameTaken));
    assert_eq!(scene.append_one(create("0ne")).await, refused(RejectCode::RoomNameTaken));
    // A room is found by how it is written, and may be written anew.
    let name = |text| RoomName::parse(text).unwrap();
    assert_eq!(scene.store.find_room(name("General")).await.unwrap(), None);
    assert_eq!(scene.store.find_room(name("GeneraI")).await.unwrap(), Some(other));
    assert!(seq(&scene.act(room, owner, renamed("One")).await).is_some(), "one's own name is in nobody's way");
    assert_eq!(scene.store.find_room(name("One")).await.unwrap(), Some(room));
    // A private room takes no name away.
    let topic = Topic::parse("").unwrap();
    let private = NewRoom { shape: RoomShape::named(name("general"), topic, true), ..scene.new_room("x") };
    assert!(seq(&scene.append_one(scene.item(id, owner, Change::CreateRoom(Box::new(private)))).await).is_some());
}

async fn nobody_acts_on_their_own_rank(scene: Scene) {
    let (room, [owner, moderator, member]) = scene.company().await;
    let ban = |user| Act::Sanction(user, SanctionKind::Ban, None);
    for (author, what, code) in [
        (moderator, ban(owner), RejectCode::Forbidden),
        (moderator, ban(moderator), RejectCode::Forbidden),
        (member, ban(moderator), RejectCode::Forbidden),
        (moderator, Act::SetRole(member, RoomRole::Guest), RejectCode::Forbidden),
        (owner, ban(owner), RejectCode::Forbidden),
        (member, Act::SetRole(member, RoomRole::Moderator), RejectCode::Forbidden),
        (owner, ban(UserId::from_u128(7)), RejectCode::UnknownUser),
    ] {
        assert_eq!(scene.act(room, author, what.clone()).await, refused(code), "{what:?}");
    }
    assert!(seq(&scene.act(room, owner, Act::SetRole(member, RoomRole::Guest)).await).is_some());
    assert_eq!(scene.act(room, owner, Act::SetRole(member, RoomRole::Guest)).await, Decision::Unchanged);
    assert_eq!(scene.say(room, member).await, refused(RejectCode::Forbidden), "on fresh rows");
    scene.leave(room, member).await;
    scene.join(room, member).await;
    assert_eq!(scene.say(room, member).await, refused(RejectCode::Forbidden), "nor by coming in again");
}

async fn a_mute_ends_by_itself(scene: Scene) {
    let (room, [_, moderator, member]) = scene.company().await;
    let until = START.after(60_000);
    let mute = act(&scene, room, moderator, Act::Sanction(member, SanctionKind::Mute, Some(until)));
    assert!(seq(&scene.at(START.after(1_000), mute).await).is_some());
    let post = || scene.item(room, member, Change::Message(Said::default()));
    assert_eq!(scene.at(START.after(59_999), post()).await, refused(RejectCode::Forbidden));
    assert!(seq(&scene.at(until, post()).await).is_some());
    let membership = scene.store.membership(room, member).await.unwrap().unwrap();
    assert!(membership.restriction.is_some_and(|it| !it.holds(until)));
}

async fn a_ban_puts_out_and_keeps_out(scene: Scene) {
    let (room, [owner, moderator, member]) = scene.company().await;
    let sanction = async |kind| scene.act(room, moderator, Act::Sanction(member, kind, None)).await;
    let kicked = seq(&sanction(SanctionKind::Kick).await).unwrap();
    assert_eq!(scene.store.membership(room, member).await.unwrap(), None);
    let place = scene.store.read(room, member, Seq(0), 1).await.unwrap().unwrap().reader.unwrap();
    assert_eq!(place.left, Some(Seq(kicked)), "the entry of it is the last that they may read");
    assert_eq!(sanction(SanctionKind::Kick).await, refused(RejectCode::UnknownUser));
    assert!(seq(&scene.join(room, member).await).is_some(), "one who was kicked may come back");
    assert!(seq(&sanction(SanctionKind::Ban).await).is_some());
    assert_eq!(scene.join(room, member).await, refused(RejectCode::Forbidden));
    // Also from outside it is known, and whose the room is.
    let ban = confab::core::store::Restriction { kind: SanctionKind::Ban, until: None };
    assert_eq!(scene.store.seat(room, member).await.unwrap(), Some((RoomRole::Member, Some(ban))));
    assert_eq!(scene.store.seat(room, owner).await.unwrap(), Some((RoomRole::Owner, None)));
    assert_eq!(scene.store.seat(room, UserId::from_u128(404)).await.unwrap(), None);
    assert_eq!(scene.store.room(room, owner).await.unwrap().unwrap().members, 2);
    assert!(seq(&sanction(SanctionKind::Lift).await).is_some());
    assert_eq!(sanction(SanctionKind::Lift).await, Decision::Unchanged);
    assert!(seq(&scene.join(room, member).await).is_some());
}

/// In one batch or in flight at once: 64 posts of one who is banned meanwhile.
async fn nothing_of_the_banned_follows_the_ban(scene: Scene) {
    let (room, [_, moderator, member]) = scene.company().await;
    let acl_version = scene.store.membership(room, member).await.unwrap().unwrap().acl_version;
    let post = || Item { acl_version, ..scene.item(room, member, Change::Message(Said::default())) };
    let mut batch: Vec<Item> = (0..64).map(|_| post()).collect();
    batch.insert(20, act(&scene, room, moderator, Act::Sanction(member, SanctionKind::Ban, None)));
    let rest = batch.split_off(40);
    let behind = rest.len();
    let (one, two) = tokio::join!(scene.store.append(batch, START), scene.store.append(rest, START));
    let decided: Vec<Decided> = one.unwrap().into_iter().chain(two.unwrap()).collect();
    let banned = seq(&decided[20].decision).unwrap();
    for it in decided.iter().filter(|it| it.item.author == member) {
        assert!(seq(&it.decision).is_none_or(|seq| seq < banned), "{:?}", it.decision);
    }
    // The second batch may have been first.
    let before = decided.iter().filter_map(|it| seq(&it.decision)).filter(|seq| *seq < banned).count();
    assert!(before == 20 || before == 20 + behind, "{before}");
}

async fn a_slow_room_asks_for_time(scene: Scene) {
    let (room, [owner, moderator, member]) = scene.company().await;
    scene.act(room, owner, Act::settings(settings("one", 0), settings("one", 5_000))).await;
    let version = scene.store.membership(room, member).await.unwrap().unwrap().acl_version;
    let post = |author| Item { acl_version: version, ..scene.item(room, author, Change::Message(Said::default())) };
    let start = START.after(100_000);
    assert!(seq(&scene.at(start, post(member)).await).is_some());
    let early = post(member);
    assert_eq!(
        scene.at(start.after(2_000), early.clone()).await,
        Decision::TooSoon { retry_after_ms: 3_000 },
        "others and moderators are free of it"
    );
    assert!(seq(&scene.at(start.after(2_000), post(moderator)).await).is_some());
    assert!(seq(&scene.at(start.after(2_000), post(moderator)).await).is_some());
    let late = Item { order: confab::core::append::Order::none(), ..early };
    assert!(seq(&scene.at(start.after(5_000), late).await).is_some());
    let batch = vec![post(member), post(member)];
    let decided = scene.store.append(batch, start.after(10_000)).await.unwrap();
    assert!(seq(&decided[0].decision).is_some() && matches!(decided[1].decision, Decision::TooSoon { .. }));
}

async fn marks_only_go_forward_and_count_what_is_unread(scene: Scene) {
    let (room, [owner, _, member]) = scene.company().await;
    let me = scene.store.find_login(Username::parse("carol").unwrap()).await.unwrap().unwrap().0;
    let unread = async || {
        let rooms = scene.store.list_rooms(member, true, RoomId::NONE, 10).await.unwrap();
        let room = scene.store.room(room, member).await.unwrap().unwrap();
        assert_eq!((rooms[0].unread, rooms[0].read_seq), (room.unread, room.read_seq));
        (room.read_seq.0, room.unread)
    };
    assert_eq!(unread().await, (3, 3), "from where they came in");
    let mark = async |at: u64| {
        let (seq, number) = scene.store.read_position(room, Seq(at)).await.unwrap().unwrap();
        scene.append_one(scene.item(me.self_room, member, Change::Read { room, seq, number })).await
    };
    assert!(seq(&mark(6).await).is_some());
    assert_eq!((unread().await, mark(5).await), ((6, 1), Decision::Unchanged));
    assert!(seq(&mark(u64::MAX >> 1).await).is_some());
    assert_eq!(unread().await, (7, 0), "no further than the head");
    scene.say(room, owner).await;
    scene.act(room, owner, Act::Pin(Seq(5), true)).await;
    assert_eq!(unread().await, (7, 1), "messages alone");
    // A role changes in the room while the marker moves: both hold.
    scene.act(room, owner, Act::SetRole(member, RoomRole::Guest)).await;
    assert_eq!(unread().await, (7, 1));
    let stranger = scene.user("dora").await;
    let not_theirs = scene.item(stranger.self_room, stranger.id, Change::Read { room, seq: Seq(7), number: 3 });
    assert_eq!(scene.append_one(not_theirs).await, refused(RejectCode::NotMember));
}

async fn mentions_are_counted_until_read(scene: Scene) {
    let (room, [owner, moderator, member]) = scene.company().await;
    let names = ["carol", "nobody", "bob"].map(|name| Username::parse(name).unwrap());
    assert_eq!(scene.store.find_members(room, names.to_vec()).await.unwrap(), [member, moderator]);
    let to = |user| scene.item(room, owner, Change::Message(Said { mentions: vec![user], ..Said::default() }));
    for user in [member, member, moderator] {
        scene.append_one(to(user)).await;
    }
    let told = async || scene.store.room(room, member).await.unwrap().unwrap().mentions;
    assert_eq!(told().await, 2);
    let me = scene.store.find_login(Username::parse("carol").unwrap()).await.unwrap().unwrap().0;
    let read = Change::Read { room, seq: Seq(8), number: 4 };
    scene.append_one(scene.item(me.self_room, member, read)).await;
    assert_eq!(told().await, 1);
    scene.act(room, owner, Act::Delete(vec![(Seq(9), bytes("gone"))])).await;
    assert_eq!(told().await, 0, "who mentions no more");
}

async fn a_private_room_is_entered_by_invitation(scene: Scene) {
    let [alice, bob, carol, dora] =
        ["alice", "bob", "carol", "dora"].map(|name| scene.new_user(name, ServerRole::User));
    for user in [&alice, &bob, &carol, &dora] {
        scene.store.create_user(user.clone()).await.unwrap();
    }
    let room = RoomId::from_u128(scene.client_id().as_u128());
    let (name, topic) = (RoomName::parse("den").unwrap(), Topic::parse("").unwrap());
    let new = NewRoom { shape: RoomShape::named(name, topic, true), ..scene.new_room("den") };
    scene.append_one(scene.item(room, alice.id, Change::CreateRoom(Box::new(new)))).await;
    assert_eq!(scene.store.room(room, alice.id).await.unwrap().unwrap().kind, RoomKind::Private);
    assert!(scene.store.list_rooms(bob.id, false, RoomId::NONE, 10).await.unwrap().is_empty());
    assert_eq!(scene.store.list_rooms(alice.id, true, RoomId::NONE, 10).await.unwrap().len(), 1);
    assert_eq!(scene.join(room, bob.id).await, refused(RejectCode::UnknownRoom));
    let invite = |hash: u8, room, uses| NewInvite {
        hash: [hash; 32],
        room,
        author: alice.id,
        uses,
        expires: START.after(60_000),
        now: START,
        record: scene.new_record(AuditRecord::default()),
    };
    scene.store.create_invite(invite(1, room, 2)).await.unwrap();
    let elsewhere = scene.room(alice.id, "two").await;
    scene.store.create_invite(invite(2, elsewhere, 2)).await.unwrap();
    assert_eq!(scene.store.find_invite([1; 32]).await.unwrap(), Some(room));
    assert_eq!(scene.store.find_invite([9; 32]).await.unwrap(), None);
    let come = |user, hash: u8| scene.item(room, user, Change::Join(Some([hash; 32])));
    assert_eq!(scene.append_one(come(bob.id, 2)).await, refused(RejectCode::InviteInvalid), "of another room");
    // Two of three that come at once, and one who is in uses nothing up.
    let batch = vec![come(bob.id, 1), come(bob.id, 1), come(carol.id, 1), come(dora.id, 1)];
    let decided: Vec<Decision> = scene.append(batch).await.into_iter().map(|it| it.decision).collect();
    assert!(seq(&decided[0]).is_some() && decided[1] == Decision::Unchanged && seq(&decided[2]).is_some());
    assert_eq!(decided[3], refused(RejectCode::InviteInvalid));
    assert_eq!(scene.append_one(come(dora.id, 1)).await, refused(RejectCode::InviteInvalid), "used up");
    scene.store.create_invite(invite(3, room, 2)).await.unwrap();
    assert_eq!(scene.at(START.after(60_000), come(dora.id, 3)).await, refused(RejectCode::InviteInvalid), "too old");
    let later = NewInvite { now: START.after(60_001), expires: START.after(90_000), ..invite(4, room, 1) };
    scene.store.create_invite(later).await.unwrap();
    assert_eq!(scene.store.find_invite([3; 32]).await.unwrap(), None, "what is too old is forgotten");
    // Whoever may not invite any more has invited nobody; and the owner comes back.
    scene.act(room, alice.id, Act::SetRole(bob.id, RoomRole::Moderator)).await;
    for hash in [5, 6] {
        let by_bob = NewInvite { author: bob.id, ..invite(hash, room, 5) };
        scene.store.create_invite(by_bob).await.unwrap();
        let demoted = Act::SetRole(bob.id, RoomRole::Member);
        let kicked = Act::Sanction(bob.id, SanctionKind::Kick, None);
        let batch = vec![act(&scene, room, alice.id, if hash == 5 { demoted } else { kicked }), come(dora.id, hash)];
        let decided = scene.append(batch).await.remove(1).decision;
        assert_eq!(decided, refused(RejectCode::InviteInvalid));
        assert_eq!(scene.store.find_invite([hash; 32]).await.unwrap(), None);
        scene.act(room, alice.id, Act::SetRole(bob.id, RoomRole::Moderator)).await;
    }
    scene.leave(room, alice.id).await;
    assert!(seq(&scene.join(room, alice.id).await).is_some());
    // Its name tells nothing.
    assert_eq!(scene.store.find_room(RoomName::parse("den").unwrap()).await.unwrap(), None);
    scene.room(carol.id, "den").await;
}

async fn two_people_have_one_room(scene: Scene) {
    let (alice, bob) = (scene.user("alice").await, scene.user("bob").await);
    let both = pair(alice.id, bob.id);
    assert_eq!(both, pair(bob.id, alice.id));
    let direct = |author: UserId, other: UserId| {
        let new = NewRoom { shape: RoomShape::Direct { pair: both, other }, ..scene.new_room("x") };
        let room = RoomId::from_u128(scene.client_id().as_u128());
        scene.item(room, author, Change::CreateRoom(Box::new(new)))
    };
    let (first, second) = (direct(alice.id, bob.id), direct(bob.id, alice.id));
    let room = first.room;
    let decided: Vec<Decision> = scene.append(vec![first, second]).await.into_iter().map(|it| it.decision).collect();
    assert_eq!((seq(&decided[0]), &decided[1]), (Some(1), &Decision::Unchanged));
    assert_eq!(scene.append_one(direct(bob.id, alice.id)).await, Decision::Unchanged);
    assert_eq!(scene.store.find_direct(both).await.unwrap(), Some(room));
    for user in [&alice, &bob] {
        let told = scene.store.room(room, user.id).await.unwrap().unwrap();
        assert_eq!((told.kind, told.members, told.role), (RoomKind::Direct, 2, Some(RoomRole::Member)));
        assert_eq!(told.name, "");
        assert_eq!(scene.store.find_self_room(user.id).await.unwrap(), Some(user.self_room));
    }
    assert!(seq(&scene.say(room, bob.id).await).is_some());
    let stranger = scene.user("carol").await.id;
    assert_eq!(scene.join(room, stranger).await, refused(RejectCode::UnknownRoom));
    // Nobody moderates it, whoever they are on the server.
    let kick = Act::Sanction(bob.id, SanctionKind::Kick, None);
    let amend = Amend { server_role: ServerRole::Owner, shadowed: false, decided: false, act: kick };
    let item = scene.item(room, alice.id, Change::Amend(Box::new(amend)));
    assert_eq!(scene.append_one(item).await, refused(RejectCode::Forbidden));
    assert_eq!(scene.store.counts(room, bob.id).await.unwrap(), (1, 2), "one's own log; others may make many of these");
}

/// Whoever owns the server is nobody's to put out, as whatever they came into the room.
async fn rank_on_the_server_counts_on_both_sides(scene: Scene) {
    let (owner, boss) = (scene.user("alice").await.id, scene.new_user("boss", ServerRole::Owner));
    scene.store.create_user(boss.clone()).await.unwrap();
    let room = scene.room(owner, "one").await;
    scene.join(room, boss.id).await;
    let ban = |user| Act::Sanction(user, SanctionKind::Ban, None);
    assert_eq!(scene.act(room, owner, ban(boss.id)).await, refused(RejectCode::Forbidden));
    let by_server = |what| {
        let amend = Amend { server_role: ServerRole::Owner, shadowed: false, decided: false, act: what };
        scene.item(room, boss.id, Change::Amend(Box::new(amend)))
    };
    assert_eq!(scene.append_one(by_server(ban(boss.id))).await, refused(RejectCode::Forbidden), "nor their own");
    let role = Act::SetRole(boss.id, RoomRole::Admin);
    assert_eq!(scene.append_one(by_server(role)).await, refused(RejectCode::Forbidden));
}

async fn to_mute_the_banned_does_not_let_them_in(scene: Scene) {
    let (room, [_, moderator, member]) = scene.company().await;
    let sanction = |kind| act(&scene, room, moderator, Act::Sanction(member, kind, None));
    let decided = scene.append(vec![sanction(SanctionKind::Ban), sanction(SanctionKind::Mute)]).await;
    assert_eq!(decided[1].decision, refused(RejectCode::UnknownUser));
    assert_eq!(scene.join(room, member).await, refused(RejectCode::Forbidden));
}

async fn an_edit_says_anew_whom_it_mentions(scene: Scene) {
    let (room, [owner, moderator, member]) = scene.company().await;
    let mentions = async |user| scene.store.room(room, user).await.unwrap().unwrap().mentions;
    scene
        .append_one(scene.item(room, owner, Change::Message(Said { mentions: vec![member], ..Said::default() })))
        .await;
    assert_eq!((mentions(moderator).await, mentions(member).await), (0, 1));
    scene.act(room, owner, Act::Edit(Seq(8), bytes("second"), vec![moderator])).await;
    assert_eq!((mentions(moderator).await, mentions(member).await), (1, 0));
}
