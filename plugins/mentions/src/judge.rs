//! What is done about the mentions of a text.

use std::ops::Range;

use confab_plugin::message::{Event, Kind};
use confab_plugin::normal::{plain, skeleton};
use confab_plugin::{Finding, Flagging, Form, Refusal, Role, RoomRole, Verdict, kv};

use crate::config::{Action, Config, NAMES_MAX};
use crate::scan::mentions;

const MINUTE_MS: u64 = 60_000;

/// Why something is done.
struct Rule {
    name: &'static str,
    score: u8,
    /// For the author.
    reason: &'static str,
}

const MOST: Rule =
    Rule { name: "mentions.most", score: 60, reason: "that mentions too many at once; mention fewer people" };
const SAME: Rule =
    Rule { name: "mentions.same", score: 50, reason: "that mentions somebody again and again; once is enough" };
const EVERYONE: Rule = Rule {
    name: "mentions.everyone",
    score: 50,
    reason: "only moderators may call everyone; leave that out, or mention whom you mean",
};
const PER_MINUTE: Rule = Rule {
    name: "mentions.per-minute",
    score: 60,
    reason: "you mentioned many people in a short time; wait a minute, or write without mentions",
};

/// All that `init` made of the configuration.
#[derive(Clone, Debug)]
pub(crate) struct Judge {
    config: Config,
    /// What calls everyone, as it looks.
    everyone: Vec<String>,
}

struct Hit {
    action: Action,
    rule: &'static Rule,
    form: Form,
    range: Range<usize>,
}

/// What one form of a text mentions.
#[derive(Default)]
struct Tally {
    names: usize,
    hit: Option<Hit>,
}

impl Judge {
    pub(crate) fn new(config: Config) -> Self {
        let everyone = config.everyone.iter().map(|name| skeleton(&plain(name)).into_owned()).collect();
        Self { config, everyone }
    }

    pub(crate) fn decide(&self, event: &Event) -> Verdict {
        let (body, seen) = (event.body.as_str(), event.skeleton.as_str());
        if !(body.contains('@') || seen.contains('@')) || (self.config.exempt_moderators && is_moderator(event)) {
            return Verdict::Allow;
        }
        // The server rings by the body; readers see what it looks like.
        let rung = self.tally(body, Form::Body);
        let shown = if body.eq_ignore_ascii_case(seen) { Tally::default() } else { self.tally(seen, Form::Skeleton) };
        let names = rung.names.max(shown.names);
        let worst = stricter(rung.hit, shown.hit);
        let is_posted = worst.as_ref().is_none_or(|hit| hit.action <= Action::Flag);
        let over = if is_posted { self.over_budget(event, names) } else { None };
        stricter(worst, over).map_or(Verdict::Allow, verdict)
    }

    fn tally(&self, text: &str, form: Form) -> Tally {
        let mut tally = Tally::default();
        let mut names = Vec::new();
        for mention in mentions(text) {
            let hit =
                |action, rule| (action > Action::Off).then(|| Hit { action, rule, form, range: mention.range.clone() });
            if self.calls_everyone(mention.name) {
                tally.hit = stricter(tally.hit.take(), hit(self.config.everyone_action, &EVERYONE));
            }
            let times = count(&mut names, mention.name);
            if names.len() > self.config.most {
                tally.hit = stricter(tally.hit.take(), hit(self.config.most_action, &MOST));
            }
            if times > self.config.same {
                tally.hit = stricter(tally.hit.take(), hit(self.config.same_action, &SAME));
            }
        }
        tally.names = names.len();
        tally
    }

    fn calls_everyone(&self, name: &str) -> bool {
        self.everyone.iter().any(|it| it.eq_ignore_ascii_case(name))
    }

    /// Counts the names of a text that would be posted, unless they are too many.
    fn over_budget(&self, event: &Event, names: usize) -> Option<Hit> {
        let Config { per_minute, per_minute_action: action, .. } = self.config;
        let by = i64::try_from(names).unwrap_or(i64::MAX);
        if by == 0 || action == Action::Off || !matches!(event.kind, Kind::New | Kind::Edit) {
            return None;
        }
        let key = kv::about(event.author, "minute");
        if kv::add(&key, by, MINUTE_MS) <= i64::from(per_minute) {
            return None;
        }
        if action > Action::Flag {
            kv::add(&key, -by, MINUTE_MS);
        }
        Some(Hit { action, rule: &PER_MINUTE, form: Form::Body, range: 0..event.body.len() })
    }
}

/// How often a name was there, this time included; 0: there are too many names to tell.
fn count<'a>(names: &mut Vec<(&'a str, usize)>, name: &'a str) -> usize {
    if let Some((_, times)) = names.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
        *times += 1;
        return *times;
    }
    if names.len() > NAMES_MAX {
        return 0;
    }
    names.push((name, 1));
    1
}

/// Of equally strict ones the first.
fn stricter(first: Option<Hit>, second: Option<Hit>) -> Option<Hit> {
    match (first, second) {
        (Some(first), Some(second)) if second.action > first.action => Some(second),
        (first, second) => first.or(second),
    }
}

/// The role in a room counts for what is said there: its name is shown to all. It makes no moderator of a bot.
fn is_moderator(event: &Event) -> bool {
    let is_said = matches!(event.kind, Kind::New | Kind::Edit | Kind::Reaction);
    matches!(event.role, Role::Owner | Role::Admin | Role::Moderator)
        || (is_said
            && event.role != Role::Bot
            && matches!(event.room_role, RoomRole::Owner | RoomRole::Admin | RoomRole::Moderator))
}

fn verdict(hit: Hit) -> Verdict {
    let Hit { action, rule, form, range } = hit;
    let finding = Finding::of(rule.name).at(form, range);
    let refusal = |finding| Refusal { reason: rule.reason.to_owned(), finding };
    match action {
        Action::Off => Verdict::Allow,
        Action::Flag => Verdict::Flag(Flagging { label: "mentions".to_owned(), score: rule.score, finding }),
        Action::Hold => Verdict::Hold(finding),
        Action::Bounce => Verdict::Bounce(refusal(finding)),
        Action::Reject => Verdict::Reject(refusal(finding)),
    }
}
