//! Random schedules of talk and trouble. Whatever happens in between: in the end every entry was
//! delivered once and in order, and every publish is in the log once and was answered once.

use confab_protocol::close::CloseCode;
use confab_protocol::command::{GoAway, Reply, RequestId};
use confab_protocol::model::{ClientId, RoomId};
use confab_protocol::session::client::Event;

use crate::app::ALICE;
use crate::harness::{Dice, Pair, ROOM, config};

const OTHER: RoomId = RoomId::from_u128(0x101);
const ROOMS: [RoomId; 2] = [ROOM, OTHER];

struct Run {
    pair: Pair,
    dice: Dice,
    published: Vec<(RoomId, RequestId, ClientId)>,
}

fn run(seed: u64, replay_max: usize) -> Run {
    let mut pair = Pair::new(confab_protocol::session::client::Config { seed, ..config() });
    pair.app.open_room(OTHER);
    pair.app.replay_max = replay_max;
    ROOMS.into_iter().for_each(|room| pair.follow(room));
    let mut run = Run { pair, dice: Dice(seed), published: Vec::new() };
    for _ in 0..80 {
        run.step();
    }
    run.pair.restore();
    run.pair.run(300_000);
    run
}

impl Run {
    fn step(&mut self) {
        let room = ROOMS[usize::from(self.dice.below(3) == 0)];
        let text = self.dice.below(1_000).to_string();
        match self.dice.below(20) {
            0..6 if self.pair.client.has_capacity() => {
                let (id, client_id) = self.pair.publish(room, &text);
                self.published.push((room, id, client_id));
            }
            6..12 => (0..=self.dice.below(5)).for_each(|_| self.pair.post(room, &text)),
            12 => self.pair.cut(),
            13 => self.pair.silence(),
            14 | 15 => self.pair.restore(),
            16 => self.pair.link.push_ms = 1 + self.dice.below(300),
            17 => self.pair.link.control_ms = 1 + self.dice.below(300),
            18 => {
                let jitter_ms = u32::try_from(self.dice.below(3_000)).unwrap();
                let reason = String::new();
                self.pair.go_away(GoAway { code: 4000, reason, reconnect_after_ms: 100, jitter_ms });
                self.pair.close(CloseCode::SlowConsumer);
            }
            _ => self.pair.run(self.dice.below(60_000)),
        }
        let wait_ms = self.dice.below(200);
        self.pair.run(wait_ms);
    }

    fn check_publishes(&self, seed: u64) {
        for (room, id, client_id) in &self.published {
            let log = self.pair.app.rooms[room].messages();
            let at: Vec<usize> = (0..log.len()).filter(|index| log[*index].1 == *client_id).collect();
            let [index] = at[..] else { panic!("seed {seed}: {client_id} is in the log {} times", at.len()) };
            let replies = self.pair.replies(*id);
            let [Ok(Reply::Appended(appended))] = replies[..] else { panic!("seed {seed}: {id}: {replies:?}") };
            assert_eq!(appended.seq.0, index as u64 + 1, "seed {seed}: {id}");
        }
        for room in ROOMS {
            let mine = |message: &&(_, ClientId, String)| message.0 == ALICE;
            let log = self.pair.app.rooms[&room].messages();
            let logged: Vec<ClientId> = log.iter().filter(mine).map(|message| message.1).collect();
            let asked: Vec<ClientId> =
                self.published.iter().filter(|(to, ..)| *to == room).map(|sent| sent.2).collect();
            assert_eq!(logged, asked, "seed {seed}: in the order in which they were said");
        }
    }
}

#[test]
fn every_entry_comes_once_and_in_order() {
    for seed in 0..200 {
        let run = run(seed, usize::MAX);
        for room in ROOMS {
            let head = run.pair.app.rooms[&room].head().0;
            assert_eq!(run.pair.delivered(room), (1..=head).collect::<Vec<_>>(), "seed {seed}");
        }
        run.check_publishes(seed);
    }
}

#[test]
fn what_is_not_delivered_is_told_as_a_gap() {
    let mut told = 0;
    for seed in 1_000..1_100 {
        let run = run(seed, 4);
        for room in ROOMS {
            let mut next = 1;
            for (_, event) in &run.pair.events {
                match event {
                    Event::Entries(push) if push.room == room => {
                        assert_eq!(push.entries[0].seq.0, next, "seed {seed}");
                        next = push.entries.last().unwrap().seq.0 + 1;
                    }
                    Event::Gap { resumed, known } if resumed.room == room => {
                        assert_eq!(known.0 + 1, next, "seed {seed}");
                        next = resumed.head.0 + 1;
                        told += 1;
                    }
                    _ => {}
                }
            }
            assert_eq!(next, run.pair.app.rooms[&room].head().0 + 1, "seed {seed}");
        }
        run.check_publishes(seed);
    }
    assert!(told > 20, "the schedules hold {told} gaps: they test nothing");
}
