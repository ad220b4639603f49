//! The same client id on two connections at the same moment: one entry, and both are told of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use confab_protocol::command::{Appended, Secret};
use confab_protocol::model::ClientId;
use tokio::time::Instant;

use super::Rng;
use super::cast::{Failures, Message, Scene};
use super::checker::check;
use super::finals::Auditor;
use super::history::{Acked, Id};
use super::outcome::Outcome;
use super::stage::{Kind, Props, Stage};
use crate::support::raw::{Raw, Target, appended, publish, resend};
use crate::support::{TRANSPORTS, Transport};

/// Messages that one connection sends at once.
const BATCH: u64 = 8;

/// Has so many messages sent twice, unless the time for it is up before.
pub async fn run(seed: u64, kind: Kind, count: usize, budget: Duration) -> Outcome {
    let mut rng = Rng::new(seed);
    let mut stage = Stage::set(kind, Props::default(), 2).await;
    let names = ["twin", "auditor"].map(str::to_owned);
    let people = stage.invite(&names);
    let failures = Failures::default();
    let rooms = stage.furnish(2, &people, &failures).await;
    let scene = Arc::new(Scene::new(rooms, false, failures));
    let writer = people[0].connect(&scene.failures).await.1;
    let target = Target::new(stage.place.http, stage.place.quic, &stage.place.data_dir);
    let token = Secret::new(&*people[0].token);
    let pairs = [TRANSPORTS, [Transport::Quic; 2], [Transport::WebSocket; 2]];
    let (mut outcome, mut lane) = (Outcome::default(), 0);
    let (mut sent, deadline) = (0, Instant::now() + budget);
    while sent == 0 || (sent < count && Instant::now() < deadline) {
        let pair = rng.pick(&pairs);
        let mut a = Raw::enter(&target, pair[0], &token).await;
        let mut b = Raw::enter(&target, pair[1], &token).await;
        for _ in 0..5 {
            lane += 1;
            sent += both(&scene, writer, lane, &mut rng, [&mut a, &mut b]).await;
        }
        outcome.runs += 1;
        a.leave().await;
        b.leave().await;
    }
    let auditor = Auditor::new(&people[1], &scene, 0xa0).await;
    auditor.rest(&scene.rooms).await;
    for room in &scene.rooms {
        let view = auditor.sync(room, 0).await;
        scene.recorder.record(auditor.history(room, 50, &view).await);
    }
    stage.assert_alive();
    let report = check(&scene.recorder.history());
    outcome.judged(&report.violations, &report.summary);
    let summary = report.expect_clean();
    assert_eq!((summary.acked, summary.duplicates), (sent, sent), "one of each two was told as a duplicate");
    assert_eq!(scene.acks.load(Ordering::SeqCst) as usize, sent * 2);
    outcome
}

/// Some messages over both at once, in the same order or the other way round.
async fn both(scene: &Scene, writer: Id, lane: u32, rng: &mut Rng, [a, b]: [&mut Raw; 2]) -> usize {
    let (count, is_reversed) = (rng.between(1, BATCH), rng.percent(30));
    let lane = (!is_reversed).then_some(lane);
    let intend = |n| {
        let room = scene.rooms[rng.below(scene.rooms.len() as u64) as usize].id;
        scene.intend(room, writer, lane, &format!("{n} of {}", rng.next()))
    };
    let messages: Vec<Message> = (0..count).map(intend).collect();
    let mut mirrored = messages.clone();
    if is_reversed {
        mirrored.reverse();
    }
    let flags = rng.pick(&[(false, false), (false, true), (true, true)]);
    let (first, second) = tokio::join!(send(a, &messages, flags.0), send(b, &mirrored, flags.1));
    let mut told = second;
    for (id, here) in first {
        let (_, there) = told.remove(told.iter().position(|(other, _)| *other == id).unwrap());
        let message = messages.iter().find(|message| message.client_id == id).unwrap().id;
        assert!(here.duplicate != there.duplicate, "one is the first: {here:?} and {there:?}");
        for Appended { seq, time, altered, duplicate, .. } in [here, there] {
            let at = scene.recorder.now();
            scene.recorder.record(Acked { message, seq: seq.0, time_ms: time.0, altered, duplicate, at });
            scene.acks.fetch_add(1, Ordering::SeqCst);
        }
    }
    messages.len()
}

async fn send(raw: &mut Raw, messages: &[Message], is_resend: bool) -> Vec<(ClientId, Appended)> {
    let (mut asked, mut told) = (Vec::new(), Vec::new());
    for message in messages {
        let command = if is_resend { resend } else { publish };
        asked.push((message.client_id, raw.begin(command(message.room, message.client_id, &message.text)).await));
    }
    for (client_id, id) in asked {
        told.push((client_id, appended(raw.reply(id).await)));
    }
    told
}
