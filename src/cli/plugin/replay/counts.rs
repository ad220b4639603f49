//! How often what was found, by verdict and rule. Rules are words of the plugin's: one that makes up another for each
//! message fills no memory.

use std::collections::BTreeMap;

/// So many pairs of a verdict and a rule are told apart, those that were found first ...
pub(super) const NAMED_MAX: usize = 1_000;
/// ... and all others are one, by this word, which is no verdict.
const OTHER: &str = "other";

/// Of one verdict by one rule.
#[derive(Default)]
pub(super) struct Found {
    pub(super) count: u64,
    /// The first places.
    pub(super) samples: Vec<String>,
}

/// See the head of this file.
#[derive(Default)]
pub(super) struct Counts(BTreeMap<(&'static str, String), Found>);

impl Counts {
    /// One more; of each so many places are kept.
    pub(super) fn note(&mut self, verdict: &'static str, rule: &str, place: &str, samples: usize) {
        let key = (verdict, rule.to_owned());
        let is_told_apart = self.0.len() < NAMED_MAX || self.0.contains_key(&key);
        let found = self.0.entry(if is_told_apart { key } else { (OTHER, String::new()) }).or_default();
        found.count += 1;
        if found.samples.len() < samples {
            found.samples.push(place.to_owned());
        }
    }

    /// Verdict, rule, and what was found.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&'static str, &str, &Found)> {
        self.0.iter().map(|((verdict, rule), found)| (*verdict, rule.as_str(), found))
    }

    /// Whether some are not told apart.
    pub(super) fn has_others(&self) -> bool {
        self.0.len() > NAMED_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_for_each_message_is_one_in_the_end() {
        let mut counts = Counts::default();
        for n in 0..NAMED_MAX {
            counts.note("flag", &format!("rule-{n}"), &format!("room/{n}"), 2);
        }
        assert!(!counts.has_others() && counts.rows().count() == NAMED_MAX);
        for n in 0..5_000 {
            counts.note(if n % 2 == 0 { "flag" } else { "hold" }, &format!("late-{n}"), &format!("room/late-{n}"), 2);
            // What was there before is found among the many as well.
            counts.note("flag", "rule-7", "room/again", 2);
        }
        assert!(counts.has_others() && counts.rows().count() == NAMED_MAX + 1);
        let row = |wanted: (&str, &str)| {
            let (.., found) = counts.rows().find(|(verdict, rule, _)| (*verdict, *rule) == wanted).unwrap();
            (found.count, found.samples.join(" "))
        };
        assert_eq!(row((OTHER, "")), (5_000, "room/late-0 room/late-1".to_owned()));
        assert_eq!(row(("flag", "rule-7")), (5_001, "room/7 room/again".to_owned()));
        assert_eq!(row(("flag", "rule-8")), (1, "room/8".to_owned()));
        assert_eq!(counts.rows().map(|(.., found)| found.count).sum::<u64>(), 11_000);
    }
}
