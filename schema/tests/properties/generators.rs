//! Strategies for every value that travels, within the bounds that the types and the codec promise.

use bytes::Bytes;
use confab_protocol::codec::encode_entry;
use confab_protocol::command::{
    Admit, Appended, ClientFrame, Command, CreateRoom, Delete, Edit, EndSession, EntriesPush, Ephemeral, FoundAt,
    Hello, History, HistoryRange, Hit, Identity, Login, Member, MessageState, News, Notice, Page, Pin, PresenceStatus,
    Publish, Push, React, ReactionCount, Register, Reply, ResumeOutcome, Resumed, Room, RoomScope, RoomTarget,
    SanctionUser, Search, Secret, ServerFrame, Session, SessionInfo, SetRole, UpdateRoom, Write,
};
use confab_protocol::limits::{
    DELETE_MAX, INVITE_MS_MAX, INVITE_USES_MAX, MENTIONS_MAX, PAGE_HITS_MAX, PAGE_ITEMS_MAX, PRESENCE_CONNECTIONS_MAX,
    QUERY_BYTES_MAX, RESUME_CURSORS_MAX, RETENTION_MS_MAX, RETENTION_MS_MIN, SLOW_MODE_MS_MAX,
};
use confab_protocol::model::{
    Body, CaseId, ClientId, Cursor, DeviceId, DeviceName, DisplayName, Emoji, Entry, EntryContent, Envelope,
    Incarnation, MembershipChange, Message, Millis, Reason, RoomId, RoomKind, RoomName, RoomRole, RoomSettings,
    Sanction, SanctionKind, SelfNote, Seq, ServerRole, SessionId, Topic, UserId, Username, Visibility,
};
use confab_protocol::reject::Reject;
use confab_protocol::rights::RoomRights;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::greeting::{go_away, welcome};

macro_rules! ids {
    ($($function:ident: $name:ident),+) => {$(
        /// Any but "none".
        pub(crate) fn $function() -> impl Strategy<Value = $name> {
            (1..=u128::MAX).prop_map($name::from_u128)
        }
    )+};
}

ids!(user: UserId, device: DeviceId, room_id: RoomId, client_id: ClientId, session_id: SessionId, case: CaseId);

/// Numbers with their edges.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![3 => any::<u64>(), 2 => 0..1_000_u64, 1 => select(vec![0, 1, u64::MAX - 1, u64::MAX])]
}

pub(crate) fn time() -> impl Strategy<Value = Millis> {
    number().prop_map(Millis)
}

fn seq() -> impl Strategy<Value = Seq> {
    number().prop_map(Seq)
}

fn incarnation() -> impl Strategy<Value = Incarnation> {
    number().prop_map(Incarnation)
}

pub(crate) fn body() -> impl Strategy<Value = Body> {
    let text = prop_oneof![
        4 => "\\PC{1,40}",
        2 => "[ \n\ta-z\u{4e16}\u{1f600}\u{301}]{1,300}",
        1 => (1..=4_000_usize).prop_map(|len| "x".repeat(len)),
        1 => (1..=4_000_usize).prop_map(|len| "\u{1f600}".repeat(len)),
    ];
    text.prop_filter_map("not a body", |text| Body::parse(&text).ok())
}

pub(crate) fn room_name() -> impl Strategy<Value = RoomName> {
    "[a-z\u{e4}\u{4e16}][a-z \u{e4}\u{4e16}]{0,20}[a-z]".prop_map(|text| RoomName::parse(&text).expect("a name"))
}

fn topic() -> impl Strategy<Value = Topic> {
    "(|[a-z\u{4e16}]{1,80})".prop_map(|text| Topic::parse(&text).expect("a topic"))
}

fn display_name() -> impl Strategy<Value = DisplayName> {
    "[A-Za-z\u{4e16}]{1,21}".prop_map(|text| DisplayName::parse(&text).expect("a name"))
}

fn device_name() -> impl Strategy<Value = DeviceName> {
    "(|[a-z\u{4e16}]{1,21})".prop_map(|text| DeviceName::parse(&text).expect("a name"))
}

fn username() -> impl Strategy<Value = Username> {
    "[A-Z0-9a-z._-]{1,32}".prop_map(|text| Username::parse(&text).expect("a name"))
}

/// Text that only the server writes; nothing bounds it but the frame.
pub(crate) fn server_text() -> impl Strategy<Value = String> {
    "\\PC{0,60}"
}

fn secret(bytes_max: usize) -> impl Strategy<Value = Secret> {
    vec(32_u8..127, 1..=bytes_max).prop_map(|bytes| Secret::new(String::from_utf8(bytes).expect("ASCII")))
}

fn token() -> impl Strategy<Value = Secret> {
    prop_oneof![4 => secret(60), 1 => secret(2_048)]
}

pub(crate) fn cursor() -> impl Strategy<Value = Cursor> {
    (room_id(), incarnation(), seq()).prop_map(|(room, incarnation, seq)| Cursor { room, incarnation, seq })
}

fn rights() -> impl Strategy<Value = RoomRights> {
    let role = |least: u8| (1..=least).prop_map(|number| RoomRole::from_number(number).expect("a role"));
    (role(5), role(5), role(4), role(4)).prop_map(|(post, react, invite, pin)| RoomRights { post, react, invite, pin })
}

fn room_role() -> impl Strategy<Value = RoomRole> {
    (1..=7_u8).prop_map(|number| RoomRole::from_number(number).expect("a role"))
}

fn server_role() -> impl Strategy<Value = ServerRole> {
    (1..=5_u8).prop_map(|number| ServerRole::from_number(number).expect("a role"))
}

// ---------------------------------------------------------------------------------- what a client sends

pub(crate) fn hello() -> impl Strategy<Value = Hello> {
    (any::<u16>(), any::<u16>(), "[ -~]{0,64}", option::of(token()), any::<u64>()).prop_map(
        |(version_min, version_max, client, token, features)| Hello {
            version_min,
            version_max,
            client,
            token,
            features,
        },
    )
}

fn register() -> impl Strategy<Value = Register> {
    (username(), secret(256), option::of(display_name()), device_name(), option::of(token()), option::of(secret(64)))
        .prop_map(|(username, password, display_name, device, owner_token, invite)| Register {
            username,
            password,
            display_name,
            device,
            owner_token,
            invite,
        })
}

fn login() -> impl Strategy<Value = Login> {
    ("[ -~]{0,32}", secret(256), device_name(), option::of(device()))
        .prop_map(|(username, password, device, device_id)| Login { username, password, device, device_id })
}

fn create_room() -> impl Strategy<Value = CreateRoom> {
    (client_id(), any::<bool>(), room_name(), topic(), any::<bool>())
        .prop_map(|(client_id, resend, name, topic, private)| CreateRoom { client_id, resend, name, topic, private })
}

pub(crate) fn publish() -> impl Strategy<Value = Publish> {
    (room_id(), client_id(), any::<bool>(), body(), reference())
        .prop_map(|(room, client_id, resend, body, reply_to)| Publish { room, client_id, resend, body, reply_to })
}

/// A seq that is named, or none.
fn reference() -> impl Strategy<Value = Option<Seq>> {
    option::of((1..=u64::MAX).prop_map(Seq))
}

fn write() -> impl Strategy<Value = Write> {
    (room_id(), client_id(), any::<bool>()).prop_map(|(room, client_id, resend)| Write { room, client_id, resend })
}

fn emoji() -> impl Strategy<Value = Emoji> {
    let one = select(vec!["+", "\u{1f44d}", "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}", "e\u{301}"]);
    one.prop_map(|text| Emoji::parse(text).expect("one grapheme"))
}

fn reason() -> impl Strategy<Value = Reason> {
    "[a-z]{0,20}".prop_map(|text| Reason::parse(&text).expect("a reason"))
}

fn visibility() -> impl Strategy<Value = Visibility> {
    select(vec![Visibility::All, Visibility::SinceJoin])
}

fn sanction_kind() -> impl Strategy<Value = SanctionKind> {
    select(vec![SanctionKind::Mute, SanctionKind::Kick, SanctionKind::Ban, SanctionKind::Lift])
}

fn history() -> impl Strategy<Value = History> {
    let named = || (1..=u64::MAX).prop_map(Seq);
    let range = prop_oneof![
        seq().prop_map(HistoryRange::Before),
        named().prop_map(HistoryRange::After),
        named().prop_map(HistoryRange::Around)
    ];
    (room_id(), range, reference(), any::<bool>(), limit()).prop_map(|(room, range, thread, pinned, limit)| History {
        room,
        range,
        thread,
        pinned,
        limit,
    })
}

fn found_at() -> impl Strategy<Value = FoundAt> {
    (time(), room_id(), seq()).prop_map(|(time, room, seq)| FoundAt { time, room, seq })
}

fn search() -> impl Strategy<Value = Search> {
    // What is no query is for the index to say; here only the bytes count.
    let query = prop_oneof![4 => "\\PC{0,60}", 1 => (0..=QUERY_BYTES_MAX).prop_map(|len| "x".repeat(len))];
    (option::of(room_id()), query, option::of(found_at()), 1..=PAGE_HITS_MAX)
        .prop_map(|(room, query, before, limit)| Search { room, query, before, limit })
}

fn presence() -> impl Strategy<Value = PresenceStatus> {
    select(vec![PresenceStatus::Online, PresenceStatus::Away, PresenceStatus::Invisible])
}

/// Commands that find messages, and those about who is here.
fn lookup() -> impl Strategy<Value = Command> {
    prop_oneof![
        2 => search().prop_map(Command::Search),
        1 => (room_id(), any::<bool>()).prop_map(|(room, stopped)| Command::Typing { room, stopped }),
        1 => presence().prop_map(Command::SetPresence),
        1 => room_id().prop_map(Command::WhoIsHere),
    ]
}

/// Commands about logins and accounts.
fn account() -> impl Strategy<Value = Command> {
    let role = select(vec![ServerRole::Admin, ServerRole::Moderator, ServerRole::User]);
    prop_oneof![
        Just(Command::Sessions),
        device().prop_map(|device| Command::EndSession(EndSession::Of(device))),
        Just(Command::EndSession(EndSession::AllOthers)),
        (secret(256), secret(256)).prop_map(|(current, next)| Command::ChangePassword { current, next }),
        (secret(64), secret(256)).prop_map(|(token, password)| Command::ResetPassword { token, password }),
        (user(), sanction_kind(), any::<u64>()).prop_map(|(user, kind, duration_ms)| Command::Restrict {
            user,
            kind,
            duration_ms
        }),
        (user(), role).prop_map(|(user, role)| Command::SetServerRole { user, role }),
        user().prop_map(Command::IssueReset),
        (1..=INVITE_USES_MAX, 1..=INVITE_MS_MAX)
            .prop_map(|(uses, duration_ms)| Command::InviteAccount { uses, duration_ms }),
    ]
}

/// Commands about what was said before, and about people and rooms.
fn amendment() -> impl Strategy<Value = Command> {
    let granted =
        select(vec![RoomRole::Owner, RoomRole::Admin, RoomRole::Moderator, RoomRole::Member, RoomRole::Guest]);
    let slow = option::of(0..=SLOW_MODE_MS_MAX);
    let retention = option::of(prop_oneof![Just(0), RETENTION_MS_MIN..=RETENTION_MS_MAX]);
    prop_oneof![
        (write(), seq(), body()).prop_map(|(write, seq, body)| Command::Edit(Edit { write, seq, body })),
        (write(), vec(seq(), 1..=DELETE_MAX)).prop_map(|(write, seqs)| Command::Delete(Delete { write, seqs })),
        (write(), seq(), emoji(), any::<bool>()).prop_map(|(write, seq, emoji, remove)| Command::React(React {
            write,
            seq,
            emoji,
            remove
        })),
        (write(), seq(), any::<bool>()).prop_map(|(write, seq, remove)| Command::Pin(Pin { write, seq, remove })),
        (room_id(), seq()).prop_map(|(room, seq)| Command::MarkRead { room, seq }),
        (
            write(),
            option::of(room_name()),
            option::of(topic()),
            slow,
            retention,
            option::of(visibility()),
            option::of(any::<bool>()),
            option::of(rights())
        )
            .prop_map(|(write, name, topic, slow_mode_ms, retention_ms, visibility, knocks, rights)| {
                let update = UpdateRoom { write, name, topic, slow_mode_ms, retention_ms, visibility, knocks, rights };
                Command::UpdateRoom(update)
            }),
        write().prop_map(Command::Knock),
        (write(), seq()).prop_map(|(write, seq)| Command::Admit(Admit { write, seq })),
        display_name().prop_map(Command::UpdateProfile),
        (write(), body()).prop_map(|(write, body)| Command::Notice(Notice { write, body })),
        (write(), user(), granted).prop_map(|(write, user, role)| Command::SetRole(SetRole { write, user, role })),
        (write(), user(), sanction_kind(), any::<u64>(), reason()).prop_map(
            |(write, user, kind, duration_ms, reason)| {
                Command::Sanction(SanctionUser { write, user, kind, duration_ms, reason })
            }
        ),
        (room_id(), seq(), any::<u32>()).prop_map(|(room, seq, before)| Command::Revisions { room, seq, before }),
        (client_id(), user()).prop_map(|(client_id, user)| Command::Direct { client_id, user }),
        (room_id(), 1..=INVITE_USES_MAX, 1..=INVITE_MS_MAX).prop_map(|(room, uses, duration_ms)| Command::Invite {
            room,
            uses,
            duration_ms
        }),
    ]
}

pub(crate) fn target() -> impl Strategy<Value = RoomTarget> {
    prop_oneof![
        room_id().prop_map(RoomTarget::Id),
        room_name().prop_map(RoomTarget::Name),
        secret(64).prop_map(RoomTarget::Invite)
    ]
}

fn limit() -> impl Strategy<Value = usize> {
    1..=PAGE_ITEMS_MAX
}

pub(crate) fn command() -> impl Strategy<Value = Command> {
    let scope = select(vec![RoomScope::Joined, RoomScope::Open]);
    prop_oneof![
        Just(Command::Ping),
        register().prop_map(Command::Register),
        login().prop_map(Command::Login),
        token().prop_map(Command::Authenticate),
        token().prop_map(Command::Refresh),
        Just(Command::Logout),
        create_room().prop_map(Command::CreateRoom),
        target().prop_map(Command::JoinRoom),
        target().prop_map(Command::LeaveRoom),
        target().prop_map(Command::Unsubscribe),
        (scope, any::<u128>().prop_map(RoomId::from_u128), limit())
            .prop_map(|(scope, after, limit)| Command::ListRooms { scope, after, limit }),
        (room_id(), any::<u128>().prop_map(UserId::from_u128), limit())
            .prop_map(|(room, after, limit)| Command::ListMembers { room, after, limit }),
        vec(user(), 0..=PAGE_ITEMS_MAX).prop_map(Command::Profiles),
        publish().prop_map(Command::Publish),
        history().prop_map(Command::History),
        amendment(),
        lookup(),
        account(),
        super::moderation::command(),
        (cursor(), limit()).prop_map(|(cursor, limit)| Command::Sync { cursor, limit }),
        vec(cursor(), 0..=RESUME_CURSORS_MAX).prop_map(Command::Resume),
    ]
}

pub(crate) fn client_frame() -> impl Strategy<Value = ClientFrame> {
    prop_oneof![
        1 => hello().prop_map(ClientFrame::Hello),
        9 => (any::<u32>(), command()).prop_map(|(id, command)| ClientFrame::Request { id, command: Ok(command) }),
    ]
}

// ---------------------------------------------------------------------------------- what a server sends

pub(crate) fn identity() -> impl Strategy<Value = Identity> {
    (user(), device(), room_id(), username(), display_name(), server_role(), time()).prop_map(
        |(user, device, self_room, username, display_name, role, token_expires)| Identity {
            user,
            device,
            self_room,
            username,
            display_name,
            role,
            token_expires,
        },
    )
}

fn session() -> impl Strategy<Value = Session> {
    (identity(), token(), token(), time()).prop_map(|(identity, access_token, refresh_token, refresh_expires)| {
        Session { identity, access_token, refresh_token, refresh_expires }
    })
}

fn room() -> impl Strategy<Value = Room> {
    let kind = select(vec![RoomKind::Channel, RoomKind::Direct, RoomKind::SelfLog, RoomKind::Private]);
    let texts = ("\\PC{0,20}", "\\PC{0,60}");
    let marks = (any::<u32>(), seq(), any::<u32>(), any::<u32>(), any::<u64>(), rights());
    (room_id(), kind, texts, incarnation(), seq(), seq(), option::of(room_role()), any::<u32>(), time(), marks)
        .prop_map(|(id, kind, (name, topic), incarnation, first_seq, head, role, members, created, marks)| Room {
            id,
            kind,
            name,
            topic,
            incarnation,
            first_seq,
            head,
            role,
            members,
            created,
            slow_mode_ms: marks.0,
            retention_ms: marks.4,
            visibility: if marks.4 % 2 == 0 { Visibility::All } else { Visibility::SinceJoin },
            knocks: marks.0 % 2 == 0,
            rights: marks.5,
            read_seq: marks.1,
            unread: marks.2,
            mentions: marks.3,
        })
}

fn member() -> impl Strategy<Value = Member> {
    (user(), "\\PC{0,20}", "\\PC{0,20}", option::of(room_role()))
        .prop_map(|(user, username, display_name, role)| Member { user, username, display_name, role })
}

fn appended() -> impl Strategy<Value = Appended> {
    (seq(), time(), any::<bool>(), any::<bool>()).prop_map(|(seq, time, altered, duplicate)| Appended {
        seq,
        time,
        altered,
        duplicate,
    })
}

pub(crate) fn resumed() -> impl Strategy<Value = Resumed> {
    let outcomes = vec![
        ResumeOutcome::Recovered,
        ResumeOutcome::GapTooLong,
        ResumeOutcome::IncarnationChanged,
        ResumeOutcome::Refused,
    ];
    (room_id(), incarnation(), seq(), seq(), select(outcomes)).prop_map(
        |(room, incarnation, first_seq, head, outcome)| Resumed { room, incarnation, first_seq, head, outcome },
    )
}

pub(crate) fn envelopes() -> impl Strategy<Value = Vec<Envelope>> {
    let payload = prop_oneof![3 => entry().prop_map(|entry| encode_entry(&entry)), 1 => vec(any::<u8>(), 0..40).prop_map(Bytes::from)];
    let plain = (seq(), time(), any::<u32>(), payload).prop_map(|(seq, time, rev, payload)| Envelope {
        seq,
        time,
        rev,
        payload,
        rewritten: None,
    });
    let plain = plain.boxed();
    let envelope = (plain.clone(), option::weighted(0.2, plain))
        .prop_map(|(envelope, rewritten)| Envelope { rewritten: rewritten.map(Box::new), ..envelope });
    // A page as a server makes it: what does not fit is left for the next.
    vec(envelope, 0..20).prop_map(|mut entries| {
        entries.truncate(confab_protocol::codec::page_len(&entries));
        entries
    })
}

fn page() -> impl Strategy<Value = Page> {
    let reaction = ("\\PC{1,4}", any::<u32>(), any::<bool>()).prop_map(|(emoji, count, mine)| ReactionCount {
        emoji,
        count,
        mine,
    });
    let state =
        (seq(), any::<bool>(), any::<u32>(), vec(reaction, 0..3)).prop_map(|(seq, pinned, replies, reactions)| {
            let shadowed = replies % 2 == 1;
            MessageState { seq, pinned, replies, reactions, shadowed }
        });
    (room_id(), incarnation(), envelopes(), seq(), seq(), seq(), vec(state, 0..5)).prop_map(
        |(room, incarnation, entries, next, first_seq, head, states)| Page {
            room,
            incarnation,
            entries,
            next,
            first_seq,
            head,
            states,
        },
    )
}

pub(crate) fn reject() -> impl Strategy<Value = Reject> {
    (any::<u16>(), server_text(), any::<u32>()).prop_map(|(code, detail, retry_after_ms)| Reject {
        code,
        detail,
        retry_after_ms,
    })
}

pub(crate) fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        Just(Reply::Ok),
        time().prop_map(Reply::Pong),
        session().prop_map(Reply::Session),
        identity().prop_map(Reply::Authenticated),
        room().prop_map(Reply::Room),
        (vec(room(), 0..30), any::<u128>())
            .prop_map(|(rooms, next)| Reply::Rooms { rooms, next: RoomId::from_u128(next) }),
        (vec(member(), 0..30), any::<u128>())
            .prop_map(|(members, next)| Reply::Members { members, next: UserId::from_u128(next) }),
        vec(session_info(), 0..20).prop_map(Reply::Sessions),
        super::moderation::reply(),
        appended().prop_map(Reply::Appended),
        case().prop_map(Reply::Held),
        (token(), time()).prop_map(|(token, expires)| Reply::Invited { token, expires }),
        page().prop_map(Reply::Page),
        vec(resumed(), 0..=RESUME_CURSORS_MAX).prop_map(Reply::Resumed),
        (hits(), option::of(found_at())).prop_map(|(hits, next)| Reply::Found { hits, next }),
        (any::<u32>(), vec((user(), presence()), 0..=PRESENCE_CONNECTIONS_MAX))
            .prop_map(|(count, users)| Reply::Here { count, users }),
    ]
}

fn session_info() -> impl Strategy<Value = SessionInfo> {
    (device(), "\\PC{0,20}", time(), time(), any::<bool>(), any::<bool>()).prop_map(
        |(device, name, created, seen, current, is_key)| SessionInfo { device, name, created, seen, current, is_key },
    )
}

/// What is found is told as it reads now: without what it rewrites.
fn hits() -> impl Strategy<Value = Vec<Hit>> {
    let hit = |message: Envelope| {
        room_id().prop_map(move |room| Hit { room, message: Envelope { rewritten: None, ..message.clone() } })
    };
    envelopes().prop_flat_map(move |messages| messages.into_iter().map(hit).collect::<Vec<_>>())
}

pub(crate) fn ephemeral() -> impl Strategy<Value = Ephemeral> {
    let news = prop_oneof![
        (user(), any::<u32>()).prop_map(|(user, for_ms)| News::Typing { user, for_ms }),
        vec((user(), option::of(presence())), 0..=PRESENCE_CONNECTIONS_MAX).prop_map(News::Here),
        any::<u32>().prop_map(News::Count),
        Just(News::Missed),
    ];
    (room_id(), news).prop_map(|(room, news)| Ephemeral { room, news })
}

pub(crate) fn push() -> impl Strategy<Value = Push> {
    let entries = (room_id(), incarnation(), envelopes())
        .prop_map(|(room, incarnation, entries)| Push::Entries(EntriesPush { room, incarnation, entries }));
    prop_oneof![8 => entries, 2 => server_text().prop_map(Push::Notice), 4 => ephemeral().prop_map(Push::Ephemeral)]
}

pub(crate) fn server_frame() -> impl Strategy<Value = ServerFrame> {
    let result = prop_oneof![4 => reply().prop_map(Ok), 1 => reject().prop_map(Err)];
    prop_oneof![
        1 => welcome().prop_map(ServerFrame::Welcome),
        6 => (any::<u32>(), result).prop_map(|(id, result)| ServerFrame::Reply { id, result }),
        3 => push().prop_map(ServerFrame::Push),
        1 => go_away().prop_map(ServerFrame::GoAway),
    ]
}

// ---------------------------------------------------------------------------------- what a log holds

fn amended() -> impl Strategy<Value = EntryContent> {
    let sanction = (user(), sanction_kind(), option::of((1..=u64::MAX).prop_map(Millis)), reason())
        .prop_map(|(user, kind, until, reason)| EntryContent::Sanction(Sanction { user, kind, until, reason }));
    let settings = (room_name(), topic(), any::<u32>(), any::<u64>(), visibility(), any::<bool>(), rights()).prop_map(
        |(name, topic, slow_mode_ms, retention_ms, visibility, knocks, rights)| {
            EntryContent::Settings(RoomSettings { name, topic, slow_mode_ms, retention_ms, visibility, knocks, rights })
        },
    );
    prop_oneof![
        seq().prop_map(EntryContent::Edit),
        (vec(seq(), 1..=DELETE_MAX), any::<bool>())
            .prop_map(|(seqs, by_moderator)| EntryContent::Deletion { seqs, by_moderator }),
        any::<bool>().prop_map(|by_moderator| EntryContent::Tombstone { by_moderator }),
        (seq(), emoji(), any::<bool>()).prop_map(|(seq, emoji, removed)| EntryContent::Reaction {
            seq,
            emoji,
            removed
        }),
        (seq(), any::<bool>()).prop_map(|(seq, removed)| EntryContent::Pin { seq, removed }),
        settings,
        sanction,
        Just(EntryContent::Knock),
        body().prop_map(EntryContent::Notice),
    ]
}

pub(crate) fn entry() -> impl Strategy<Value = Entry> {
    let change = select(vec![MembershipChange::Joined, MembershipChange::Left, MembershipChange::RoleChanged]);
    let membership = (user(), change, room_role(), display_name())
        .prop_map(|(user, change, role, display_name)| EntryContent::Membership { user, change, role, display_name });
    let note = prop_oneof![
        Just(SelfNote::AccountCreated),
        Just(SelfNote::ProfileChanged),
        room_id().prop_map(SelfNote::Joined),
        room_id().prop_map(SelfNote::Left),
        (room_id(), seq()).prop_map(|(room, seq)| SelfNote::Read(room, seq))
    ];
    let content = prop_oneof![
        1 => Just(EntryContent::Void),
        4 => (body(), reference(), vec(user(), 0..=MENTIONS_MAX))
            .prop_map(|(body, reply_to, mentions)| EntryContent::Message(Message { body, reply_to, mentions })),
        3 => amended(),
        1 => (room_name(), topic()).prop_map(|(name, topic)| EntryContent::RoomCreated { name, topic }),
        2 => membership,
        1 => note.prop_map(EntryContent::SelfNote),
    ];
    (any::<u128>(), any::<u128>(), content).prop_map(|(author, client_id, content)| Entry {
        author: UserId::from_u128(author),
        client_id: ClientId::from_u128(client_id),
        content,
    })
}
