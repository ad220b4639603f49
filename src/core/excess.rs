//! What plugins find where it counts for nothing, in shadow mode or while one is out of service, is kept up to a bound: a rule
//! that matches everything would fill an audit of which nothing is ever taken away. So is what could not be decided and may come
//! again: the more there is to do, the more of it. The rest is counted, and told once a minute. Cases that flags open have a
//! bound as well.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use confab_protocol::model::{RoomId, UserId};

use super::Core;
use super::cases::NewRecord;
use super::hook::{FAILED, Mark, OUT_OF_SERVICE};

/// Such findings that are kept in a minute, of one rule of one plugin.
const FINDINGS_PER_MINUTE: u32 = 60;
/// The same of one account: who repeats themselves would keep out of the audit what was let pass of others meanwhile.
const FINDINGS_PER_ACCOUNT: u32 = 20;
const _: () = assert!(FINDINGS_PER_ACCOUNT < FINDINGS_PER_MINUTE / 2);
/// Rules of one plugin that have this each: it may make up as many as it likes. Those behind them share it.
const RULES_MAX: usize = 16;
/// Cases that flags of one plugin open in a minute: each keeps up to six messages for months.
const FLAG_CASES_PER_MINUTE: u32 = 60;
/// The same about one author: who takes up all of them would keep what others say out of the queue.
const FLAG_CASES_PER_AUTHOR: u32 = 10;
const _: () = assert!(FLAG_CASES_PER_AUTHOR < FLAG_CASES_PER_MINUTE / 2);
const MINUTE: Duration = Duration::from_secs(60);

/// How many there were of one rule.
#[derive(Default)]
struct Tally {
    kept: u32,
    /// Of those, of whom: no more of them than are kept.
    accounts: HashMap<UserId, u32>,
    left_out: u64,
    /// One of those that were left out, by its hook.
    like: Option<(String, Mark)>,
}

#[derive(Default)]
struct OfPlugin {
    rules: HashMap<String, Tally>,
    /// Of all rules behind [`RULES_MAX`].
    others: Tally,
    cases: u32,
    /// Of those, about whom: no more of them than cases.
    authors: HashMap<UserId, u32>,
}

impl OfPlugin {
    fn tally(&mut self, rule: &str) -> &mut Tally {
        if self.rules.len() < RULES_MAX || self.rules.contains_key(rule) {
            self.rules.entry(rule.to_owned()).or_default()
        } else {
            &mut self.others
        }
    }
}

#[derive(Default)]
struct Minute {
    began: Duration,
    plugins: HashMap<Arc<str>, OfPlugin>,
    /// Nobody waits for its end.
    is_last: bool,
}

/// What was left out.
struct Left {
    hook: String,
    /// One like it, without words.
    mark: Mark,
    count: u64,
}

/// Of this minute. It is over when it is looked at, so a store that is away keeps the bounds as they are.
#[derive(Default)]
pub(super) struct Excess(Mutex<Minute>);

impl Excess {
    fn lock(&self) -> MutexGuard<'_, Minute> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is room for it, of this account. What counts has no bound.
    fn keeps(&self, hook: &str, mark: &Mark, who: UserId) -> bool {
        if !is_bounded(mark) {
            return true;
        }
        let mut minute = self.lock();
        let tally = minute.plugins.entry(Arc::clone(&mark.plugin)).or_default().tally(&mark.rule);
        let of_account = tally.accounts.get(&who).copied().unwrap_or_default();
        if tally.kept < FINDINGS_PER_MINUTE && of_account < FINDINGS_PER_ACCOUNT {
            tally.kept += 1;
            tally.accounts.insert(who, of_account + 1);
            return true;
        }
        tally.left_out += 1;
        tally.like.get_or_insert_with(|| (hook.to_owned(), without_words(mark)));
        false
    }

    /// Whether a flag of this plugin opens one more case about this author.
    fn opens(&self, plugin: &Arc<str>, author: UserId) -> bool {
        let mut minute = self.lock();
        let of_plugin = minute.plugins.entry(Arc::clone(plugin)).or_default();
        if of_plugin.cases >= FLAG_CASES_PER_MINUTE {
            return false;
        }
        let of_author = of_plugin.authors.entry(author).or_default();
        let opens = *of_author < FLAG_CASES_PER_AUTHOR;
        *of_author += u32::from(opens);
        of_plugin.cases += u32::from(opens);
        opens
    }

    /// How long this minute still is.
    pub(super) fn rest(&self, now: Duration) -> Duration {
        MINUTE.saturating_sub(now.saturating_sub(self.lock().began))
    }

    /// From now on it is over whenever it is looked at.
    pub(super) fn end(&self) {
        self.lock().is_last = true;
    }

    /// What was left out, once the minute is over; then the next one begins.
    fn take(&self, now: Duration) -> Vec<Left> {
        let mut minute = self.lock();
        if !minute.is_last && now.saturating_sub(minute.began) < MINUTE {
            return Vec::new();
        }
        minute.began = now;
        let plugins = std::mem::take(&mut minute.plugins);
        drop(minute);
        plugins.into_values().flat_map(left_out).collect()
    }
}

fn left_out(of_plugin: OfPlugin) -> impl Iterator<Item = Left> {
    let OfPlugin { rules, mut others, .. } = of_plugin;
    // They were of many rules.
    if let Some((_, mark)) = &mut others.like {
        mark.rule.clear();
    }
    let left = |Tally { left_out: count, like, .. }| like.map(|(hook, mark)| Left { hook, mark, count });
    rules.into_values().chain([others]).filter_map(left)
}

/// A hold while a plugin is out of service is none of these: its case is to be found in the audit.
fn is_bounded(mark: &Mark) -> bool {
    let passed = mark.rule == OUT_OF_SERVICE && mark.verdict == "flag" && mark.label.is_empty();
    !mark.enforced || passed || mark.verdict == "unavailable"
}

/// What is found of a text that is refused, since much of its author is held: that a plugin is out of service, or failed at
/// it, has no case then, and a bound as where it refuses. One author alone opens no breaker, however often it fails for them.
pub(super) fn unheld(mut marks: Vec<Mark>) -> Vec<Mark> {
    let is_outage = |mark: &&mut Mark| (mark.rule == OUT_OF_SERVICE || mark.rule == FAILED) && mark.verdict == "hold";
    marks.iter_mut().filter(is_outage).for_each(|mark| mark.verdict = "unavailable");
    marks
}

fn without_words(mark: &Mark) -> Mark {
    let (label, note, shown) = (String::new(), String::new(), String::new());
    Mark { label, note, shown, score: 0, span: None, ..mark.clone() }
}

impl Core {
    /// Whether a finding of somebody is kept. If not, it is counted.
    pub(super) fn keeps(&self, hook: &str, mark: &Mark, who: UserId) -> bool {
        let keeps = self.limits.excess.keeps(hook, mark, who);
        if !keeps {
            self.metrics.plugin_findings_omitted_total.with_label_values(&[&*mark.plugin]).inc();
        }
        keeps
    }

    /// Whether a flag opens a case. If not, that is counted, and the audit has the flag alone.
    pub(super) fn opens_case(&self, flag: &Mark, author: UserId) -> bool {
        let opens = self.limits.excess.opens(&flag.plugin, author);
        if !opens {
            self.metrics.plugin_cases_omitted_total.with_label_values(&[&*flag.plugin]).inc();
        }
        opens
    }

    /// How many findings were left out in the minute that is over: a record for each rule. They were of many rooms and
    /// people, so it names none.
    pub(super) fn left_out_records(&self) -> Vec<NewRecord> {
        let record = |Left { hook, mark, count }| {
            let mut new = self.finding(&hook, (UserId::NONE, RoomId::NONE), mark);
            new.record.detail = format!("and {count} more, which were not kept");
            new
        };
        self.limits.excess.take(self.clock.elapsed()).into_iter().map(record).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(plugin: &str, rule: &str) -> Mark {
        Mark {
            plugin: plugin.into(),
            hash: "".into(),
            enforced: false,
            verdict: "reject",
            rule: rule.to_owned(),
            label: String::new(),
            score: 0,
            span: None,
            note: "they said it".to_owned(),
            shown: String::new(),
        }
    }

    /// How many of so many are kept, each of somebody else.
    fn kept(excess: &Excess, mark: &Mark, count: u128) -> usize {
        (0..count).filter(|who| excess.keeps("message", mark, UserId::from_u128(*who))).count()
    }

    fn told(excess: &Excess, seconds: u64) -> Vec<(String, String, u64)> {
        let left = excess.take(Duration::from_secs(seconds));
        assert!(left.iter().all(|it| it.mark.note.is_empty() && it.hook == "message"), "words go with their author");
        let mut told: Vec<_> =
            left.into_iter().map(|it| (it.mark.plugin.to_string(), it.mark.rule, it.count)).collect();
        told.sort();
        told
    }

    fn of(plugin: &str, rule: &str, count: u64) -> (String, String, u64) {
        (plugin.to_owned(), rule.to_owned(), count)
    }

    #[test]
    fn each_rule_of_each_plugin_has_a_bound_and_is_told_of_when_the_minute_is_over() {
        let excess = Excess::default();
        let [a, b, c] = [mark("one", "a"), mark("one", "b"), mark("two", "a")];
        assert_eq!((kept(&excess, &a, 100), kept(&excess, &b, 10), kept(&excess, &c, 61)), (60, 10, 60));
        assert!(told(&excess, 59).is_empty());
        assert_eq!(kept(&excess, &a, 1), 0, "it is not over");
        assert_eq!(excess.rest(Duration::from_secs(59)), Duration::from_secs(1));
        assert_eq!(told(&excess, 60), [of("one", "a", 41), of("two", "a", 1)]);
        assert_eq!(excess.rest(Duration::from_secs(60)), MINUTE);
        assert_eq!(kept(&excess, &a, 61), 60);
        assert!(told(&excess, 61).is_empty());
        excess.end();
        assert_eq!(told(&excess, 61), [of("one", "a", 1)]);
    }

    #[test]
    fn no_account_has_all_of_them() {
        let excess = Excess::default();
        let found = mark("one", "a");
        let of_one = |who| (0..100).filter(|_| excess.keeps("message", &found, UserId::from_u128(who))).count();
        assert_eq!([1, 2, 3, 4].map(of_one), [20, 20, 20, 0]);
        assert_eq!(told(&excess, 60), [of("one", "a", 340)]);
        assert_eq!(of_one(1), 20);
    }

    #[test]
    fn rules_that_are_made_up_share_one_bound() {
        let excess = Excess::default();
        let keeps = |n: &u128| excess.keeps("message", &mark("one", &n.to_string()), UserId::from_u128(*n));
        let kept = (0..1_000).filter(keeps).count();
        assert_eq!(kept, RULES_MAX + 60);
        assert_eq!(told(&excess, 60), [of("one", "", 1_000 - kept as u64)]);
    }

    #[test]
    fn what_counts_is_kept() {
        let excess = Excess::default();
        let kept = |verdict, rule: &str, label: &str| {
            let mark = Mark { enforced: true, verdict, label: label.to_owned(), ..mark("one", rule) };
            kept(&excess, &mark, 100)
        };
        assert_eq!((kept("reject", "a", ""), kept("flag", "a", "spam"), kept("flag", "a", "")), (100, 100, 100));
        // That it lets everything pass is said often enough; what it is kept from seeing and held has a case.
        assert_eq!((kept("hold", OUT_OF_SERVICE, ""), kept("flag", OUT_OF_SERVICE, "")), (100, 60));
        assert_eq!((kept("flag", OUT_OF_SERVICE, "spam"), kept("unavailable", OUT_OF_SERVICE, "")), (100, 0));
        // Of what may come again nothing was decided.
        assert_eq!((kept("unavailable", "busy", ""), kept("unavailable", "failed", "")), (60, 60));
    }

    #[test]
    fn so_is_what_a_plugin_would_hold_and_not_that_none_does_or_that_it_failed() {
        let hold = |rule: &str| Mark { enforced: true, verdict: "hold", ..mark("one", rule) };
        let kept = unheld(vec![hold("a"), hold(OUT_OF_SERVICE), hold(FAILED)]).into_iter().map(|it| {
            let excess = Excess::default();
            (it.verdict, kept(&excess, &it, 100))
        });
        assert_eq!(kept.collect::<Vec<_>>(), [("hold", 100), ("unavailable", 60), ("unavailable", 60)]);
    }

    #[test]
    fn cases_of_flags_have_a_bound_of_which_no_author_has_all() {
        let excess = Excess::default();
        let opened = |plugin: &str, author: u128| {
            (0..100).filter(|_| excess.opens(&plugin.into(), UserId::from_u128(author))).count()
        };
        assert_eq!((opened("one", 1), opened("one", 1), opened("two", 1)), (10, 0, 10));
        let others: Vec<usize> = (2..9).map(|author| opened("one", author)).collect();
        assert_eq!(others, [10, 10, 10, 10, 10, 0, 0]);
        assert!(told(&excess, 60).is_empty(), "the audit has all of them");
        assert_eq!(opened("one", 1), 10);
    }
}
