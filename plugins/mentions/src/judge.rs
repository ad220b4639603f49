//! What is done about the mentions of a text.

use std::ops::Range;

use confab_plugin::message::{Event, Kind};
use confab_plugin::normal::{plain, skeleton};
use confab_plugin::{Finding, Flagging, Form, Refusal, Role, RoomRole, Verdict, kv};

use crate::code::is_code;
use crate::config::{Action, Config, NAMES_MAX};
use crate::scan::{Looks, Mention, mentions};

const MINUTE_MS: u64 = 60_000;
/// Different names that a text may have as code or as numbers without being counted; people may be called so.
const EXCUSED_MAX: usize = 3;
/// The same for words of the lists where the text has lines of code, as a class has annotations, and for scopes of
/// packages.
const EXCUSED_IN_CODE_MAX: usize = 16;
/// How often what calls everyone is looked at more closely; whoever writes it more often does not talk about it.
const CLOSE_LOOKS_MAX: usize = 20;

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
struct Tally<'a> {
    seen: Vec<Seen<'a>>,
    /// Names that are counted, and of them those that look like code.
    names: usize,
    variables: usize,
    /// Those that may be code and are not counted yet.
    excused: usize,
    hit: Option<Hit>,
    /// The mention that was one too many.
    over: Option<Range<usize>>,
}

/// A name of a text.
struct Seen<'a> {
    name: &'a str,
    looks: Looks,
    times: usize,
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
        let rung = self.tally(body, Form::Body, &[]);
        let shown = if body.eq_ignore_ascii_case(seen) {
            Tally::default()
        } else {
            self.tally(seen, Form::Skeleton, &rung.seen)
        };
        let names = rung.names.max(shown.names);
        let worst = stricter(rung.hit, shown.hit);
        let is_posted = worst.as_ref().is_none_or(|hit| hit.action <= Action::Flag);
        let over = if is_posted { self.over_budget(event, names) } else { None };
        stricter(worst, over).map_or(Verdict::Allow, verdict)
    }

    /// `known`: names that were looked at in another form, which has the capitals.
    fn tally<'a>(&self, text: &'a str, form: Form, known: &[Seen<'_>]) -> Tally<'a> {
        let (mut tally, mut close_looks) = (Tally::default(), 0);
        let words_max = if is_code(text) { EXCUSED_IN_CODE_MAX } else { EXCUSED_MAX };
        for mention in mentions(text) {
            let hit = |action, rule| of(action, rule, form, mention.range.clone());
            let mut is_call = true;
            if self.calls_everyone(mention.name) {
                close_looks += 1;
                is_call = close_looks > CLOSE_LOOKS_MAX || !mention.is_no_call();
                if is_call {
                    tally.hit = stricter(tally.hit.take(), hit(self.config.everyone_action, &EVERYONE));
                }
            }
            let Some((looks, times)) = tally.note(&mention, known, words_max) else { continue };
            if tally.names > self.config.most && tally.over.is_none() {
                tally.over = Some(mention.range.clone());
            }
            if times > self.config.same && is_call {
                let action = self.config.same_action;
                // A variable is used again and again, but not called.
                let action = if looks == Looks::Variable { action.min(Action::Flag) } else { action };
                tally.hit = stricter(tally.hit.take(), hit(action, &SAME));
            }
        }
        if let Some(over) = tally.over.take() {
            let first = tally.hit.as_ref().is_none_or(|hit| over.start < hit.range.start);
            let most = of(self.most_action(&tally), &MOST, form, over);
            let hit = tally.hit.take();
            tally.hit = if first { stricter(most, hit) } else { stricter(hit, most) };
        }
        tally
    }

    /// Of too many names. Where most of them look like code, the text is posted if they are few, but shown to moderators,
    /// and else waits for them: no author can write code without its names.
    fn most_action(&self, tally: &Tally<'_>) -> Action {
        let Config { most, most_action: action, .. } = self.config;
        let people = tally.names.saturating_sub(tally.variables);
        if people > most || people >= tally.variables {
            action
        } else if tally.names <= most.saturating_mul(2) {
            action.min(Action::Flag)
        } else {
            action.min(Action::Hold)
        }
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

impl<'a> Tally<'a> {
    /// What a name looks like where it stands first, and how often it was there as a name; nothing: there are too many to
    /// tell.
    fn note(&mut self, mention: &Mention<'a>, known: &[Seen<'_>], words_max: usize) -> Option<(Looks, usize)> {
        let is_it = |name: &str| name.eq_ignore_ascii_case(mention.name);
        if let Some(seen) = self.seen.iter_mut().find(|it| is_it(it.name)) {
            let is_name = match seen.looks {
                Looks::Name | Looks::Variable => true,
                Looks::Word | Looks::Scope => false,
                Looks::Call => !mention.is_call(),
            };
            seen.times += usize::from(is_name);
            return Some((seen.looks, seen.times));
        }
        if self.seen.len() > NAMES_MAX {
            return None;
        }
        let looks = known.iter().find(|it| is_it(it.name)).map_or_else(|| mention.looks(), |it| it.looks);
        let times = usize::from(matches!(looks, Looks::Name | Looks::Variable));
        self.seen.push(Seen { name: mention.name, looks, times });
        self.count(looks, words_max);
        Some((looks, times))
    }

    fn count(&mut self, looks: Looks, words_max: usize) {
        let free = match looks {
            Looks::Name | Looks::Variable => 0,
            Looks::Word => words_max,
            Looks::Scope => EXCUSED_IN_CODE_MAX,
            Looks::Call => EXCUSED_MAX,
        };
        if self.excused < free {
            self.excused += 1;
            return;
        }
        self.names += 1;
        self.variables += usize::from(matches!(looks, Looks::Variable | Looks::Word | Looks::Scope));
    }
}

/// Nothing where nothing is to be done.
fn of(action: Action, rule: &'static Rule, form: Form, range: Range<usize>) -> Option<Hit> {
    (action > Action::Off).then_some(Hit { action, rule, form, range })
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
