//! What a plugin is held to by its own manifest: less than the server gives, and never more.

use std::num::NonZeroU64;
use std::time::Duration;

use serde::Deserialize;

use super::manifest::Class;
use crate::config;

/// CPU time of one call of an interpreter that decides, milliseconds.
const INTERPRETED_CALL_MS: u64 = 25;
/// An interpreter brings its own heap.
pub(super) const INTERPRETED_MEMORY_FACTOR: u64 = 4;

/// The table `limits` of a manifest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    /// CPU time of one call that decides.
    call_ms: Option<NonZeroU64>,
    /// The same on average.
    average_ms: Option<NonZeroU64>,
    /// Memory of one instance.
    memory_mib: Option<NonZeroU64>,
}

impl Limits {
    /// Checks that a server of this configuration gives as much.
    pub(super) fn check(self, class: Class, config: &config::Plugins) -> Result<(), String> {
        let (call_ms, memory_mib) = match class {
            Class::Compiled => (config.call_budget_ms, config.memory_mib),
            Class::Interpreted => {
                (config.call_budget_ms.max(INTERPRETED_CALL_MS), config.memory_mib * INTERPRETED_MEMORY_FACTOR)
            }
        };
        let keys = [
            ("call_ms", self.call_ms, call_ms),
            ("average_ms", self.average_ms, config.average_budget_ms),
            ("memory_mib", self.memory_mib, memory_mib),
        ];
        for (key, wanted, most) in keys {
            if let Some(wanted) = wanted.filter(|wanted| wanted.get() > most) {
                return Err(format!("limits.{key} is {wanted} in its manifest: this server gives at most {most}"));
            }
        }
        Ok(())
    }

    /// CPU time of one call that has so much on this server. An interpreter has more.
    pub(super) fn call(self, class: Class, given: Duration) -> Duration {
        let given = match class {
            Class::Compiled => given,
            Class::Interpreted => given.max(Duration::from_millis(INTERPRETED_CALL_MS)),
        };
        self.call_ms.map_or(given, |own| given.min(Duration::from_millis(own.get())))
    }

    /// CPU time that its calls may take on average, where a message has so much on this server. `None`: an interpreter holds
    /// nobody up, on threads of its own, and takes longer by nature.
    pub(super) fn average(self, class: Class, given: Duration) -> Option<Duration> {
        let own = self.average_ms.map(|own| given.min(Duration::from_millis(own.get())));
        (class == Class::Compiled).then(|| own.unwrap_or(given))
    }

    /// Bytes of one instance, where a compiled one has so many on this server.
    pub(super) fn memory(self, class: Class, given: u64) -> u64 {
        let given = match class {
            Class::Compiled => given,
            Class::Interpreted => given * INTERPRETED_MEMORY_FACTOR,
        };
        self.memory_mib.map_or(given, |own| given.min(own.get().saturating_mul(1 << 20)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const MIB: u64 = 1 << 20;
    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_plugin_is_held_to_less_and_never_to_more() {
        let own =
            Limits { call_ms: NonZeroU64::new(10), average_ms: NonZeroU64::new(1), memory_mib: NonZeroU64::new(20) };
        let average = |limits: Limits, class| [1, 3].map(|given| limits.average(class, MS * given));
        assert_eq!(average(own, Class::Compiled), [Some(MS), Some(MS)]);
        assert_eq!(average(Limits::default(), Class::Compiled), [Some(MS), Some(MS * 3)]);
        assert_eq!(average(own, Class::Interpreted), [None, None]);
        for (class, call, memory) in [(Class::Compiled, MS * 5, 16 * MIB), (Class::Interpreted, MS * 10, 20 * MIB)] {
            assert_eq!((own.call(class, MS * 5), own.memory(class, 16 * MIB)), (call, memory), "{class:?}");
        }
        let none = Limits::default();
        for (class, call, memory) in [(Class::Compiled, MS * 5, 16 * MIB), (Class::Interpreted, MS * 25, 64 * MIB)] {
            assert_eq!((none.call(class, MS * 5), none.memory(class, 16 * MIB)), (call, memory), "{class:?}");
        }
        // As the defaults give: 5 ms and 16 MiB, 25 and 64 to an interpreter.
        let config = Config::default().plugins;
        assert!(own.check(Class::Compiled, &config).is_err_and(|error| error.contains("limits.call_ms is 10")));
        assert_eq!(own.check(Class::Interpreted, &config), Ok(()));
        let fat = Limits { memory_mib: NonZeroU64::new(65), ..none };
        assert!(fat.check(Class::Interpreted, &config).is_err_and(|error| error.contains("limits.memory_mib is 65")));
    }
}
