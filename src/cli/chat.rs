//! `confab chat`: talk in a room from the terminal. How it comes in, leaves and prints is shared with `confab mod`.

use std::collections::{HashMap, HashSet};
use std::io::Write;

use anyhow::{Context, bail};
use confab_client::{Client, Command, Event, Options, Reply, Room, Server, Session};
use confab_protocol::codec::decode_entry;
use confab_protocol::command::{EntriesPush, Member, Secret};
use confab_protocol::model::{DeviceName, Entry, EntryContent, Envelope, MembershipChange, Seq, UserId, Username};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::config::Config;

/// Messages shown on entry.
const HISTORY: usize = 20;
/// How long leaving may take.
const GOODBYE: std::time::Duration = std::time::Duration::from_secs(1);

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    access: Access,
    /// The room to talk in; it is made if there is none.
    #[arg(default_value = "general")]
    room: String,
    /// Print in front of each line its place in the log, as #17: the SEQ of `confab mod`.
    #[arg(long)]
    numbers: bool,
}

// Which server, and as whom. A doc comment here would be taken for what the command does.
#[derive(clap::Args)]
pub(super) struct Access {
    /// The server; by default the one of this configuration on this machine, over WebSocket.
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// Over QUIC, when no server is given.
    #[arg(long)]
    quic: bool,
    /// SHA-256 of the server's certificate; by default that of the local development certificate.
    #[arg(long, value_name = "HEX")]
    pin: Option<String>,
    /// Who you are.
    #[arg(long)]
    user: String,
    /// Your password; without it CONFAB_PASSWORD or the first line of standard input is taken.
    #[arg(long, env = "CONFAB_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// Make the account first.
    #[arg(long)]
    register: bool,
    /// With --register: the token that a new server printed.
    #[arg(long, value_name = "TOKEN")]
    owner_token: Option<String>,
    /// With --register, where registration is by invitation.
    #[arg(long, value_name = "TOKEN", requires = "register")]
    invite: Option<String>,
}

pub(super) type Events = tokio::sync::mpsc::Receiver<Event>;
pub(super) type Lines = tokio::io::Lines<BufReader<tokio::io::Stdin>>;

pub(super) fn run(config: &Config, args: Args) -> anyhow::Result<()> {
    run_to_end(chat(config, args))
}

/// What somebody waits for at a terminal, or reads in a pipe.
pub(super) fn run_to_end(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = super::runtime()?;
    let result = runtime.block_on(work);
    // A read of standard input cannot be interrupted; do not wait for it.
    runtime.shutdown_background();
    match result {
        // Whoever read our output has heard enough.
        Err(error) if error.downcast_ref::<std::io::Error>().is_some_and(is_closed_pipe) => Ok(()),
        other => other,
    }
}

fn is_closed_pipe(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::BrokenPipe
}

fn server(config: &Config, access: &Access) -> anyhow::Result<Server> {
    let local = || match access.quic {
        true => format!("quic://{}", config.listen.quic),
        false => format!("ws://{}", config.listen.http),
    };
    let server = Server::parse(&access.server.clone().unwrap_or_else(local))?;
    if let Some(pin) = &access.pin {
        return Ok(server.pin(pin)?);
    }
    match std::fs::read_to_string(config.data_dir.join("dev-cert/fingerprint")) {
        Ok(fingerprint) if access.server.is_none() => Ok(server.pin(&fingerprint)?),
        _ => Ok(server),
    }
}

struct Chat {
    client: Client,
    room: Room,
    names: HashMap<UserId, String>,
    numbers: bool,
}

async fn chat(config: &Config, args: Args) -> anyhow::Result<()> {
    let mut lines = typed();
    let (client, mut events) = connect(config, &args.access)?;
    let room = unless_stopped(&mut events, enter(&client, &args, &mut lines)).await?;
    let mut chat = Chat { client, room, names: HashMap::new(), numbers: args.numbers };
    let talked = chat.talk(&mut events, &mut lines).await;
    leave(chat.client, events).await;
    talked
}

pub(super) fn typed() -> Lines {
    BufReader::new(tokio::io::stdin()).lines()
}

pub(super) fn connect(config: &Config, access: &Access) -> anyhow::Result<(Client, Events)> {
    Ok(Client::connect(Options::new(server(config, access)?)))
}

/// Does something while nothing else is to be heard of the session than that it ends.
pub(super) async fn unless_stopped<T>(
    events: &mut Events,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let done = tokio::select! {
        done = work => done,
        stopped = until_stopped(events) => Err(stopped),
    };
    match done {
        // A request that failed because the link did: say why the link did.
        Err(error) if is_lost(&error) => {
            let why = tokio::time::timeout(GOODBYE, until_stopped(events)).await;
            Err(why.unwrap_or(error))
        }
        done => done,
    }
}

/// Ends a session that is logged in. No other handle may be left.
pub(super) async fn leave(client: Client, mut events: Events) {
    // Each login is a device of its own, and this one is not needed any more.
    let _ = tokio::time::timeout(GOODBYE, client.request(Command::Logout)).await;
    // Without handles the session says goodbye; its events end then.
    drop(client);
    let goodbye = async { while events.recv().await.is_some() {} };
    let _ = tokio::time::timeout(GOODBYE, goodbye).await;
}

impl Chat {
    async fn talk(&mut self, events: &mut Events, lines: &mut Lines) -> anyhow::Result<()> {
        let chat = self;
        chat.show_room().await?;
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(Event::Entries(push)) => chat.show_push(&push).await?,
                    Some(Event::Offline { close, .. }) => say(&format!("-- offline ({}), trying again", close.reason))?,
                    Some(Event::Welcome(_)) => {}
                    Some(Event::Gap { .. }) => say("-- some messages were skipped; /join this room to read the newest")?,
                    Some(Event::Lost(_)) => say("-- you are not in this room any more")?,
                    Some(Event::Notice(text)) => say(&format!("-- {text}"))?,
                    Some(Event::Stopped(close)) => bail!("{} ({})", close.reason, close.code),
                    Some(Event::Session(_) | Event::Reply { .. } | Event::Ephemeral(_)) => {}
                    None => bail!("the session has ended"),
                },
                line = lines.next_line() => match line? {
                    None => return Ok(()),
                    Some(line) if line.trim() == "/quit" => return Ok(()),
                    Some(line) => chat.handle_line(line.trim()).await?,
                },
            }
        }
    }
}

fn is_lost(error: &anyhow::Error) -> bool {
    use confab_client::{Error, RejectCode};
    match error.downcast_ref::<Error>() {
        Some(Error::Stopped) => true,
        Some(Error::Rejected(reject)) => reject.is(RejectCode::Unavailable),
        _ => false,
    }
}

async fn until_stopped(events: &mut Events) -> anyhow::Error {
    while let Some(event) = events.recv().await {
        match event {
            Event::Stopped(close) => return anyhow::anyhow!("{} ({})", close.reason, close.code),
            Event::Offline { close, .. } => return anyhow::anyhow!("cannot connect: {}", close.reason),
            _ => {}
        }
    }
    anyhow::anyhow!("the session has ended")
}

async fn enter(client: &Client, args: &Args, lines: &mut Lines) -> anyhow::Result<Room> {
    log_in(client, &args.access, lines).await?;
    Ok(client.join(&args.room).await?)
}

pub(super) async fn log_in(client: &Client, access: &Access, lines: &mut Lines) -> anyhow::Result<Session> {
    let password = match &access.password {
        Some(password) => password.clone(),
        None => {
            eprint!("password: ");
            lines.next_line().await?.context("no password was given")?
        }
    };
    if !access.register {
        return Ok(client.login(&access.user, &password).await?);
    }
    let Ok(username) = Username::parse(&access.user) else { bail!("{:?} cannot be a user name", access.user) };
    let register = confab_client::Register {
        username,
        password: Secret::new(password),
        display_name: None,
        device: DeviceName::parse("terminal").unwrap_or_else(|_| unreachable!("a fixed name")),
        owner_token: access.owner_token.clone().map(Secret::new),
        invite: access.invite.clone().map(Secret::new),
    };
    match client.request(Command::Register(register)).await? {
        Reply::Session(session) => Ok(session),
        _ => Err(confab_client::Error::Unexpected.into()),
    }
}

impl Chat {
    async fn show_room(&mut self) -> anyhow::Result<()> {
        say(&format!("-- {} ({} members); /join ROOM, /who, /quit", self.room.name, self.room.members))?;
        let page = self.client.history(self.room.id, Seq(0), HISTORY).await?;
        let push = EntriesPush { room: self.room.id, incarnation: page.incarnation, entries: page.entries };
        self.show_push(&push).await?;
        self.client.follow(&self.room, page.head).await;
        Ok(())
    }

    async fn handle_line(&mut self, line: &str) -> anyhow::Result<()> {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("", _) => Ok(()),
            ("/join", name) => match self.client.join(name.trim()).await {
                Ok(room) => {
                    self.client.unfollow(self.room.id).await;
                    self.room = room;
                    self.show_room().await
                }
                Err(error) => say(&format!("-- {error}")),
            },
            ("/who", _) => self.show_members().await,
            (command, _) if command.starts_with('/') => say("-- /join ROOM, /who, /quit"),
            _ => match self.client.say(self.room.id, line).await {
                Ok(_) => Ok(()),
                Err(confab_client::Error::Stopped) => bail!("the session has ended"),
                Err(error) => say(&format!("-- not sent: {error}")),
            },
        }
    }

    async fn show_members(&mut self) -> anyhow::Result<()> {
        let ask = Command::ListMembers { room: self.room.id, after: UserId::NONE, limit: 0 };
        if let Reply::Members { members, next } = self.client.request(ask).await? {
            let here = match self.client.request(Command::WhoIsHere(self.room.id)).await? {
                Reply::Here { users, .. } => users.into_iter().map(|(user, _)| user).collect(),
                _ => HashSet::new(),
            };
            let name = |member: Member| {
                let mark = if here.contains(&member.user) { " (here)" } else { "" };
                format!("{}{mark}", printable(&member.display_name))
            };
            let names: Vec<String> = members.into_iter().map(name).collect();
            let more = if next.is_none() { "" } else { " ..." };
            say(&format!("-- {}{more}", names.join(", ")))?;
        }
        Ok(())
    }

    async fn show_push(&mut self, push: &EntriesPush) -> anyhow::Result<()> {
        let read = |entry: &Envelope| Some((entry.seq, decode_entry(&entry.payload).ok()?));
        let entries: Vec<(Seq, Entry)> = push.entries.iter().filter_map(read).collect();
        self.learn_names(entries.iter().map(|(_, entry)| entry.author)).await?;
        if push.room == self.room.id {
            for (seq, entry) in &entries {
                match self.render(entry) {
                    Some(line) if self.numbers => say(&format!("#{} {line}", seq.0))?,
                    Some(line) => say(&line)?,
                    None => {}
                }
            }
        }
        Ok(())
    }

    fn render(&self, entry: &Entry) -> Option<String> {
        let name = self.names.get(&entry.author).map_or("?", String::as_str);
        match &entry.content {
            EntryContent::Message(message) => {
                Some(format!("{}: {}", printable(name), printable(message.body.as_str())))
            }
            EntryContent::Membership { change, display_name, .. } => {
                let verb = match change {
                    MembershipChange::Joined => "joined",
                    MembershipChange::Left => "left",
                    MembershipChange::RoleChanged => return None,
                };
                Some(format!("-- {} {verb}", printable(display_name.as_str())))
            }
            EntryContent::Knock => Some(format!("-- {} asks to be let in", printable(name))),
            EntryContent::Notice(body) => Some(format!("-- notice: {}", printable(body.as_str()))),
            _ => None,
        }
    }

    async fn learn_names(&mut self, authors: impl Iterator<Item = UserId>) -> anyhow::Result<()> {
        let mut unknown: Vec<UserId> = authors.filter(|author| !self.names.contains_key(author)).collect();
        unknown.sort_unstable();
        unknown.dedup();
        if !unknown.is_empty()
            && let Reply::Members { members, .. } = self.client.request(Command::Profiles(unknown)).await?
        {
            self.names.extend(members.into_iter().map(|member| (member.user, member.display_name)));
        }
        Ok(())
    }
}

/// A terminal obeys control characters; those of others are shown and not obeyed.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

pub(super) fn say(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
