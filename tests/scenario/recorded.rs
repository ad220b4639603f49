//! What is done to others, or to what others have, stands in the audit by its word, as who did it and what it was.

use std::collections::BTreeSet;

use confab::core::vocabulary;
use confab_protocol::codec::decode_audit;
use confab_protocol::command::{
    About, Admit, Appeal, AuditRecord, CaseFilter, CaseStep, Command, Delete, ListAudit, ListCases, Notice, Pin, Reply,
    Report, SanctionUser, SetRole, UpdateCase, UpdateRoom, Write,
};
use confab_protocol::model::{
    AuditId, Body, CaseDecision, CaseId, CaseText, Reason, ReportReason, RoomId, RoomRole, SanctionKind, Seq,
    ServerRole, UserId,
};

use crate::support::commands::{register, update_room};
use crate::support::raw::{Raw, Target, accounts, client_id, publish};
use crate::support::{TestServer, Transport};

/// By which word the audit has it that this was done; `None`: there is nothing to keep. A new command has no answer here,
/// and this does not compile until it has one.
const fn word(command: &Command) -> Option<&'static str> {
    Some(match command {
        // What others said. (What one takes back oneself is nobody's business.)
        Command::Delete(_) => "delete",
        Command::Pin(Pin { remove: false, .. }) => "pin",
        Command::Pin(_) => "unpin",
        // Rooms, and who comes into them.
        Command::UpdateRoom(_) => "settings",
        Command::Notice(_) => "notice",
        Command::Admit(_) => "admit",
        Command::Invite { .. } => "invite",
        // People in a room.
        Command::SetRole(_) => "role",
        Command::Sanction(SanctionUser { kind, .. }) => match kind {
            SanctionKind::Mute => "mute",
            SanctionKind::Kick => "kick",
            SanctionKind::Ban => "ban",
            SanctionKind::Lift => "lift",
            SanctionKind::Shadow => "shadow",
        },
        // Accounts.
        Command::Restrict { kind, .. } => match kind {
            SanctionKind::Mute => "server-mute",
            SanctionKind::Kick => "server-kick",
            SanctionKind::Ban => "server-ban",
            SanctionKind::Lift => "server-lift",
            SanctionKind::Shadow => "server-shadow",
        },
        Command::SetServerRole { .. } => "server-role",
        Command::IssueReset(_) => "reset-token",
        Command::InviteAccount { .. } => "invite-account",
        // Cases, by whoever moves them on.
        Command::Report(_) => "report",
        Command::Appeal(_) => "appeal",
        Command::UpdateCase(UpdateCase { step, .. }) => match step {
            CaseStep::Take => "take",
            CaseStep::LetGo => "let-go",
            CaseStep::Note(_) => "note",
            CaseStep::Decide(..) => "decide",
        },
        // One's own: what one says, is called and logs in by, and where one is. It stands in logs.
        Command::Publish(_) | Command::Edit(_) | Command::React(_) | Command::MarkRead { .. } => return None,
        Command::CreateRoom(_) | Command::Direct { .. } | Command::Knock(_) => return None,
        Command::JoinRoom(_) | Command::LeaveRoom(_) | Command::Unsubscribe(_) => return None,
        Command::Register(_) | Command::UpdateProfile(_) | Command::Login(_) | Command::Logout => return None,
        Command::Authenticate(_) | Command::Refresh(_) | Command::EndSession(_) => return None,
        Command::ChangePassword { .. } | Command::ResetPassword { .. } => return None,
        Command::Typing { .. } | Command::SetPresence(_) => return None,
        // Who reads what is kept nowhere.
        Command::Ping | Command::ListRooms { .. } | Command::ListMembers { .. } | Command::Profiles(_) => return None,
        Command::History(_) | Command::Sync { .. } | Command::Resume(_) | Command::Revisions { .. } => return None,
        Command::Search(_) | Command::WhoIsHere(_) | Command::Sessions => return None,
        Command::ListCases(_) | Command::Case(_) | Command::ListAudit(_) => return None,
    })
}

/// Whom it is done by, and to.
const OWNER: usize = 0;
const BOB: usize = 1;
const CAROL: usize = 2;

struct Company {
    raws: [Raw; 3],
    users: [UserId; 3],
    room: RoomId,
    seen: BTreeSet<&'static str>,
}

impl Company {
    /// The owner's room, with bob in it.
    async fn gather(server: &TestServer) -> Self {
        let target = Target::from(server);
        let (mut owner, _) = Raw::greet(&target, Transport::WebSocket, None).await;
        let register = register("owner", Some(&server.owner_token));
        let Reply::Session(session) = owner.request(register).await.unwrap() else { panic!() };
        let people = accounts(&server.config, &["bob", "carol"]).await;
        let mut bob = Raw::enter(&target, Transport::Quic, &people[0].1).await;
        let carol = Raw::enter(&target, Transport::WebSocket, &people[1].1).await;
        let room = owner.join("den").await.id;
        bob.join("den").await;
        let users = [session.identity.user, people[0].0, people[1].0];
        Self { raws: [owner, bob, carol], users, room, seen: BTreeSet::new() }
    }

    fn write(&self) -> Write {
        Write { room: self.room, client_id: client_id(), resend: false }
    }

    /// The newest record that the owner finds.
    async fn newest(&mut self) -> Option<(AuditId, AuditRecord)> {
        let list = ListAudit { room: None, user: None, case: None, plugin: None, before: AuditId::NONE, limit: 1 };
        let found = self.raws[OWNER].request(Command::ListAudit(list)).await.unwrap();
        let Reply::Audit { records, .. } = found else { panic!("{found:?}") };
        records.first().map(|entry| (entry.id, decode_audit(&entry.record).unwrap()))
    }

    /// Does it, and looks at what the audit has of it by then.
    async fn act(&mut self, who: usize, command: Command, detail: &str) -> Reply {
        let (name, word, before) = (command.name(), word(&command), self.newest().await);
        let reply = self.raws[who].request(command).await.unwrap_or_else(|reject| panic!("{name}: {reject}"));
        let after = self.newest().await;
        let Some(word) = word else {
            assert_eq!(after, before, "{name}");
            return reply;
        };
        let (id, record) = after.unwrap_or_else(|| panic!("{name} leaves no record"));
        assert_ne!(Some(id), before.map(|(id, _)| id), "{name} leaves no record");
        let told = (record.act.as_str(), record.actor, record.detail.as_str());
        assert_eq!(told, (word, self.users[who], detail), "{name}");
        assert!(vocabulary::has(&record), "{name} is not found by {word}");
        self.seen.insert(word);
        reply
    }

    async fn sanction(&mut self, user: usize, kind: SanctionKind, duration_ms: u64, detail: &str) {
        let (user, reason) = (self.users[user], Reason::parse("enough").unwrap());
        let sanction = SanctionUser { write: self.write(), user, kind, duration_ms, reason };
        self.act(OWNER, Command::Sanction(sanction), detail).await;
    }

    async fn restrict(&mut self, user: usize, kind: SanctionKind, duration_ms: u64, detail: &str) {
        let user = self.users[user];
        self.act(OWNER, Command::Restrict { user, kind, duration_ms }, detail).await;
    }

    async fn step(&mut self, case: CaseId, step: CaseStep, detail: &str) {
        self.act(OWNER, Command::UpdateCase(UpdateCase { case, step }), detail).await;
    }
}

fn seq(reply: &Reply) -> Seq {
    let Reply::Appended(appended) = reply else { panic!("{reply:?}") };
    appended.seq
}

fn words(text: &str) -> CaseText {
    CaseText::parse(text).unwrap()
}

/// The room's own part of it, to the end of who knocked and was let in.
async fn in_the_room(company: &mut Company) {
    let (room, bob) = (company.room, company.users[BOB]);
    let said = seq(&company.act(BOB, publish(room, client_id(), "hello"), "").await);
    for remove in [false, true] {
        let write = company.write();
        company.act(OWNER, Command::Pin(Pin { write, seq: said, remove }), "").await;
    }
    let settings = UpdateRoom { knocks: Some(true), ..update_room(company.write()) };
    company.act(OWNER, Command::UpdateRoom(settings), "").await;
    let knock = Command::Knock(company.write());
    let knock = seq(&company.act(CAROL, knock, "").await);
    let admit = Admit { write: company.write(), seq: knock };
    company.act(OWNER, Command::Admit(admit), "").await;
    let notice = Notice { write: company.write(), body: Body::parse("to all").unwrap() };
    company.act(OWNER, Command::Notice(notice), "").await;
    company.act(OWNER, Command::Invite { room, uses: 1, duration_ms: 60_000 }, "").await;
    let role = SetRole { write: company.write(), user: bob, role: RoomRole::Moderator };
    company.act(OWNER, Command::SetRole(role), "member -> moderator").await;

    let (about, reason) = (About::Message(said), ReportReason::Spam);
    let report = Report { room, about, reason, text: words("look") };
    let reported = company.act(CAROL, Command::Report(report), "").await;
    let Reply::Reported(case) = reported else { panic!("{reported:?}") };
    company.step(case, CaseStep::Take, "open -> taken").await;
    company.step(case, CaseStep::Note(words("I see")), "taken -> taken").await;
    company.step(case, CaseStep::LetGo, "taken -> open").await;
    company.step(case, CaseStep::Decide(CaseDecision::Dismiss, words("")), "dismiss: open -> decided").await;
    let delete = Delete { write: company.write(), seqs: vec![said] };
    company.act(OWNER, Command::Delete(delete), "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_to_others_stands_in_the_audit() {
    const HOUR_MS: u64 = 3600 * 1000;
    let server = TestServer::start_with(|config| config.plugins.chain.clear()).await;
    let mut company = Company::gather(&server).await;
    in_the_room(&mut company).await;

    company.sanction(CAROL, SanctionKind::Shadow, 0, "until lifted").await;
    company.sanction(CAROL, SanctionKind::Lift, 0, "").await;
    company.sanction(CAROL, SanctionKind::Mute, 60_000, "for 1m").await;
    company.sanction(CAROL, SanctionKind::Kick, 0, "").await;
    company.sanction(BOB, SanctionKind::Ban, 48 * HOUR_MS, "for 2d").await;
    let (room, state, before) = (None, CaseFilter::Any, CaseId::NONE);
    let mine = Command::ListCases(ListCases { room, state, kind: None, mine: true, about: None, before, limit: 1 });
    let found = company.act(CAROL, mine, "").await;
    let Reply::Cases { cases, .. } = found else { panic!("{found:?}") };
    let appeal = Appeal { case: cases[0].id, text: words("why?") };
    company.act(CAROL, Command::Appeal(appeal), "decided -> appealed").await;

    let bob = company.users[BOB];
    company.act(OWNER, Command::InviteAccount { uses: 1, duration_ms: HOUR_MS }, "").await;
    company.act(OWNER, Command::IssueReset(bob), "").await;
    let role = Command::SetServerRole { user: bob, role: ServerRole::Moderator };
    company.act(OWNER, role, "user -> moderator").await;
    company.restrict(BOB, SanctionKind::Shadow, 0, "none -> shadow, until lifted").await;
    company.restrict(BOB, SanctionKind::Mute, 12 * HOUR_MS, "shadow -> mute, for 12h").await;
    company.restrict(BOB, SanctionKind::Kick, 0, "").await;
    company.restrict(BOB, SanctionKind::Ban, 0, "mute -> ban, until lifted").await;
    company.restrict(BOB, SanctionKind::Lift, 0, "ban -> none").await;
    assert_eq!(company.seen.len(), 27, "{:?}", company.seen);
}
