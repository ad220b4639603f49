//! The log: days as rooms, nicks as accounts, lines in file order.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail};
use confab_client::model::DisplayName;

/// The account that reads everything back.
pub(crate) const READER: &str = "replay-reader";

#[derive(clap::Args, Clone)]
pub(crate) struct LogArgs {
    /// The chat log; `.gz` is read through gzip.
    pub(crate) log: PathBuf,
    /// At most so many messages, from the start of each day; 0 takes all.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) limit: usize,
    /// Rooms are called this and the day.
    #[arg(long, default_value = "ubuntu-", value_name = "PREFIX")]
    pub(crate) prefix: String,
}

/// One line.
pub(crate) struct Post {
    /// In the file, from 1.
    pub(crate) line: usize,
    /// Since midnight.
    pub(crate) minute: u32,
    /// Index into [`ChatLog::nicks`].
    pub(crate) nick: usize,
    pub(crate) text: String,
}

/// One room.
pub(crate) struct Day {
    pub(crate) room: String,
    pub(crate) posts: Vec<Post>,
}

pub(crate) struct ChatLog {
    /// In the order of their first line in the whole file, whatever the limit.
    pub(crate) nicks: Vec<String>,
    pub(crate) days: Vec<Day>,
}

impl ChatLog {
    pub(crate) fn read(args: &LogArgs) -> anyhow::Result<Self> {
        let (input, child) = open(&args.log)?;
        let mut reading = Reading::default();
        for (index, line) in BufReader::new(input).lines().enumerate() {
            let line = line.with_context(|| format!("{}:{}", args.log.display(), index + 1))?;
            reading.take(index + 1, &line, args).with_context(|| format!("{}:{}", args.log.display(), index + 1))?;
        }
        if let Some(mut child) = child
            && !child.wait()?.success()
        {
            bail!("gzip cannot read {}", args.log.display());
        }
        let mut log = Self { nicks: reading.nicks, days: reading.days };
        log.limit(args.limit);
        println!(
            "{}: {} messages, {} rooms, {} authors",
            args.log.display(),
            log.len(),
            log.days.len(),
            log.authors().len()
        );
        Ok(log)
    }

    /// Keeps about as many lines of each day.
    fn limit(&mut self, limit: usize) {
        if limit == 0 {
            return;
        }
        let each = limit.div_ceil(self.days.len().max(1));
        let mut left = limit;
        for day in &mut self.days {
            day.posts.truncate(each.min(left));
            left -= day.posts.len();
        }
        self.days.retain(|day| !day.posts.is_empty());
    }

    /// How many messages there are.
    pub(crate) fn len(&self) -> usize {
        self.days.iter().map(|day| day.posts.len()).sum()
    }

    /// Who says something, ascending.
    fn authors(&self) -> Vec<usize> {
        let mut authors: Vec<usize> = self.days.iter().flat_map(|day| &day.posts).map(|post| post.nick).collect();
        authors.sort_unstable();
        authors.dedup();
        authors
    }

    pub(crate) fn write_accounts(&self, users: &Path, names: Option<&Path>) -> anyhow::Result<()> {
        let (mut lines, mut plain) = (String::new(), String::new());
        let authors = self.authors();
        for nick in &authors {
            writeln!(lines, "{}\t{}", username(*nick), self.display_name(*nick)?)?;
            writeln!(plain, "{}", username(*nick))?;
        }
        writeln!(lines, "{READER}\tReplay reader")?;
        writeln!(plain, "{READER}")?;
        std::fs::write(users, lines).with_context(|| users.display().to_string())?;
        println!("{}: {} accounts and {READER}", users.display(), authors.len());
        if let Some(names) = names {
            std::fs::write(names, plain).with_context(|| names.display().to_string())?;
        }
        Ok(())
    }

    /// The nick, less the spaces at its ends that some logs have and no display name may.
    pub(crate) fn display_name(&self, nick: usize) -> anyhow::Result<DisplayName> {
        let nick = self.nicks.get(nick).context("no such nick")?;
        DisplayName::parse(nick.trim()).with_context(|| format!("{nick:?} as a display name"))
    }
}

/// The account of a nick.
pub(crate) fn username(nick: usize) -> String {
    format!("nick-{}", nick + 1)
}

#[derive(Default)]
struct Reading {
    nicks: Vec<String>,
    nick_index: HashMap<String, usize>,
    days: Vec<Day>,
    day_index: HashMap<String, usize>,
}

impl Reading {
    fn take(&mut self, number: usize, line: &str, args: &LogArgs) -> anyhow::Result<()> {
        let mut fields = line.splitn(4, '\t');
        let (Some(day), Some(time), Some(nick), Some(text)) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            bail!("not day, time, nick, text")
        };
        let (hour, minute) = time.split_once(':').context("a time is HH:MM")?;
        let minute = hour.parse::<u32>()? * 60 + minute.parse::<u32>()?;
        let nick = *self.nick_index.entry(nick.to_owned()).or_insert_with(|| {
            self.nicks.push(nick.to_owned());
            self.nicks.len() - 1
        });
        let day = *self.day_index.entry(day.to_owned()).or_insert_with(|| {
            self.days.push(Day { room: format!("{}{day}", args.prefix), posts: Vec::new() });
            self.days.len() - 1
        });
        if let Some(day) = self.days.get_mut(day) {
            day.posts.push(Post { line: number, minute, nick, text: text.to_owned() });
        }
        Ok(())
    }
}

fn open(path: &Path) -> anyhow::Result<(Box<dyn Read>, Option<Child>)> {
    if path.extension().is_none_or(|extension| extension != "gz") {
        let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
        return Ok((Box::new(file), None));
    }
    let spawned = Command::new("gzip").arg("-dc").arg(path).stdout(Stdio::piped()).spawn();
    let mut child = spawned.context("gzip is needed to read .gz")?;
    let output = child.stdout.take().context("gzip has no output")?;
    Ok((Box::new(output), Some(child)))
}
