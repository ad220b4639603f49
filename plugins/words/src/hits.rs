//! What was found in one form of a text, and which of it counts.

use confab_plugin::Form;

use crate::config::{Action, Rule};
use crate::entry::Kind;

/// Points of signs that together are a hit.
const POINTS_MIN: usize = 5;
/// Bytes within which they stand: a short message. Long ones have some of everything.
const WINDOW: usize = 240;

/// An entry without its text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meta {
    pub kind: Kind,
    pub rule: Option<usize>,
    pub is_vague: bool,
}

/// How something was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum How {
    Signs,
    Oddly,
    LookAlike,
    Plainly,
}

impl How {
    /// How sure a match is, percent.
    const fn score(self) -> u8 {
        match self {
            Self::Signs => 60,
            Self::Oddly => 75,
            Self::LookAlike => 80,
            Self::Plainly => 90,
        }
    }

    /// For moderators.
    pub(crate) const fn note(self) -> &'static str {
        match self {
            Self::Signs => "several signs together",
            Self::Oddly => "spelled oddly",
            Self::LookAlike => "written with look-alike letters",
            Self::Plainly => "",
        }
    }
}

/// A match of a rule in bytes of a form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hit {
    pub rule: usize,
    pub is_vague: bool,
    pub how: How,
    pub from: usize,
    pub to: usize,
}

impl Hit {
    /// What is done about it: what may be innocent is flagged at most.
    pub(crate) fn action(&self, rules: &[Rule]) -> Action {
        let action = rules.get(self.rule).map_or(Action::Off, |rule| rule.action);
        if self.is_vague { action.min(Action::Flag) } else { action }
    }

    /// How sure it is, percent.
    pub(crate) const fn score(&self) -> u8 {
        if self.is_vague { 50 } else { self.how.score() }
    }
}

/// All that was found in one form.
#[derive(Debug)]
pub(crate) struct Hits {
    pub form: Form,
    hits: Vec<Hit>,
    /// Rule, start, end; sorted before use, with the furthest end so far of the same rule.
    allowed: Vec<(Option<usize>, usize, usize)>,
    /// The same of what makes innocent what ends in it.
    endings: Vec<(Option<usize>, usize, usize)>,
    /// Rule, entry, points, start, end.
    signs: Vec<(usize, usize, u8, usize, usize)>,
}

impl Hits {
    pub(crate) const fn new(form: Form) -> Self {
        Self { form, hits: Vec::new(), allowed: Vec::new(), endings: Vec::new(), signs: Vec::new() }
    }

    /// Notes a match of an entry.
    pub(crate) fn add(&mut self, meta: Meta, entry: usize, how: How, from: usize, to: usize) {
        match (meta.kind, meta.rule) {
            (Kind::Allow, rule) => self.allowed.push((rule, from, to)),
            (Kind::Ending, rule) => self.endings.push((rule, from, to)),
            (Kind::Hit, Some(rule)) => self.hits.push(Hit { rule, is_vague: meta.is_vague, how, from, to }),
            (Kind::Cue(points), Some(rule)) => self.signs.push((rule, entry, points, from, to)),
            (_, None) => {}
        }
    }

    /// The hit that most is done about, of those that nothing allows.
    pub(crate) fn strongest(mut self, rules: &[Rule], is_profile: bool) -> Option<Hit> {
        if self.hits.is_empty() && self.signs.is_empty() {
            return None;
        }
        self.sort_allowed();
        let signs = std::mem::take(&mut self.signs);
        let signs: Vec<_> = signs.into_iter().filter(|it| !self.is_allowed(it.0, it.3, it.4)).collect();
        self.hits.extend(together(signs));
        let counts = |hit: &&Hit| {
            (is_profile || !rules.get(hit.rule).is_some_and(|rule| rule.is_for_profiles))
                && !self.is_allowed(hit.rule, hit.from, hit.to)
        };
        let strength = |hit: &&Hit| (hit.action(rules), hit.how, std::cmp::Reverse(hit.from));
        self.hits.iter().filter(counts).max_by_key(strength).copied()
    }

    fn sort_allowed(&mut self) {
        self.endings.sort_unstable();
        self.allowed.sort_unstable();
        let mut last: Option<(Option<usize>, usize)> = None;
        for (rule, _, to) in &mut self.allowed {
            *to = (*to).max(last.filter(|it| it.0 == *rule).map_or(0, |it| it.1));
            last = Some((*rule, *to));
        }
    }

    /// Whether an allowance, for all or for this rule, covers these bytes.
    fn is_allowed(&self, rule: usize, from: usize, to: usize) -> bool {
        [None, Some(rule)].into_iter().any(|scope| {
            let after = self.allowed.partition_point(|it| (it.0, it.1) <= (scope, from));
            let covers = |it: &(Option<usize>, usize, usize)| it.0 == scope && it.2 >= to;
            after.checked_sub(1).and_then(|at| self.allowed.get(at)).is_some_and(covers)
                || self.is_ended(scope, from, to)
        })
    }

    /// Whether these bytes end in something that makes them innocent.
    fn is_ended(&self, scope: Option<usize>, from: usize, to: usize) -> bool {
        let first = self.endings.partition_point(|it| (it.0, it.1) < (scope, from));
        let inside = self.endings.iter().skip(first).take_while(|it| (it.0, it.1) < (scope, to));
        inside.into_iter().any(|it| it.2 >= to)
    }
}

/// The first place where different signs of one rule stand near enough to each other; each counts once.
fn together(mut signs: Vec<(usize, usize, u8, usize, usize)>) -> Option<Hit> {
    signs.sort_unstable_by_key(|it| (it.0, it.3));
    // Of each sign inside the window: how often.
    let mut inside: Vec<(usize, usize)> = Vec::new();
    let (mut first, mut points) = (0, 0);
    for (rule, entry, worth, from, to) in &signs {
        match inside.iter_mut().find(|it| it.0 == *entry) {
            Some(it) => it.1 += 1,
            None => {
                inside.push((*entry, 1));
                points += usize::from(*worth);
            }
        }
        while let Some((other, gone, worth, start, _)) = signs.get(first) {
            if other == rule && from - start <= WINDOW {
                break;
            }
            first += 1;
            if let Some(at) = inside.iter().position(|it| it.0 == *gone) {
                inside[at].1 -= 1;
                if inside[at].1 == 0 {
                    inside.swap_remove(at);
                    points -= usize::from(*worth);
                }
            }
        }
        if points >= POINTS_MIN {
            let start = signs.get(first).map_or(*from, |it| it.3);
            return Some(Hit { rule: *rule, is_vague: false, how: How::Signs, from: start, to: *to });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const HIT: Meta = Meta { kind: Kind::Hit, rule: Some(0), is_vague: false };

    fn rules() -> Vec<Rule> {
        vec![Rule::new("a", Action::Flag, ""), Rule::new("b", Action::Reject, "")]
    }

    #[test]
    fn what_is_allowed_does_not_count() {
        for (scope, from, to, counts) in
            [(None, 4, 9, false), (Some(0), 0, 20, false), (Some(1), 0, 20, true), (None, 5, 7, true)]
        {
            let mut hits = Hits::new(Form::Plain);
            hits.add(HIT, 0, How::Plainly, 4, 9);
            hits.add(Meta { kind: Kind::Allow, rule: scope, ..HIT }, 1, How::Plainly, 3, 4);
            hits.add(Meta { kind: Kind::Allow, rule: scope, ..HIT }, 1, How::Plainly, from, to);
            assert_eq!(hits.strongest(&rules(), false).is_some(), counts, "{scope:?} {from} {to}");
        }
    }

    #[test]
    fn what_ends_in_something_innocent_does_not_count() {
        for (scope, from, to, counts) in [
            (Some(0), 6, 20, false),
            (Some(0), 4, 9, false),
            (None, 8, 9, false),
            (Some(1), 6, 20, true),
            (Some(0), 3, 20, true),
            (Some(0), 9, 20, true),
            (Some(0), 6, 8, true),
        ] {
            let mut hits = Hits::new(Form::Plain);
            hits.add(HIT, 0, How::Plainly, 4, 9);
            hits.add(Meta { kind: Kind::Ending, rule: scope, ..HIT }, 1, How::Plainly, from, to);
            assert_eq!(hits.strongest(&rules(), false).is_some(), counts, "{scope:?} {from} {to}");
        }
    }

    #[test]
    fn the_strongest_counts_and_vague_ones_are_weak() {
        let mut hits = Hits::new(Form::Plain);
        hits.add(HIT, 0, How::Plainly, 0, 1);
        hits.add(Meta { rule: Some(1), ..HIT }, 0, How::Oddly, 5, 6);
        hits.add(Meta { rule: Some(1), is_vague: true, ..HIT }, 0, How::Plainly, 3, 4);
        let hit = hits.strongest(&rules(), false).unwrap();
        assert_eq!((hit.from, hit.action(&rules())), (5, Action::Reject));
    }

    #[test]
    fn signs_count_once_and_near_each_other() {
        let sign = |entry, at| (0, entry, 2, at, at + 1);
        assert!(together(vec![sign(1, 0), sign(2, 10), sign(3, 20)]).is_some());
        assert!(together(vec![sign(1, 0), sign(2, 10), sign(2, 20), sign(1, 30)]).is_none());
        assert!(together(vec![sign(1, 0), sign(2, 10), sign(3, 10 + WINDOW)]).is_none());
        assert!(together(vec![sign(1, 0), sign(2, 200), sign(1, 300), sign(3, 400)]).is_some());
    }
}
