//! The plugins in their order, over one event: sanitizers first, deciders on the final text. The first verdict that is
//! neither "allow" nor another text ends it, but for a shadow, after which others may still refuse. Where one makes another
//! text of a message once others had decided, those are asked about it too.

use std::sync::Arc;
use std::time::Duration;

use confab_protocol::model::UserId;

use super::host::bindings::exports::confab::plugin::{appeal, invite, join, login, register, report, role_change};
use super::manifest::Hook;
use super::member::{Called, Member, When};
use super::translate::{self, Forms, Speaker, by_server};
use crate::clock::Clock;
use crate::config::Mode;
use crate::core::cases::{decision_name, kind_name, reason_name};
use crate::core::deputy::What;
use crate::core::hook::{Act, ActEvent, Mark, MessageEvent, Ruling, TextKind, Verdict, Wants};

/// The names of an account that is about to be made come with an id as young as this, milliseconds: they are two, and the
/// second may wait for the first, where an interpreted plugin is busy.
const NEW_MS: u64 = 10_000;
/// CPU time of one call about what is done and not said, unless a message has more: it is rarer.
const ACT_BUDGET: Duration = Duration::from_millis(20);
/// For moderators, of what nobody would read as it is spelled out.
const TOO_LONG: &str = "its normal form is too long to be looked at";

/// One generation: what was loaded together. Calls that began with it end with it.
pub(super) struct Chain {
    pub(super) members: Vec<Member>,
    pub(super) demands: Demands,
    chain_budget: Duration,
    call_budget: Duration,
}

/// What is so for each message that a generation is asked about: found once.
#[derive(Clone, Copy)]
pub(super) struct Demands {
    /// What is to be read for one of them ...
    pub(super) wants: Wants,
    /// ... and for one whose word counts.
    pub(super) needs: Wants,
    /// Whether one is asked before it is let pass.
    asks: bool,
    /// Whether that may take longer than the worker of a connection should be held up.
    pub(super) is_slow: bool,
    /// Whether one is asked once the others have decided.
    pub(super) asks_afterwards: bool,
}

impl Demands {
    fn of(members: &[Member]) -> Self {
        let any = |is: fn(&Member) -> bool| members.iter().any(is);
        let of = |counts: fn(&Member) -> bool| -> Wants {
            let any = |is: fn(&Wants) -> bool| members.iter().any(|member| counts(member) && is(&member.wants));
            Wants { history: any(|it| it.history), context: any(|it| it.context), target: any(|it| it.target) }
        };
        Self {
            wants: of(|_| true),
            needs: of(|it| it.mode == Mode::Enforce),
            asks: any(|it| it.when == When::InTime),
            is_slow: any(|it| it.when == When::InTime && it.is_interpreted()),
            asks_afterwards: any(|it| it.when == When::Afterwards),
        }
    }
}

impl Chain {
    pub(super) fn new(members: Vec<Member>, chain_budget: Duration, call_budget: Duration) -> Self {
        Self { demands: Demands::of(&members), members, chain_budget, call_budget }
    }

    /// Makes the instances that serve, once all of it is known to load.
    ///
    /// # Errors
    /// Which plugin cannot start, and why.
    pub(super) fn go_live(&self) -> Result<(), (Arc<str>, String)> {
        for member in &self.members {
            member.pool.go_live().map_err(|failure| (Arc::clone(&member.id), failure.at_start()))?;
        }
        Ok(())
    }

    /// What the operator sees of it, from now on instead of what was `before`.
    pub(super) fn show(&self, before: &[Member]) {
        let continues = |it: &&Member| self.members.iter().any(|new| new.continues(it));
        before.iter().filter(|it| !continues(it)).for_each(Member::hide);
        self.members.iter().for_each(Member::show);
    }

    /// Asks all but those that are asked afterwards.
    pub(super) fn decide_message(&self, event: &MessageEvent<'_>, clock: &dyn Clock) -> Ruling {
        if !self.demands.asks {
            return Ruling::ALLOW;
        }
        let mut course = Course::of(self.purse(self.call_budget));
        // How many had decided before the last one that made another text of it.
        let (mut forms, mut unseen) = (Forms::of(event.body), 0);
        for (place, member) in self.asked_in_time().enumerate() {
            match course.ask(member, event, forms.as_ref(), false, clock) {
                Verdict::Allow => {}
                // Nothing is left, which its author is told: no plugin is asked about no text, and none that would hold it has
                // what was sent before people all the same.
                Verdict::Replace(text) if text.trim().is_empty() => {
                    (course.replaced, unseen) = (Some(text), 0);
                    break;
                }
                Verdict::Replace(text) => {
                    if text != course.body(event) {
                        unseen = place;
                    }
                    forms = Forms::of(&text);
                    course.replaced = Some(text);
                }
                Verdict::Shadow(_) => course.is_shadowed = true,
                last => return course.end(last),
            }
        }
        if unseen > 0 {
            let members = self.asked_in_time().take(unseen);
            if let Some(last) = course.ask_again(members, event, forms.as_ref(), clock) {
                return course.end(last);
            }
        }
        course.pass()
    }

    /// Those that are asked about a message before it is let pass.
    fn asked_in_time(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.when == When::InTime)
    }

    /// Those that hold nobody up: see [`Self::ask_afterwards`].
    pub(super) fn asked_afterwards(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.when == When::Afterwards)
    }

    /// Asks those in shadow mode that are slow about a text that passed the others. Returns what they found.
    pub(super) fn ask_afterwards(&self, event: &MessageEvent<'_>, clock: &dyn Clock) -> Vec<Mark> {
        let Some(forms) = Forms::of(event.body) else {
            return vec![by_server("hold", "too-long", TOO_LONG, false)];
        };
        let purse = self.purse(self.call_budget);
        let ask = |member: &Member| {
            let once = (false, &mut Vec::new());
            ask_message(member, event, (event.body, &forms), purse.of(member.mode), once, clock)
        };
        self.asked_afterwards().flat_map(|member| ask(member).marks).collect()
    }

    /// Asks all but those that are asked afterwards.
    pub(super) fn decide_act(&self, event: &ActEvent<'_>, clock: &dyn Clock) -> Ruling {
        let hook = hook(&event.act);
        let (mut purse, mut marks) = (self.purse(ACT_BUDGET.max(self.call_budget)), Vec::new());
        for member in self.asked_of(hook, When::InTime) {
            let called = ask_act(member, hook, event, purse.of(member.mode), clock);
            purse.pay(member.mode, called.spent);
            marks.extend(called.marks);
            if called.verdict != Verdict::Allow {
                return Ruling { verdict: called.verdict, marks, replaced: None };
            }
        }
        Ruling { verdict: Verdict::Allow, marks, replaced: None }
    }

    /// As [`Self::ask_afterwards`], of an act.
    pub(super) fn ask_of_act_afterwards(&self, event: &ActEvent<'_>, clock: &dyn Clock) -> Vec<Mark> {
        let (hook, purse) = (hook(&event.act), self.purse(ACT_BUDGET.max(self.call_budget)));
        let ask = |member: &Member| ask_act(member, hook, event, purse.of(member.mode), clock);
        self.asked_of(hook, When::Afterwards).flat_map(|member| ask(member).marks).collect()
    }

    /// Those that an act is a question for, before it is let pass or afterwards.
    pub(super) fn asked_of(&self, hook: Hook, when: When) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(move |member| member.when_asked(hook) == when)
    }

    /// Whether an act may take longer than the worker of a connection should be held up.
    pub(super) fn is_slow_for(&self, hook: Hook) -> bool {
        self.asked_of(hook, When::InTime).any(Member::is_interpreted)
    }

    /// Whether one is asked about such an act that reads what else is known.
    pub(super) fn wants_context(&self, hook: Hook) -> bool {
        self.members.iter().any(|member| member.is_asked(hook) && member.reads_context())
    }

    /// The same of those whose word counts.
    pub(super) fn needs_context(&self, hook: Hook) -> bool {
        let counts = |member: &Member| member.mode == Mode::Enforce && member.is_asked(hook);
        self.members.iter().any(|member| counts(member) && member.reads_context())
    }

    const fn purse(&self, call: Duration) -> Purse {
        Purse { call, chain: self.chain_budget, spent: Duration::ZERO }
    }
}

/// What came of a message so far.
struct Course {
    purse: Purse,
    marks: Vec<Mark>,
    /// What plugins made of the text.
    replaced: Option<String>,
    is_shadowed: bool,
    /// Whether one that decides nothing could not be asked.
    is_passed_over: bool,
    /// What plugins called for when they were asked the first time.
    wanted: Vec<(Arc<str>, What)>,
}

impl Course {
    fn of(purse: Purse) -> Self {
        let (marks, wanted) = (Vec::new(), Vec::new());
        Self { purse, marks, replaced: None, is_shadowed: false, is_passed_over: false, wanted }
    }

    /// The text as it is by now.
    fn body<'a>(&'a self, event: &MessageEvent<'a>) -> &'a str {
        self.replaced.as_deref().unwrap_or(event.body)
    }

    /// Asks one about that. What it found already is not noted again, and what it called for is not done or told again.
    fn ask(
        &mut self,
        member: &Member,
        event: &MessageEvent<'_>,
        forms: Option<&Forms>,
        is_again: bool,
        clock: &dyn Clock,
    ) -> Verdict {
        let Some(forms) = forms else { return self.pass_over(member) };
        let text = (self.body(event), forms);
        let before = self.wanted.iter().filter(|(plugin, _)| is_again && *plugin == member.id);
        let mut wanted: Vec<What> = before.map(|(_, what)| *what).collect();
        let called = ask_message(member, event, text, self.purse.of(member.mode), (is_again, &mut wanted), clock);
        if !is_again {
            self.wanted.extend(wanted.into_iter().map(|what| (Arc::clone(&member.id), what)));
        }
        self.purse.pay(member.mode, called.spent);
        for mark in called.marks {
            if !is_again || !self.marks.iter().any(|known| is_same(known, &mark)) {
                self.marks.push(mark);
            }
        }
        called.verdict
    }

    /// Nothing passes those unseen whose word counts; the others decide nothing here either.
    fn pass_over(&mut self, member: &Member) -> Verdict {
        if member.mode != Mode::Enforce {
            self.is_passed_over = true;
            return Verdict::Allow;
        }
        self.marks.push(by_server("hold", "too-long", TOO_LONG, true));
        Verdict::Hold { note: TOO_LONG.into() }
    }

    /// Asks those once more who decided before one behind them made the text that it is: of that they said nothing yet.
    /// There is no third time: what one of them would change again is for people. `None`: it passes them.
    fn ask_again<'a>(
        &mut self,
        members: impl Iterator<Item = &'a Member>,
        event: &MessageEvent<'_>,
        forms: Option<&Forms>,
        clock: &dyn Clock,
    ) -> Option<Verdict> {
        for member in members {
            match self.ask(member, event, forms, true, clock) {
                Verdict::Allow => {}
                Verdict::Replace(text) if text == self.body(event) => {}
                Verdict::Replace(text) => {
                    let is_blank = text.trim().is_empty();
                    self.replaced = Some(text);
                    if is_blank {
                        return None;
                    }
                    let note = format!("plugin {} would change again what one behind it made of the text", member.id);
                    self.marks.push(by_server("hold", "unsettled", &note, true));
                    return Some(Verdict::Hold { note });
                }
                Verdict::Shadow(_) => self.is_shadowed = true,
                last => return Some(last),
            }
        }
        None
    }

    /// Nobody ended it.
    fn pass(mut self) -> Ruling {
        if self.is_passed_over {
            self.marks.push(by_server("hold", "too-long", TOO_LONG, false));
        }
        let verdict = match self.replaced {
            text if self.is_shadowed => Verdict::Shadow(text),
            Some(text) => Verdict::Replace(text),
            None => Verdict::Allow,
        };
        Ruling { verdict, marks: self.marks, replaced: None }
    }

    /// One did. What is held is so as the plugins before made it; whom nobody is to hear, nobody hears by way of a
    /// moderator either.
    fn end(self, last: Verdict) -> Ruling {
        let Self { marks, replaced, is_shadowed, .. } = self;
        match last {
            Verdict::Hold { .. } if is_shadowed => Ruling { verdict: Verdict::Shadow(replaced), marks, replaced: None },
            verdict => Ruling { verdict, marks, replaced },
        }
    }
}

/// Whether both say the same of a message, be it of another text of it.
fn is_same(known: &Mark, mark: &Mark) -> bool {
    known.plugin == mark.plugin && known.verdict == mark.verdict && known.rule == mark.rule && known.label == mark.label
}

/// CPU time that a chain has for one event.
struct Purse {
    call: Duration,
    chain: Duration,
    spent: Duration,
}

impl Purse {
    /// For a call, and for all that are left. One in shadow mode is as if it were alone: what it takes is not missing to
    /// those whose word counts, and how much they took does not end it.
    fn of(&self, mode: Mode) -> (Duration, Duration) {
        let chain = if mode == Mode::Enforce { self.chain.saturating_sub(self.spent) } else { self.chain };
        (self.call, chain)
    }

    fn pay(&mut self, mode: Mode, took: Duration) {
        if mode == Mode::Enforce {
            self.spent += took;
        }
    }
}

fn ask_message(
    member: &Member,
    event: &MessageEvent<'_>,
    (body, forms): (&str, &Forms),
    cpu: (Duration, Duration),
    (is_again, wanted): (bool, &mut Vec<What>),
    clock: &dyn Clock,
) -> Called {
    // Those who register are one to the breaker: else one of them alone could be many.
    let registers = event.kind == TextKind::DisplayName && event.now.since(event.account_created) < NEW_MS;
    member.ask(
        Hook::Message,
        if registers { UserId::NONE } else { event.author },
        (event.now.0, cpu),
        |guests, store| {
            let message = guests.message.as_ref().ok_or_else(missing)?;
            store.data_mut().earlier = event.earlier.filter(|_| member.wants.history).cloned();
            store.data_mut().context = event.context.filter(|_| member.wants.context).unwrap_or_default();
            let about = event.about.filter(|_| member.wants.target).and_then(|it| it.0.as_ref());
            store.data_mut().target = about.map(|target| (event.kind, target.clone()));
            store.data_mut().is_again = is_again;
            store.data_mut().wanted = std::mem::take(wanted);
            let decided = message.call_decide(&mut *store, translate::message(event, body, forms));
            *wanted = std::mem::take(&mut store.data_mut().wanted);
            decided
        },
        |speaker, verdict| speaker.verdict(body, verdict),
        clock.elapsed(),
    )
}

fn ask_act(member: &Member, hook: Hook, event: &ActEvent<'_>, cpu: (Duration, Duration), clock: &dyn Clock) -> Called {
    let (who, time_ms) = (translate::person(event), event.now.0);
    let id = |number: u128| translate::id(number);
    member.ask(
        hook,
        if hook == Hook::Register { UserId::NONE } else { event.who },
        (time_ms, cpu),
        |guests, store| {
            let known = event.context.filter(|_| member.reads_context());
            store.data_mut().context = known.unwrap_or_default();
            match event.act {
                Act::Join { room, by_invitation } => {
                    let event = join::Event { who, room: id(room.as_u128()), by_invitation, time_ms };
                    guests.join.as_ref().ok_or_else(missing)?.call_decide(store, event)
                }
                Act::Invite { room, uses, duration_ms } => {
                    let event = invite::Event { who, room: id(room.as_u128()), uses, duration_ms, time_ms };
                    guests.invite.as_ref().ok_or_else(missing)?.call_decide(store, event)
                }
                Act::RoleChange { room, target, role } => {
                    let (room, target) = (id(room.as_u128()), id(target.as_u128()));
                    let event =
                        role_change::Event { who, room, target, role: translate::room_role(Some(role)), time_ms };
                    guests.role_change.as_ref().ok_or_else(missing)?.call_decide(store, event)
                }
                Act::Register { display_name, invited } => {
                    let (id, username) = (who.id, who.username);
                    let event = register::Event { id, username, display_name, invited, time_ms };
                    guests.register.as_ref().ok_or_else(missing)?.call_decide(store, event)
                }
                Act::Login => {
                    let event = login::Event { who, time_ms };
                    guests.login.as_ref().ok_or_else(missing)?.call_decide(store, event)
                }
                Act::Report { room, about, seq, reason, text } => {
                    let (room, about, seq) = (id(room.as_u128()), id(about.as_u128()), seq.map(|seq| seq.0));
                    let event = report::Event { who, room, about, seq, reason: reason_name(reason), text, time_ms };
                    guests.report.as_ref().ok_or_else(missing)?.call_decide(store, event)
                }
                Act::Appeal { room, kind, decision, text } => {
                    let (kind, decision) = (kind_name(kind), decision_name(decision));
                    let event = appeal::Event { who, room: id(room.as_u128()), kind, decision, text, time_ms };
                    guests.appeal.as_ref().ok_or_else(missing)?.call_decide(store, event)
                }
            }
        },
        Speaker::act_verdict,
        clock.elapsed(),
    )
}

pub(super) const fn hook(act: &Act<'_>) -> Hook {
    match act {
        Act::Join { .. } => Hook::Join,
        Act::Invite { .. } => Hook::Invite,
        Act::RoleChange { .. } => Hook::RoleChange,
        Act::Register { .. } => Hook::Register,
        Act::Login => Hook::Login,
        Act::Report { .. } => Hook::Report,
        Act::Appeal { .. } => Hook::Appeal,
    }
}

/// Loading checks that each declared hook is there.
fn missing() -> wasmtime::Error {
    wasmtime::Error::msg("the hook is missing")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn what_a_shadow_takes_is_missing_to_nobody() {
        let mut purse = Purse { call: MS * 5, chain: MS * 50, spent: Duration::ZERO };
        purse.pay(Mode::Shadow, MS * 60);
        assert_eq!(purse.of(Mode::Enforce), (MS * 5, MS * 50));
        purse.pay(Mode::Enforce, MS * 48);
        assert_eq!(purse.of(Mode::Enforce), (MS * 5, MS * 2));
        assert_eq!(purse.of(Mode::Shadow), (MS * 5, MS * 50));
        purse.pay(Mode::Enforce, MS * 48);
        assert_eq!(purse.of(Mode::Enforce), (MS * 5, Duration::ZERO));
    }

    #[test]
    fn acts_have_more_time_than_messages() {
        let chain = Chain::new(Vec::new(), MS * 50, MS * 5);
        assert_eq!(chain.purse(ACT_BUDGET.max(chain.call_budget)).of(Mode::Enforce), (MS * 20, MS * 50));
    }
}
