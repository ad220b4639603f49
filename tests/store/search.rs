//! The index of words: what it finds, in which order, for whom, and that it forgets.

use std::collections::BTreeSet;
use std::sync::Arc;

use confab::core::append::{Change, Said};
use confab::core::seal::Vault;
use confab::core::search::words::{parse, words};
use confab::core::search::{Indexed, Matches, Progress, Step, Wanted, place};
use confab::core::store::Store;
use confab::store::sqlite::{INDEX_FILE, Sqlite};
use confab_protocol::command::FoundAt;
use confab_protocol::model::{Incarnation, RoomId, Seq, UserId};

use super::{START, Scene, seq};

super::cases![
    words_are_found_in_every_form_of_query,
    the_newest_come_first_and_pages_go_on,
    only_rooms_that_one_is_in_are_searched,
    an_index_is_brought_on_from_where_it_is,
    what_is_unsaid_is_not_found,
    hostile_words_are_words,
];

const TEXTS: [&str; 9] = [
    "The quick brown fox",
    "Quick, brown: Füchse und Fox!",
    "a fox is quick and brown",
    "\u{41f}\u{440}\u{438}\u{432}\u{435}\u{442}, \u{43c}\u{438}\u{440}",
    "\u{4f60}\u{597d}\u{4e16}\u{754c}",
    "don't panic: cafe\u{301} at 3.14",
    "foxes and foxtrots, snake_case",
    "\u{1f98a} \u{1f98a}",
    "the the the brown",
];

impl Scene {
    async fn say_words(&self, room: RoomId, author: UserId) -> Seq {
        let said = self.append_one(self.item(room, author, Change::Message(Said::default()))).await;
        Seq(seq(&said).unwrap())
    }

    async fn progress(&self, room: RoomId) -> Option<Progress> {
        self.store.index_behind(Some(vec![room])).await.unwrap().pop()
    }

    /// Says these, and puts them into the index.
    async fn say_all(&self, room: RoomId, author: UserId, texts: &[&str]) -> Vec<Seq> {
        let mut seqs = Vec::new();
        let mut changes = Vec::new();
        for text in texts {
            let seq = self.say_words(room, author).await;
            seqs.push(seq);
            changes.push(self.indexed(room, seq, text).await);
        }
        let from = self.progress(room).await.expect("it is behind");
        self.store.index(Step { from, to: *seqs.last().unwrap(), changes }).await.unwrap();
        seqs
    }

    async fn indexed(&self, room: RoomId, seq: Seq, text: &str) -> Indexed {
        let entry = self.store.find_entries(room, vec![seq]).await.unwrap().remove(0);
        Indexed { seq, place: place(FoundAt { time: entry.time, room, seq }), words: words(text) }
    }

    async fn find(&self, reader: UserId, room: Option<RoomId>, query: &str) -> Vec<(RoomId, Seq)> {
        let wanted = Wanted { room, query: parse(query).unwrap(), before: None, limit: 50 };
        let Matches { messages, .. } = self.store.search(reader, wanted).await.unwrap();
        messages.into_iter().map(|(room, message)| (room, message.seq)).collect()
    }
}

async fn words_are_found_in_every_form_of_query(scene: Scene) {
    let alice = scene.user("alice").await.id;
    let room = scene.room(alice, "one").await;
    let seqs = scene.say_all(room, alice, &TEXTS).await;
    let queries = [
        "fox",
        "FOX quick",
        "\"quick brown\"",
        "\"brown quick\"",
        "fox*",
        "fuchse",
        "\u{43f}\u{440}\u{438}\u{432}\u{435}\u{442}",
        "\u{597d}\u{4e16}",
        "\u{4e16}\u{597d}",
        "CAF\u{c9}",
        "3.14",
        "don't",
        "snake_case",
        "\"snake case\" and*",
        "the",
        "\"the the the\"",
        "\"the the the the\"",
        "nobody",
        "quick nobody",
        "qui* bro*",
        "un*",
        "\"quick and\" fox",
    ];
    let mut found_some = 0;
    for query in queries {
        let parsed = parse(query).unwrap();
        let expected: BTreeSet<Seq> =
            TEXTS.iter().zip(&seqs).filter(|(text, _)| parsed.matches(&words(text))).map(|(_, seq)| *seq).collect();
        let found = scene.find(alice, Some(room), query).await;
        assert!(found.iter().all(|(other, _)| *other == room));
        assert_eq!(found.iter().map(|(_, seq)| *seq).collect::<BTreeSet<_>>(), expected, "{query}");
        assert!(found.is_sorted_by(|one, two| one.1 > two.1), "the newest first: {found:?}");
        found_some += usize::from(!expected.is_empty());
    }
    assert_eq!(found_some, queries.len() - 5, "the queries say something");
}

async fn the_newest_come_first_and_pages_go_on(scene: Scene) {
    let alice = scene.user("alice").await.id;
    let rooms = [scene.room(alice, "one").await, scene.room(alice, "two").await];
    let mut said = Vec::new();
    for n in 0..12 {
        let room = rooms[n % 2];
        let seq = scene.say_all(room, alice, &["the same again"]).await[0];
        let entry = scene.store.find_entries(room, vec![seq]).await.unwrap().remove(0);
        said.push(FoundAt { time: entry.time, room, seq });
    }
    said.sort_by_key(|at| std::cmp::Reverse(place(*at)));
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let wanted = Wanted { room: None, query: parse("same").unwrap(), before, limit: 5 };
        let page = scene.store.search(alice, wanted).await.unwrap();
        let is_full = page.messages.len() == 5;
        assert_eq!(page.stopped.is_some(), is_full);
        let stopped = page.stopped;
        let page: Vec<_> =
            page.messages.into_iter().map(|(room, it)| FoundAt { time: it.time, room, seq: it.seq }).collect();
        assert_eq!(stopped, page.last().copied().filter(|_| is_full));
        found.extend(page);
        before = stopped;
        if !is_full {
            break;
        }
    }
    assert_eq!(found, said, "each once, over all rooms by time");
}

async fn only_rooms_that_one_is_in_are_searched(scene: Scene) {
    let (alice, bob) = (scene.user("alice").await.id, scene.user("bob").await.id);
    let (open, closed) = (scene.room(alice, "one").await, scene.room(alice, "two").await);
    scene.join(open, bob).await;
    scene.say_all(open, alice, &["a secret"]).await;
    scene.say_all(closed, alice, &["a secret"]).await;
    assert_eq!(scene.find(alice, None, "secret").await.len(), 2);
    assert_eq!(scene.find(bob, None, "secret").await, [(open, Seq(3))]);
    assert_eq!(scene.find(bob, Some(closed), "secret").await, []);
    scene.leave(open, bob).await;
    assert_eq!(scene.find(bob, None, "secret").await, [], "who has left is outside");
}

async fn an_index_is_brought_on_from_where_it_is(scene: Scene) {
    let alice = scene.user("alice").await.id;
    let room = scene.room(alice, "one").await;
    let from = scene.progress(room).await.expect("nothing is indexed yet");
    assert_eq!((from.indexed, from.first_seq), (Seq(0), Seq(1)));
    let said = scene.say_words(room, alice).await;
    let one = scene.indexed(room, said, "first").await;
    let step = Step { from, to: said, changes: vec![one] };
    scene.store.index(step.clone()).await.unwrap();
    assert_eq!(scene.progress(room).await, None, "it is not behind");
    // Somebody who comes late with what they read before.
    let late = Indexed { words: words("late"), ..step.changes[0].clone() };
    scene.store.index(Step { changes: vec![late], ..step.clone() }).await.unwrap();
    assert_eq!((scene.find(alice, None, "first").await.len(), scene.find(alice, None, "late").await.len()), (1, 0));
    let all = scene.store.index_behind(None).await.unwrap();
    assert!(all.iter().all(|other| other.room != room), "{all:?}");
    // Another history: nothing of this one counts.
    let other = Progress { incarnation: Incarnation(from.incarnation.0 + 1), ..from };
    let anew = Indexed { words: words("anew"), ..step.changes[0].clone() };
    scene.store.index(Step { from: other, to: said, changes: vec![anew] }).await.unwrap();
    assert_eq!((scene.find(alice, None, "first").await.len(), scene.find(alice, None, "anew").await.len()), (0, 1));
    assert_eq!(scene.progress(room).await.map(|progress| progress.indexed), Some(Seq(0)), "the log has its own");
}

async fn what_is_unsaid_is_not_found(scene: Scene) {
    let alice = scene.user("alice").await.id;
    let room = scene.room(alice, "one").await;
    let seqs = scene.say_all(room, alice, &["keep this", "forget this", "change this"]).await;
    let note = scene.say_words(room, alice).await;
    let from = scene.progress(room).await.unwrap();
    let gone = Indexed { seq: seqs[1], place: 0, words: Vec::new() };
    let other = scene.indexed(room, seqs[2], "changed that").await;
    scene.store.index(Step { from, to: note, changes: vec![gone, other] }).await.unwrap();
    assert_eq!(scene.find(alice, None, "this").await, [(room, seqs[0])]);
    assert_eq!(scene.find(alice, None, "changed").await, [(room, seqs[2])]);
    // Retention took the front: the words go too.
    let last = scene.say_words(room, alice).await;
    let from = Progress { first_seq: seqs[1], ..scene.progress(room).await.unwrap() };
    scene.store.index(Step { from, to: last, changes: Vec::new() }).await.unwrap();
    assert_eq!(scene.find(alice, None, "this").await, []);
    assert_eq!(scene.find(alice, None, "changed").await, [(room, seqs[2])]);
    assert!(START < scene.store.find_entries(room, vec![last]).await.unwrap()[0].time);
}

async fn hostile_words_are_words(scene: Scene) {
    let alice = scene.user("alice").await.id;
    let room = scene.room(alice, "one").await;
    let long = "x".repeat(16_000);
    let many = "same ".repeat(3_200);
    let text = format!("NEAR(a b) OR NOT ' \" \\ :* | & ! <-> \u{1f98a} {long}");
    let seqs = scene.say_all(room, alice, &[&text, &many, "\u{301}\u{301} \u{200b} \u{ad}"]).await;
    for query in
        ["near", "not", "OR", "'near'", "a:*", "b\\", "!b", "a | b", "a <-> b", "NEAR(a", "words:a", "^near", "-b"]
    {
        let expected = if parse(query).unwrap().matches(&words(&text)) { vec![(room, seqs[0])] } else { Vec::new() };
        assert_eq!(scene.find(alice, None, query).await, expected, "{query}");
    }
    assert_eq!(scene.find(alice, None, &"x".repeat(200)).await, [(room, seqs[0])], "cut as the text is");
    assert_eq!(scene.find(alice, None, "\"same same same\"").await, [(room, seqs[1])]);
}

/// The file is no more than what can be made again, so a bad one is no reason not to start.
#[tokio::test]
async fn an_index_that_cannot_be_read_is_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let index = folder.path().join(INDEX_FILE);
    for (n, damage) in [b"no database at all".repeat(1_000), Vec::new(), vec![0; 8_192]].into_iter().enumerate() {
        let store: Arc<dyn Store> =
            Arc::new(Sqlite::open(&folder.path().join("confab.db"), 1, Vault::default()).unwrap());
        let scene = Scene { store, count: Arc::new((n as u64 * 1_000).into()) };
        let alice = scene.user(&format!("alice{n}")).await.id;
        let room = scene.room(alice, &format!("room {n}")).await;
        scene.say_all(room, alice, &["needle"]).await;
        assert_eq!(scene.find(alice, None, "needle").await.len(), 1);
        scene.store.close().await;
        drop(scene);
        std::fs::write(&index, &damage).unwrap();
        let store: Arc<dyn Store> =
            Arc::new(Sqlite::open(&folder.path().join("confab.db"), 1, Vault::default()).unwrap());
        let scene = Scene { store, count: Arc::default() };
        let progress = scene.progress(room).await.expect("all is to be done again");
        assert_eq!(progress.indexed, Seq(0));
        scene.store.close().await;
    }
}

/// What was deleted is in no byte of the files.
#[tokio::test]
async fn a_word_that_was_unsaid_is_gone_from_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(&folder.path().join("confab.db"), 1, Vault::default()).unwrap());
    let scene = Scene { store, count: Arc::default() };
    let alice = scene.user("alice").await.id;
    let room = scene.room(alice, "one").await;
    let seqs = scene.say_all(room, alice, &["zebracanary among others", "zebras", "the zebracanary again"]).await;
    let note = scene.say_words(room, alice).await;
    let from = scene.progress(room).await.unwrap();
    let gone = [seqs[0], seqs[2]].map(|seq| Indexed { seq, place: 0, words: Vec::new() });
    scene.store.index(Step { from, to: note, changes: gone.into() }).await.unwrap();
    scene.store.close().await;
    let bytes = |name: &str| std::fs::read(folder.path().join(name)).unwrap_or_default();
    let has = |word: &str| {
        [INDEX_FILE, "index.db-wal"].iter().any(|name| bytes(name).windows(word.len()).any(|it| it == word.as_bytes()))
    };
    assert!(has("zebras") && !has("zebracanary") && !has("canary"), "{}", bytes(INDEX_FILE).len());
}
