//! Stands between the server and its database, understands as much of their protocol as it takes to see a COMMIT and
//! its answer, and cuts connections at that moment.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::support::raw::spawn;

/// What becomes of the next COMMIT; the connection is cut with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cut {
    /// The database never sees it.
    NotForwarded,
    /// The database is sent it and then nothing more; it may or may not do it.
    Forwarded,
    /// It is done; the answer is kept back.
    Done,
    /// It is done; the answer is kept back, and the connection stays open and silent for the whole outage.
    Silent,
}

/// How the database is not there after a cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outage {
    /// The other connections go on, new ones are made.
    None,
    /// All connections are cut and new ones are refused.
    Refuse(Duration),
    /// All other connections are cut, new ones are accepted and hear nothing.
    Hang(Duration),
}

impl Outage {
    fn lasts(self) -> Duration {
        match self {
            Self::None => Duration::ZERO,
            Self::Refuse(lasts) | Self::Hang(lasts) => lasts,
        }
    }
}

#[derive(Default)]
struct State {
    armed: Mutex<Option<(Cut, Outage)>>,
    /// The outage that is, and until when.
    outage: Mutex<Option<(Outage, Instant)>>,
    /// Connections made up to the first number are cut, but for the second.
    cut_up_to: watch::Sender<(u64, u64)>,
    /// The number of the newest connection.
    newest: AtomicU64,
    /// Cuts that happened.
    cuts: watch::Sender<u64>,
}

/// A listening proxy; dropping it ends it with all its connections.
pub struct Proxy {
    pub port: u16,
    state: Arc<State>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.state.cut_up_to.send_replace((u64::MAX, 0));
    }
}

impl Proxy {
    pub async fn start(database: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::<State>::default();
        let accepting = spawn(accept(listener, database, Arc::clone(&state)));
        Self { port, state, accepting }
    }

    /// Cuts at the next COMMIT. Gives the time at which the database is there again.
    pub async fn cut(&self, cut: Cut, outage: Outage, patience: Duration) -> Instant {
        let mut cuts = self.state.cuts.subscribe();
        cuts.borrow_and_update();
        *self.state.armed.lock().unwrap() = Some((cut, outage));
        let waiting = tokio::time::timeout(patience, cuts.changed()).await;
        waiting.unwrap_or_else(|_| panic!("nothing was committed within {patience:?}")).unwrap();
        let outage = *self.state.outage.lock().unwrap();
        outage.map_or_else(Instant::now, |(_, until)| until)
    }
}

impl State {
    fn take_armed(&self) -> Option<(Cut, Outage)> {
        self.armed.lock().unwrap().take()
    }

    /// The cut happens now, on the connection of this number, which sees to its own end.
    fn begin(&self, outage: Outage, number: u64) {
        let is_over = outage == Outage::None;
        *self.outage.lock().unwrap() = (!is_over).then(|| (outage, Instant::now() + outage.lasts()));
        if !is_over {
            self.cut_up_to.send_replace((self.newest.load(Ordering::Relaxed), number));
        }
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    fn outage(&self) -> Option<(Outage, Instant)> {
        self.outage.lock().unwrap().filter(|(_, until)| Instant::now() < *until)
    }
}

async fn accept(listener: TcpListener, database: SocketAddr, state: Arc<State>) {
    while let Ok((client, _)) = listener.accept().await {
        let number = state.newest.fetch_add(1, Ordering::Relaxed) + 1;
        let link = Link { number, state: Arc::clone(&state) };
        spawn(async move {
            if let Some((outage, until)) = link.state.outage() {
                match outage {
                    Outage::Hang(_) => tokio::time::sleep_until(until).await,
                    _ => return,
                }
            }
            // Where the database is down, the server sees its connection closed, as it would.
            let Ok(server) = TcpStream::connect(database).await else { return };
            link.run(client, server).await;
        });
    }
}

/// One connection of the server's.
struct Link {
    number: u64,
    state: Arc<State>,
}

impl Link {
    async fn run(self, client: TcpStream, server: TcpStream) {
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        let mut cut_up_to = self.state.cut_up_to.subscribe();
        let (held, holding) = watch::channel(None);
        let is_cut = async {
            let _ = cut_up_to.wait_for(|(up_to, but)| *up_to >= self.number && *but != self.number).await;
        };
        tokio::select! {
            _ = self.carry_up(from_client, to_server, held) => {}
            _ = self.carry_down(from_server, to_client, holding) => {}
            () = is_cut => {}
        }
    }

    /// What the server says. The first message is the start-up, which has no type.
    async fn carry_up(
        &self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        held: watch::Sender<Option<(Cut, Outage)>>,
    ) -> io::Result<()> {
        let (mut buffer, mut is_started) = (Vec::new(), false);
        loop {
            while let Some(length) = message_len(&buffer, usize::from(is_started)) {
                is_started = true;
                let message: Vec<u8> = buffer.drain(..length).collect();
                let armed = if message.starts_with(b"Q") && message.ends_with(b"COMMIT\0") {
                    self.state.take_armed()
                } else {
                    None
                };
                match armed {
                    None => to.write_all(&message).await?,
                    Some((Cut::NotForwarded, outage)) => {
                        self.state.begin(outage, self.number);
                        return Ok(());
                    }
                    Some((Cut::Forwarded, outage)) => {
                        to.write_all(&message).await?;
                        self.state.begin(outage, self.number);
                        return Ok(());
                    }
                    Some(armed) => {
                        held.send_replace(Some(armed));
                        to.write_all(&message).await?;
                    }
                }
            }
            if from.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
    }

    /// What the database says, until the answer to a COMMIT is to be kept back.
    async fn carry_down(
        &self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        holding: watch::Receiver<Option<(Cut, Outage)>>,
    ) -> io::Result<()> {
        let mut buffer = Vec::new();
        loop {
            while let Some(length) = message_len(&buffer, 1) {
                let message: Vec<u8> = buffer.drain(..length).collect();
                let held = *holding.borrow();
                let Some((cut, outage)) = held.filter(|_| is_end_of_transaction(&message)) else {
                    to.write_all(&message).await?;
                    continue;
                };
                self.state.begin(outage, self.number);
                if cut == Cut::Silent {
                    tokio::time::sleep(outage.lasts()).await;
                }
                return Ok(());
            }
            if from.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
    }
}

/// `CommandComplete` of a COMMIT, whichever way it went.
fn is_end_of_transaction(message: &[u8]) -> bool {
    message.starts_with(b"C") && (message.ends_with(b"COMMIT\0") || message.ends_with(b"ROLLBACK\0"))
}

/// The length of a first message that is all there; its type takes so many bytes.
fn message_len(buffer: &[u8], type_len: usize) -> Option<usize> {
    let length = buffer.get(type_len..type_len + 4)?;
    let length = type_len + u32::from_be_bytes(length.try_into().unwrap()) as usize;
    (buffer.len() >= length).then_some(length)
}
