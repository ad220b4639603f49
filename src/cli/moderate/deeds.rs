//! What moderators do to messages, people and rooms. Each is one command of the protocol; the server says who may.

use clap::Subcommand;
use confab_protocol::command::{
    Admit, CaseFilter, Command, Delete, ListCases, Pin, Reply, SanctionUser, SetRole, UpdateRoom,
};
use confab_protocol::limits::{DELETE_MAX, INVITE_USES_MAX};
use confab_protocol::model::{CaseId, CaseKind, Reason, RoomId, RoomRole, SanctionKind, Seq, UserId};

use super::desk::{Desk, unexpected};
use super::shown::{one_line, when};
use super::{server, words};
use crate::cli::chat::say;
use crate::cli::duration;

/// Pages of sanctions that somebody is looked for on.
const PAGES_MAX: usize = 20;

#[derive(Subcommand)]
pub(super) enum Deed {
    /// Delete messages, all of them or none.
    Delete {
        /// The room, by name or id.
        #[arg(long, value_name = "ROOM")]
        room: String,
        /// The messages; at most 100.
        #[arg(
            value_name = "SEQ",
            required = true,
            num_args = 1..=DELETE_MAX,
            value_parser = clap::value_parser!(u64).range(1..)
        )]
        seqs: Vec<u64>,
    },
    /// Let somebody read, and write nothing, in a room.
    Mute(Lasting),
    /// Put somebody out of a room; they may come back.
    Kick(Whom),
    /// Put somebody out of a room, and do not let them come back.
    Ban(Lasting),
    /// What they say in a room from now on is seen by them alone, and by moderators in the history; they are not told.
    Shadow(Lasting),
    /// End a mute, ban or shadow of somebody in a room.
    Lift(Whom),
    /// Give somebody another role in a room.
    Role {
        /// The room, by name or id.
        #[arg(long, value_name = "ROOM")]
        room: String,
        /// By user name, of a member of the room, or id.
        who: String,
        /// owner, admin, moderator, member or guest.
        #[arg(value_parser = words::room_role)]
        role: RoomRole,
    },
    /// Set the slow mode of a room: the least time between two messages of a member.
    Slow {
        /// The room, by name or id.
        #[arg(long, value_name = "ROOM")]
        room: String,
        /// As 30s or 5m, at most 6h; or off.
        #[arg(value_parser = words::slow_mode)]
        time: u32,
    },
    /// Pin a message.
    Pin {
        /// The room, by name or id.
        #[arg(long, value_name = "ROOM")]
        room: String,
        /// The message.
        #[arg(value_parser = clap::value_parser!(u64).range(1..))]
        seq: u64,
        /// Instead, take the pin away.
        #[arg(long)]
        remove: bool,
    },
    /// Let somebody in who knocked.
    Admit {
        /// The room, by name or id.
        #[arg(long, value_name = "ROOM")]
        room: String,
        /// Their knock.
        #[arg(value_parser = clap::value_parser!(u64).range(1..))]
        seq: u64,
    },
    /// Print a token of an invitation into a room.
    Invite {
        /// The room, by name or id.
        #[arg(long, value_name = "ROOM")]
        room: String,
        /// How many may come with it.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(INVITE_USES_MAX)))]
        uses: u32,
        /// How long it is good, as 30m, 12h or 7d; at most 30d.
        #[arg(long = "for", value_name = "TIME", default_value = "1d", value_parser = duration)]
        time: u64,
    },
    /// What is done to accounts on the whole server, by those who moderate it.
    #[command(subcommand)]
    Server(server::Deed),
}

// Somebody in a room, and why. A doc comment here would be taken for what the command does.
#[derive(clap::Args)]
pub(super) struct Whom {
    /// The room, by name or id.
    #[arg(long, value_name = "ROOM")]
    room: String,
    /// By user name, of a member of the room, or id.
    who: String,
    /// Why; everybody in the room reads that, of a shadow moderators alone.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, value_parser = words::because)]
    because: Reason,
}

// As above, and until when.
#[derive(clap::Args)]
pub(super) struct Lasting {
    #[command(flatten)]
    whom: Whom,
    /// For how long, as 30m, 12h or 7d; until it is lifted otherwise.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    time: Option<u64>,
}

pub(super) async fn act(desk: &mut Desk, deed: Deed) -> anyhow::Result<()> {
    match deed {
        Deed::Delete { room, seqs } => {
            let room = desk.find_room(&room).await?;
            let named: Vec<String> = seqs.iter().map(|seq| format!("#{seq}")).collect();
            let seqs = seqs.into_iter().map(Seq).collect();
            let delete = Command::Delete(Delete { write: desk.write(room), seqs });
            append(desk, delete, &format!("Deleted: {}", named.join(", "))).await
        }
        Deed::Mute(Lasting { whom, time }) => sanction(desk, SanctionKind::Mute, whom, time).await,
        Deed::Kick(whom) => sanction(desk, SanctionKind::Kick, whom, None).await,
        Deed::Ban(Lasting { whom, time }) => sanction(desk, SanctionKind::Ban, whom, time).await,
        Deed::Shadow(Lasting { whom, time }) => sanction(desk, SanctionKind::Shadow, whom, time).await,
        Deed::Lift(whom) => sanction(desk, SanctionKind::Lift, whom, None).await,
        Deed::Role { room, who, role } => {
            let room = desk.find_room(&room).await?;
            let user = desk.find_person(&who, Some(room)).await?;
            let (person, named) = (desk.names.person(user), words::room_role_name(role));
            let set = Command::SetRole(SetRole { write: desk.write(room), user, role });
            append(desk, set, &format!("{person} is {named} of {} now.", desk.names.room(room))).await
        }
        Deed::Slow { room, time } => {
            let room = desk.find_room(&room).await?;
            let update = Command::UpdateRoom(slow_mode(desk, room, time));
            append(desk, update, &format!("The slow mode of {} is another one now.", desk.names.room(room))).await
        }
        Deed::Pin { room, seq, remove } => {
            let room = desk.find_room(&room).await?;
            let pin = Command::Pin(Pin { write: desk.write(room), seq: Seq(seq), remove });
            let done = if remove { "is pinned no more" } else { "is pinned" };
            append(desk, pin, &format!("#{seq} {done}.")).await
        }
        Deed::Admit { room, seq } => {
            let room = desk.find_room(&room).await?;
            let admit = Command::Admit(Admit { write: desk.write(room), seq: Seq(seq) });
            append(desk, admit, &format!("Who knocked in #{seq} is in.")).await
        }
        Deed::Invite { room, uses, time } => {
            let room = desk.find_room(&room).await?;
            print_token(desk, Command::Invite { room, uses, duration_ms: time }).await
        }
        Deed::Server(deed) => server::act(desk, deed).await,
    }
}

/// The token alone goes to standard output, for who pipes it.
pub(super) async fn print_token(desk: &Desk, ask: Command) -> anyhow::Result<()> {
    let Reply::Invited { token, expires } = desk.ask(ask).await? else { return Err(unexpected()) };
    say(&one_line(token.expose()))?;
    eprintln!("It is good until {}.", when(expires));
    Ok(())
}

async fn sanction(desk: &mut Desk, kind: SanctionKind, whom: Whom, time: Option<u64>) -> anyhow::Result<()> {
    let Whom { room, who, because } = whom;
    let room = desk.find_room(&room).await?;
    let user = match kind {
        SanctionKind::Lift => find_sanctioned(desk, &who, room).await?,
        _ => desk.find_person(&who, Some(room)).await?,
    };
    let what = match kind {
        SanctionKind::Mute => "is muted in",
        SanctionKind::Kick => "was put out of",
        SanctionKind::Ban => "is banned from",
        SanctionKind::Lift => "is restricted no more in",
        SanctionKind::Shadow => "is heard by nobody else in",
    };
    let done = format!("{} {what} {}.", desk.names.person(user), desk.names.room(room));
    let duration_ms = time.unwrap_or_default();
    let sanction = SanctionUser { write: desk.write(room), user, kind, duration_ms, reason: because };
    append(desk, Command::Sanction(sanction), &done).await
}

/// Who is banned is no member any more, and found by what was done to them.
async fn find_sanctioned(desk: &mut Desk, named: &str, room: RoomId) -> anyhow::Result<UserId> {
    if named.parse::<UserId>().is_ok() {
        return desk.find_person(named, Some(room)).await;
    }
    let username = named.trim_start_matches('@').to_ascii_lowercase();
    let (state, kind, about) = (CaseFilter::Any, Some(CaseKind::Sanction), None);
    let mut list = ListCases { room: Some(room), state, kind, mine: false, about, before: CaseId::NONE, limit: 0 };
    for _ in 0..PAGES_MAX {
        let ask = Command::ListCases(list);
        let Reply::Cases { cases, next } = desk.ask(ask).await? else { return Err(unexpected()) };
        desk.learn_people(cases.iter().map(|case| case.subject)).await?;
        let is_it = |user: &UserId| desk.names.people.get(user).is_some_and(|member| member.username == username);
        if let Some(user) = cases.iter().map(|case| case.subject).find(is_it) {
            return Ok(user);
        }
        if next.is_none() {
            break;
        }
        list.before = next;
    }
    desk.find_person(named, Some(room)).await
}

fn slow_mode(desk: &Desk, room: RoomId, time: u32) -> UpdateRoom {
    UpdateRoom {
        write: desk.write(room),
        name: None,
        topic: None,
        slow_mode_ms: Some(time),
        retention_ms: None,
        visibility: None,
        knocks: None,
        rights: None,
    }
}

/// Asks for what the room's log has then, and tells whether it has.
async fn append(desk: &Desk, command: Command, done: &str) -> anyhow::Result<()> {
    match desk.ask(command).await? {
        Reply::Appended(_) => say(done),
        Reply::Ok => say("It is so already."),
        _ => Err(unexpected()),
    }
}
