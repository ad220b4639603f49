//! What plugins are told of a room and of who writes there.

use confab::core::context::{COUNTED_MAX, Context, ENTRIES_MAX, RoomContext, first_case};
use confab_protocol::model::{CaseDecision, CaseId, CaseKind, RoomId, RoomKind, UserId};

use super::moderation::{decide, posts};
use super::{START, Scene};

super::cases![what_counts_against_somebody, what_somebody_said_here];

impl Scene {
    async fn context(&self, room: RoomId, author: UserId) -> Context {
        self.store.context(room, author, CaseId::NONE).await.unwrap()
    }
}

async fn what_counts_against_somebody(scene: Scene) {
    let (room, [owner, moderator, member]) = scene.company().await;
    let flags = async |author| scene.context(room, author).await.prior_flags;
    assert_eq!(flags(member).await, 0);
    let report = scene.report(room, member, 7, owner).await.unwrap().row.id;
    let held = scene.case_id();
    scene.store.record(scene.held(&posts(&scene, room, member), held, "look")).await.unwrap();
    let flag = scene.opened(room, member, member, CaseKind::Flag).await;
    assert_eq!(flags(member).await, 3);
    // What a person did to them is no finding of anybody's.
    scene.opened(room, moderator, member, CaseKind::Sanction).await;
    assert_eq!((flags(member).await, flags(moderator).await), (3, 0));
    let later = first_case(START.after(1_000_000));
    assert_eq!(scene.store.context(room, member, later).await.unwrap().prior_flags, 0);
    for (case, decision, left) in
        [(report, CaseDecision::Dismiss, 2), (held, CaseDecision::Release, 1), (flag, CaseDecision::Remove, 1)]
    {
        scene.step(case, owner, decide(decision, "")).await.unwrap();
        assert_eq!(flags(member).await, left, "{decision:?}");
    }
    // Wherever it was.
    assert_eq!(scene.context(RoomId::from_u128(9), member).await.prior_flags, 1);
}

async fn what_somebody_said_here(scene: Scene) {
    let (room, [owner, _, member]) = scene.company().await;
    let elsewhere = scene.room(member, "two").await;
    let there = |messages| Some(RoomContext { kind: RoomKind::Channel, slow_mode_ms: 0, members: 3, messages });
    let known = Context { transport: "", room: there(3), prior_flags: 0, messages_here: 1 };
    assert_eq!(scene.context(room, member).await, known);
    assert_eq!(scene.context(elsewhere, member).await.messages_here, 0);
    assert_eq!(scene.context(RoomId::from_u128(9), member).await, Context::default());
    let say = async |author, count| {
        scene.append((0..count).map(|_| posts(&scene, room, author)).collect()).await;
    };
    say(member, COUNTED_MAX).await;
    let many = scene.context(room, member).await;
    assert_eq!((many.room, many.messages_here), (there(103), 100), "101 are as many as 100");
    say(owner, ENTRIES_MAX - 20).await;
    assert_eq!(scene.context(room, member).await.messages_here, 20);
    say(owner, 20).await;
    let none = scene.context(room, member).await;
    assert_eq!((none.room, none.messages_here), (there(1_103), 0));
    assert_eq!(scene.context(room, owner).await.messages_here, 100);
}
