//! How many instructions calls took, and how far from what a golden line gives is too far.

/// A line may take so much more than it gives, percent ...
const TOLERANCE_PERCENT: u64 = 20;
/// ... and so many instructions at least: another compiler moves short calls by more than their share.
const TOLERANCE_MIN: u64 = 1_000;

/// Instructions of some calls. For the same component and the same events they are the same on every machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fuel {
    /// How many calls that were.
    pub calls: u64,
    /// What they took together.
    pub total: u64,
    /// What the longest took ...
    pub max: u64,
    /// ... and where that was: the first of them.
    pub max_at: String,
}

impl Fuel {
    /// One more, at this place.
    pub fn note(&mut self, place: &str, fuel: u64) {
        self.calls += 1;
        self.total = self.total.saturating_add(fuel);
        if fuel > self.max {
            self.max = fuel;
            place.clone_into(&mut self.max_at);
        }
    }

    /// What one took on average; 0 if there were none.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.total as f64 / self.calls.max(1) as f64
    }
}

/// Why a line took too much of it; `None`: it did not.
pub(super) fn excess(given: u64, found: u64) -> Option<String> {
    let most = given.saturating_add(tolerance(given));
    let why = if share(given) < TOLERANCE_MIN {
        format!("{given} + {TOLERANCE_MIN}")
    } else {
        format!("{given} + {TOLERANCE_PERCENT} %")
    };
    (found > most).then(|| format!("fuel {found}, at most {most} ({why})"))
}

/// Whether what a line gives says nothing of what it takes any more: too little or too much.
pub(super) const fn is_stale(given: u64, found: u64) -> bool {
    found.abs_diff(given) > tolerance(given)
}

const fn tolerance(given: u64) -> u64 {
    let share = share(given);
    if share < TOLERANCE_MIN { TOLERANCE_MIN } else { share }
}

const fn share(given: u64) -> u64 {
    given.saturating_mul(TOLERANCE_PERCENT) / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_more_is_too_much_and_of_little_a_thousand() {
        let told = "fuel 12001, at most 12000 (10000 + 20 %)";
        assert_eq!((excess(10_000, 12_000), excess(10_000, 12_001).as_deref()), (None, Some(told)));
        let told = "fuel 1101, at most 1100 (100 + 1000)";
        assert_eq!((excess(100, 1_100), excess(100, 1_101).as_deref()), (None, Some(told)));
        assert_eq!((excess(u64::MAX, u64::MAX), excess(10_000, 0)), (None, None), "less is never too much");
    }

    #[test]
    fn what_is_far_off_in_either_direction_is_stale() {
        for (given, found, stale) in
            [(10_000, 8_000, false), (10_000, 7_999, true), (10_000, 12_001, true), (500, 0, false), (0, 1_001, true)]
        {
            assert_eq!(is_stale(given, found), stale, "{given} {found}");
        }
    }

    #[test]
    fn the_first_of_the_longest_is_told() {
        let mut fuel = Fuel::default();
        assert!(fuel.mean() < f64::EPSILON);
        for (place, it) in [("a", 1), ("b", 4), ("c", 4)] {
            fuel.note(place, it);
        }
        assert_eq!(fuel, Fuel { calls: 3, total: 9, max: 4, max_at: "b".to_owned() });
        assert!((fuel.mean() - 3.0).abs() < f64::EPSILON);
    }
}
