//! Hostile frames: millions of mutated golden frames through the codec and into both ends of a session, at the speed
//! of one core. What is asked: no panic, no memory that the frame did not pay for, and what became of them.

mod client_end;
mod server_end;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use bytes::Bytes;
use confab_fuzz::mutate::{Mutator, Shape};
use confab_fuzz::{corpus, drive};
use confab_protocol::codec::{decode_client_frame, decode_entry, decode_server_frame, encode_client_frame};
use confab_protocol::command::{ClientFrame, Command, Room};
use confab_protocol::model::EntryContent;

use self::client_end::ClientEnd;
use self::server_end::ServerEnd;
use crate::memory;
use crate::tally::{Tally, error_name};

/// The run ends then, whatever was asked for.
const TIME_MAX: Duration = Duration::from_secs(1_800);
/// After so many panics it is known that something is wrong.
const PANICS_MAX: u64 = 20;
/// A server takes lists of at most some hundred items: so much may decoding hold beside the texts of the frame, bytes.
const HELD_BYTES: usize = 16 * 1024;
/// The texts of a frame, each checked and copied; bytes for each byte of a client's frame or an entry.
const HELD_FACTOR: usize = 8;
/// A client takes what its server says: eight elements for each word of a frame, even where they are of no size
/// there. The longest of them here is a room, and a list that grows is for a moment there twice, once doubled.
const HELD_FACTOR_OF_SERVER_FRAMES: usize = 3 * size_of::<Room>();

/// So many frames; fails when one panics, makes the decoder hold too much, or when the time does not suffice.
pub(crate) fn run(count: u64, seed: u64) -> Result<(), String> {
    let corpora = ["client_frame", "server_frame", "entry"].map(corpus::load);
    let mut seeds = seed..;
    let [mut clients, mut servers, mut entries] =
        corpora.each_ref().map(|corpus| Mutator::new(corpus, Shape::Frame, seeds.next().unwrap_or_default()));
    // The encoder's buffer of this thread is made once, and is not a frame's.
    let _ = encode_client_frame(&ClientFrame::Request { id: 0, command: Ok(Command::Ping) });
    let mut ends = Ends::new(seed);
    let (start, held_before) = (now(), memory::held());
    let mut totals = Totals::default();
    while totals.frames < count && start.elapsed() < TIME_MAX && totals.panics < PANICS_MAX {
        let (target, input) = match totals.frames % 8 {
            0..=3 => ("client_frame", clients.next_input()),
            4..=6 => ("server_frame", servers.next_input()),
            _ => ("entry", entries.next_input()),
        };
        let frame = Bytes::copy_from_slice(input);
        let result = catch_unwind(AssertUnwindSafe(|| ends.take(target, &frame)));
        if totals.add(target, &frame, result.ok()) {
            ends = Ends { tally: ends.tally, ..Ends::new(seed.wrapping_add(totals.frames)) };
        }
        if totals.frames.is_multiple_of(1_000_000) {
            eprintln!("fuzz: {} frames, {:.0} s", totals.frames, start.elapsed().as_secs_f64());
        }
    }
    print!("{}", ends.tally.lines());
    println!("held at the end by sessions and counters: {} bytes", memory::held().saturating_sub(held_before));
    let peak = memory::peak_resident().map_or("unknown".into(), |bytes| format!("{:.1} MiB", bytes as f64 / 1048576.0));
    println!("peak resident memory of the process: {peak}");
    totals.print(start.elapsed(), seed);
    if totals.panics > 0 || totals.heavy > 0 {
        return Err("frames broke a promise: the files are named above".into());
    }
    let is_done = totals.frames == count;
    is_done.then_some(()).ok_or_else(|| format!("only {} of {count} frames in time", totals.frames))
}

#[derive(Default)]
struct Totals {
    frames: u64,
    bytes: u64,
    panics: u64,
    heavy: u64,
}

impl Totals {
    /// One more, and what its decoder held if it did not panic; whether it did.
    fn add(&mut self, target: &str, frame: &Bytes, held: Option<usize>) -> bool {
        let factor = if target == "server_frame" { HELD_FACTOR_OF_SERVER_FRAMES } else { HELD_FACTOR };
        let is_heavy = held.is_some_and(|held| held > HELD_BYTES + factor * frame.len());
        self.frames += 1;
        self.bytes += frame.len() as u64;
        self.heavy += u64::from(is_heavy);
        self.panics += u64::from(held.is_none());
        if held.is_none() || (is_heavy && self.heavy <= PANICS_MAX) {
            match drive::keep_broken(target, frame) {
                Ok(path) => eprintln!("fuzz: {target}: held {held:?} bytes for {}", path.display()),
                Err(error) => eprintln!("fuzz: {target}: held {held:?} bytes, and cannot be kept: {error}"),
            }
        }
        held.is_none()
    }

    fn print(&self, time: Duration, seed: u64) {
        let Self { frames, bytes, panics, heavy } = self;
        let seconds = time.as_secs_f64();
        println!(
            "{frames} frames, {bytes} bytes, {seconds:.1} s, {:.0} a second, seed {seed}",
            *frames as f64 / seconds
        );
        println!("{panics} panics, {heavy} frames too heavy");
    }
}

/// Everything that a frame meets.
struct Ends {
    tally: Tally,
    server: ServerEnd,
    /// Gets only what the codec lets through, and so lives long enough for requests to pile up.
    long_server: ServerEnd,
    client: ClientEnd,
    long_client: ClientEnd,
}

impl Ends {
    fn new(seed: u64) -> Self {
        Self {
            tally: Tally::default(),
            server: ServerEnd::new(seed, "server session"),
            long_server: ServerEnd::new(seed, "server session, frames that decode"),
            client: ClientEnd::new(seed, "client session"),
            long_client: ClientEnd::new(seed, "client session, frames that decode"),
        }
    }

    /// Decodes it and hands it to the sessions it is meant for; what the decoder held, bytes.
    fn take(&mut self, target: &'static str, frame: &Bytes) -> usize {
        let held = match target {
            "client_frame" => {
                let (result, held) = memory::height(|| decode_client_frame(frame));
                self.server.take(frame, &mut self.tally);
                if result.is_ok() {
                    self.long_server.take(frame, &mut self.tally);
                }
                match result {
                    Ok(ClientFrame::Hello(_)) => self.tally.count("codec, client frames", "hello"),
                    Ok(ClientFrame::Request { command: Ok(command), .. }) => {
                        self.tally.count("codec, client frames", command.name());
                    }
                    Ok(ClientFrame::Request { command: Err(reject), .. }) => {
                        self.tally.count("codec, requests refused", server_end::reject_name(reject.code));
                    }
                    Err(error) => self.tally.count("codec, client frames refused", error_name(error)),
                }
                held
            }
            "server_frame" => {
                let (result, held) = memory::height(|| decode_server_frame(frame));
                self.client.take(frame, &mut self.tally);
                if result.is_ok() {
                    self.long_client.take(frame, &mut self.tally);
                }
                match result {
                    Ok(decoded) => self.tally.count("codec, server frames", client_end::frame_name(&decoded)),
                    Err(error) => self.tally.count("codec, server frames refused", error_name(error)),
                }
                held
            }
            _ => {
                let (result, held) = memory::height(|| decode_entry(frame));
                match result {
                    Ok(entry) => self.tally.count("codec, entries", entry_name(&entry.content)),
                    Err(error) => self.tally.count("codec, entries refused", error_name(error)),
                }
                held
            }
        };
        self.tally.weigh(target, held, frame.len());
        held
    }
}

const fn entry_name(content: &EntryContent) -> &'static str {
    match content {
        EntryContent::Void => "void",
        EntryContent::Message(_) => "message",
        EntryContent::Unknown => "of a later version",
        _ => "other",
    }
}

#[expect(clippy::disallowed_methods, reason = "a run stops when its time is up")]
fn now() -> Instant {
    Instant::now()
}
