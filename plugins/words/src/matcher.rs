//! The plugin's decision: what it is made of, and each form of a text once.

use confab_plugin::message::{Event, Kind as What};
use confab_plugin::{Finding, Form, Role, RoomRole, Verdict};

use crate::automod::{self, Group, Trigger};
use crate::config::{Action, Config, List, Rule};
use crate::entry::{self, Entry, Kind, Shape};
use crate::fold::fold;
use crate::hits::{Hit, Hits};
use crate::patterns::Patterns;
use crate::words::Words;

/// Bytes of all words of all lists; a plugin has 16 MiB, and takes some 100 bytes for each of these while it starts.
const BYTES_MAX: usize = 96 * 1024;

const STOCK: [(&str, &str); 4] = [
    ("slurs", include_str!("lists/slurs.txt")),
    ("harassment", include_str!("lists/harassment.txt")),
    ("profanity", include_str!("lists/profanity.txt")),
    ("spam", include_str!("lists/spam.txt")),
];
const SLURS: usize = 0;
const PROFANITY: usize = 2;

/// All that was configured, ready to be asked.
#[derive(Debug)]
pub(crate) struct Matcher {
    rules: Vec<Rule>,
    words: Words,
    /// Of the stock lists: only for texts with a digit, and only for the plain form.
    stock: Patterns,
    /// Of the operator.
    own: Patterns,
    exempt_moderators: bool,
}

/// What is gathered from the configuration.
#[derive(Default)]
struct Parts {
    rules: Vec<Rule>,
    entries: Vec<Entry>,
}

impl Matcher {
    /// Makes all that is configured.
    ///
    /// # Errors
    /// One line for the operator.
    pub(crate) fn new(config: &Config) -> Result<Self, String> {
        let mut parts = Parts::default();
        let actions = [config.slurs, config.harassment, config.profanity, config.spam];
        parts.rules.extend(STOCK.iter().zip(actions).map(|((label, _), action)| Rule::new(label, action, "")));
        for word in &config.allow {
            parts.push(None, Kind::Allow, word, false).map_err(|error| format!("allow: {error}"))?;
        }
        for list in &config.lists {
            parts.add_list(list).map_err(|error| format!("list {:?}: {error}", list.name))?;
        }
        for (number, rule) in (1..).zip(&config.automod).filter(|it| it.1.enabled) {
            parts.add_automod(number, rule)?;
        }
        for (number, (label, list)) in STOCK.iter().enumerate() {
            if parts.rules.get(number).is_some_and(|rule| rule.action > Action::Off) {
                let entries = entry::stock(list, number).map_err(|error| format!("stock list {label}: {error}"))?;
                parts.entries.extend(entries);
            }
        }
        let bytes: usize = parts.entries.iter().map(|entry| entry.shape.len()).sum();
        if bytes > BYTES_MAX {
            return Err(format!("all lists together have {bytes} bytes of words and regexes: at most {BYTES_MAX}"));
        }
        let is_stock = |entry: &&Entry| entry.rule.is_some_and(|rule| rule < STOCK.len()) && !entry.kind.is_innocent();
        let stock = Patterns::new(parts.entries.iter().filter(is_stock), true)?;
        let own = Patterns::new(parts.entries.iter().filter(|entry| !is_stock(entry)), false)?;
        let words = Words::new(&parts.entries)?;
        Ok(Self { rules: parts.rules, words, stock, own, exempt_moderators: config.exempt_moderators })
    }

    /// Decides on a text.
    pub(crate) fn decide(&self, event: &Event) -> Verdict {
        if self.exempt_moderators && is_moderator(event) {
            return Verdict::Allow;
        }
        let (plain, is_profile) = (fold(&event.plain), event.kind == What::DisplayName);
        let is_same = event.skeleton == event.plain;
        let mut hits = Hits::new(Form::Plain);
        self.words.find_plain(&plain, &mut hits);
        self.own.find(&event.plain, &mut hits);
        if !self.stock.is_empty() && event.plain.bytes().any(|byte| byte.is_ascii_digit()) {
            self.stock.find(&event.plain, &mut hits);
        }
        if is_same && plain.is_odd {
            self.words.find_odd(&event.plain, &mut hits);
        }
        let mut best = self.stronger(None, hits, is_profile);
        if !is_same {
            let alike = fold(&event.skeleton);
            let mut hits = Hits::new(Form::Skeleton);
            self.words.find_alike(&alike, &plain, &mut hits);
            self.own.find(&event.skeleton, &mut hits);
            if alike.is_odd {
                self.words.find_odd(&event.skeleton, &mut hits);
            }
            best = self.stronger(best, hits, is_profile);
        }
        if !self.own.is_empty() && (self.own.tells_case() || !event.body.eq_ignore_ascii_case(&event.plain)) {
            // Patterns may be about capitals, and what nobody sees: the body as it was sent.
            let mut hits = Hits::new(Form::Body);
            self.words.find_allowed(&fold(&small(&event.body)), &mut hits);
            self.own.find(&event.body, &mut hits);
            best = self.stronger(best, hits, is_profile);
        }
        best.map_or(Verdict::Allow, |(form, hit)| self.verdict(form, hit))
    }

    fn stronger(&self, best: Option<(Form, Hit)>, hits: Hits, is_profile: bool) -> Option<(Form, Hit)> {
        let form = hits.form;
        let found = hits.strongest(&self.rules, is_profile).map(|hit| (form, hit));
        match (best, found) {
            (Some(best), Some(found)) if found.1.action(&self.rules) > best.1.action(&self.rules) => Some(found),
            (None, found) => found,
            (best, _) => best,
        }
    }

    fn verdict(&self, form: Form, hit: Hit) -> Verdict {
        let Some(rule) = self.rules.get(hit.rule) else { return Verdict::Allow };
        let finding = Finding::of(&rule.name).at(form, hit.from..hit.to).noting(hit.how.note());
        rule.verdict(hit.action(&self.rules), hit.score(), finding)
    }
}

impl Parts {
    fn push(&mut self, rule: Option<usize>, kind: Kind, word: &str, is_exact: bool) -> Result<(), String> {
        let shape = entry::shape(word)?;
        self.entries.push(Entry { kind, rule, is_exact, is_vague: false, is_short: false, shape });
        Ok(())
    }

    fn push_regex(&mut self, rule: usize, pattern: &str) -> Result<(), String> {
        // Compiled once more with all others; here for an error that names its list.
        crate::patterns::compile(pattern)?;
        let shape = Shape::Regex(pattern.to_owned());
        let (kind, rule) = (Kind::Hit, Some(rule));
        self.entries.push(Entry { kind, rule, is_exact: false, is_vague: false, is_short: false, shape });
        Ok(())
    }

    fn add_list(&mut self, list: &List) -> Result<(), String> {
        if list.action == Action::Off {
            return Ok(());
        }
        let rule = self.rules.len();
        self.rules.push(Rule::new(&list.name, list.action, &list.reason));
        list.words.iter().try_for_each(|word| self.push(Some(rule), Kind::Hit, word, !list.evasion))?;
        list.allow.iter().try_for_each(|word| self.push(Some(rule), Kind::Allow, word, false))?;
        list.regexes.iter().try_for_each(|pattern| self.push_regex(rule, pattern))
    }

    /// `number`: its place in the list, from 1.
    fn add_automod(&mut self, number: usize, it: &automod::Rule) -> Result<(), String> {
        let (trigger, action, metadata) = (it.trigger()?, it.action()?, &it.trigger_metadata);
        let scopes = match trigger {
            Trigger::Keywords { is_for_profiles } => {
                let rule = self.rules.len();
                let label = it.label(number, |label| self.rules.iter().any(|rule| rule.label == label));
                let made = Rule::new(&label, action, it.reason());
                self.rules.push(Rule { is_for_profiles, ..made });
                let mut words = metadata.keyword_filter.iter();
                words
                    .try_for_each(|word| self.push(Some(rule), Kind::Hit, word, false))
                    .map_err(|why| it.error(&why))?;
                let mut patterns = metadata.regex_patterns.iter();
                patterns.try_for_each(|pattern| self.push_regex(rule, pattern)).map_err(|why| it.error(&why))?;
                vec![rule]
            }
            Trigger::Presets(groups) => groups.into_iter().map(|group| self.strengthen(group, action, it)).collect(),
        };
        for rule in scopes {
            let mut allowed = metadata.allow_list.iter();
            allowed
                .try_for_each(|word| self.push(Some(rule), Kind::Allow, word, false))
                .map_err(|why| it.error(&why))?;
        }
        Ok(())
    }

    /// A preset turns a stock group on, or its action into a stronger one.
    fn strengthen(&mut self, group: Group, action: Action, it: &automod::Rule) -> usize {
        let number = match group {
            Group::Slurs => SLURS,
            Group::Profanity => PROFANITY,
        };
        if let Some(rule) = self.rules.get_mut(number) {
            rule.action = rule.action.max(action);
            // Another rule's preset may have given one.
            if !it.reason().is_empty() {
                it.reason().clone_into(&mut rule.reason);
            }
        }
        number
    }
}

fn is_moderator(event: &Event) -> bool {
    matches!(event.role, Role::Owner | Role::Admin | Role::Moderator)
        || matches!(event.room_role, RoomRole::Owner | RoomRole::Admin | RoomRole::Moderator)
}

/// In small letters, each where it stood.
fn small(body: &str) -> String {
    let small = |c: char| {
        let mut letters = c.to_lowercase();
        letters.next().filter(|it| letters.next().is_none() && it.len_utf8() == c.len_utf8()).unwrap_or(c)
    };
    body.chars().map(small).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stock_lists_are_well_formed() {
        for (number, (label, list)) in STOCK.iter().enumerate() {
            let entries = entry::stock(list, number).unwrap();
            for entry in &entries {
                if let Shape::Regex(pattern) = &entry.shape {
                    assert!(pattern.contains("-9]") || pattern.contains("18"), "{label}: `{pattern}` needs a digit");
                    crate::patterns::compile(pattern).unwrap();
                }
            }
            let mut lines: Vec<&str> = list.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
            lines.sort_unstable();
            let twice: Vec<&&str> = lines.windows(2).filter(|it| it[0] == it[1]).map(|it| &it[0]).collect();
            assert!(twice.is_empty(), "{label}: {twice:?}");
        }
    }
}
