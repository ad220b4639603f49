//! What was sent as what and how it fared: one line for each message, read back by `verify`.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, bail};
use confab_client::model::{ClientId, Millis, RoomId, Seq};

/// What came of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// It is in the room's log, perhaps changed by a plugin.
    Acked { seq: Seq, time: Millis, altered: bool },
    /// A moderator has it.
    Held,
    /// The server refused it.
    Rejected(u16),
    /// The client library would not send it; nobody asked the server.
    RefusedHere(u16),
}

/// One line of the record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    /// Of the log, from 1.
    pub(crate) line: usize,
    pub(crate) room: RoomId,
    pub(crate) client_id: ClientId,
    pub(crate) outcome: Outcome,
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\t{}\t{}\t", self.line, self.room, self.client_id)?;
        match self.outcome {
            Outcome::Acked { seq, time, altered } => {
                write!(f, "{}\t{}\t{}", seq.0, time.0, if altered { "altered" } else { "acked" })
            }
            Outcome::Held => f.write_str("0\t0\theld"),
            Outcome::Rejected(code) => write!(f, "0\t{code}\trejected"),
            Outcome::RefusedHere(code) => write!(f, "0\t{code}\trefused-here"),
        }
    }
}

impl FromStr for Sent {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> anyhow::Result<Self> {
        let fields: Vec<&str> = line.split('\t').collect();
        let [number, room, client_id, seq, value, outcome] = fields.as_slice() else { bail!("not six fields") };
        let acked = |altered| -> anyhow::Result<Outcome> {
            Ok(Outcome::Acked { seq: Seq(seq.parse()?), time: Millis(value.parse()?), altered })
        };
        let outcome = match *outcome {
            "acked" => acked(false)?,
            "altered" => acked(true)?,
            "held" => Outcome::Held,
            "rejected" => Outcome::Rejected(value.parse()?),
            "refused-here" => Outcome::RefusedHere(value.parse()?),
            other => bail!("an outcome {other:?}"),
        };
        Ok(Self { line: number.parse()?, room: room.parse()?, client_id: client_id.parse()?, outcome })
    }
}

/// Takes lines from all rooms.
pub(crate) struct Recorder(Mutex<BufWriter<File>>);

impl Recorder {
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::create(path).with_context(|| path.display().to_string())?;
        Ok(Self(Mutex::new(BufWriter::new(file))))
    }

    pub(crate) fn write(&self, sent: &Sent) -> anyhow::Result<()> {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(writeln!(file, "{sent}")?)
    }

    pub(crate) fn finish(&self) -> anyhow::Result<()> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).flush()?)
    }
}

/// A whole record, by line of the log.
pub(crate) struct Record(pub(crate) HashMap<usize, Sent>);

impl Record {
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let mut lines = HashMap::new();
        for (index, line) in text.lines().enumerate() {
            let sent: Sent = line.parse().with_context(|| format!("{}:{}", path.display(), index + 1))?;
            if lines.insert(sent.line, sent).is_some() {
                bail!("{}: line {} of the log stands there twice", path.display(), sent.line);
            }
        }
        Ok(Self(lines))
    }
}
