//! Everything that /metrics tells, in one struct of typed handles. Names follow the Prometheus conventions:
//! base units, `_total` for counters.

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

const LATENCY_SECONDS: &[f64] =
    &[0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
const BATCH_ENTRIES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

macro_rules! metrics {
    ($($field:ident: $type:ident = $name:literal, $help:literal $(, [$($label:literal),+])? $(, buckets $buckets:ident)?;)+) => {
        /// Handles to every metric.
        #[derive(Debug, Clone)]
        pub struct Metrics {
            registry: Registry,
            $(#[doc = $help] pub $field: $type,)+
        }

        impl Metrics {
            /// A registry of its own, so that several servers can live in one process.
            ///
            /// # Panics
            /// When two metrics share a name, which the first test shows.
            #[must_use]
            pub fn new() -> Self {
                let registry = Registry::new();
                $(let $field = metrics!(@new $type, $name, $help $(, [$($label),+])? $(, $buckets)?)
                    .expect(concat!("metric ", $name));
                registry.register(Box::new($field.clone())).expect(concat!("metric ", $name));)+
                Self { registry, $($field,)+ }
            }

            /// Name and help of each metric, for docs/METRICS.md.
            pub const TABLE: &'static [(&'static str, &'static str, &'static str)] =
                &[$(($name, stringify!($type), $help)),+];
        }
    };
    (@new $type:ident, $name:literal, $help:literal, [$($label:literal),+], $buckets:ident) => {
        $type::new(HistogramOpts::new($name, $help).buckets($buckets.to_vec()), &[$($label),+])
    };
    (@new $type:ident, $name:literal, $help:literal, $buckets:ident) => {
        $type::with_opts(HistogramOpts::new($name, $help).buckets($buckets.to_vec()))
    };
    (@new $type:ident, $name:literal, $help:literal, [$($label:literal),+]) => {
        $type::new(Opts::new($name, $help), &[$($label),+])
    };
    (@new $type:ident, $name:literal, $help:literal) => { $type::new($name, $help) };
}

metrics! {
    build_info: IntGaugeVec = "confab_build_info", "Always 1; the version is a label.", ["version"];
    connections: IntGaugeVec = "confab_connections", "Open connections.", ["transport"];
    connections_total: IntCounterVec = "confab_connections_total", "Connections accepted.", ["transport"];
    connections_refused_total: IntCounterVec = "confab_connections_refused_total", "Connections refused before a session.", ["reason"];
    closes_total: IntCounterVec = "confab_closes_total", "Connections closed by the server, by code.", ["code"];
    panics_total: IntCounter = "confab_connection_panics_total", "Connections ended by a fault of the server.";
    frames_received_total: IntCounter = "confab_frames_received_total", "Frames that peers sent.";
    pushes_sent_total: IntCounter = "confab_pushes_sent_total", "Pushes taken from outboxes to be written.";
    requests_total: IntCounterVec = "confab_requests_total", "Requests admitted, by command.", ["command"];
    request_seconds: HistogramVec = "confab_request_seconds", "From reading a request to its reply.", ["command"], buckets LATENCY_SECONDS;
    rejects_total: IntCounterVec = "confab_rejects_total", "Requests refused, by code.", ["code"];
    entries_total: IntCounter = "confab_entries_total", "Entries durably appended.";
    entries_retired_total: IntCounter = "confab_entries_retired_total", "Entries that the retention of their room has run out for.";
    entries_duplicate_total: IntCounter = "confab_entries_duplicate_total", "Resends answered with the recorded outcome.";
    append_batch_entries: Histogram = "confab_append_batch_entries", "Entries in one commit.", buckets BATCH_ENTRIES;
    append_seconds: Histogram = "confab_append_seconds", "From taking a batch to its durable commit.", buckets LATENCY_SECONDS;
    append_unknown_total: IntCounter = "confab_append_unknown_total", "Commits whose answer came late or was lost; their authors were told to try again.";
    plugin_generation: IntGauge = "confab_plugin_generation", "How often the plugins were loaded.";
    index_rooms_behind: IntGauge = "confab_index_rooms_behind", "Rooms whose index of words is behind their log, as of its last page.";
    append_queue: IntGauge = "confab_append_queue_entries", "Entries that wait for a commit.";
    deliveries_total: IntCounter = "confab_deliveries_total", "Pushes handed to readers.";
    news_total: IntCounter = "confab_news_total", "Who types and who is here: news handed to readers.";
    news_dropped_total: IntCounter = "confab_news_dropped_total", "News that had to go because their reader is slow.";
    lagging_readers_total: IntCounter = "confab_lagging_readers_total", "Readers who fell behind in a room and were fed from the store.";
    foreign_readers_total: IntCounter = "confab_foreign_readers_total", "Readers who were fed from the store with what another process appended.";
    subscriptions: IntGauge = "confab_subscriptions", "Live interests of connections in rooms.";
    logins_total: IntCounterVec = "confab_logins_total", "Logins, by outcome.", ["outcome"];
    emergency_level: IntGauge = "confab_emergency_level", "How much the server lets happen: 0 everything, 3 the least.";
    hashing_queue: IntGauge = "confab_password_hashing_queue", "Password checks that wait or run.";
    limited_total: IntCounterVec = "confab_limited_total", "Refusals, by limit.", ["limit"];
    store_unsafe_settings: IntGauge = "confab_store_unsafe_settings", "Settings of the database that break the promise of an acknowledgement; must be 0.";
    store_errors_total: IntCounterVec = "confab_store_errors_total", "Failed store operations, by kind.", ["kind"];
    plugin_call_seconds: HistogramVec = "confab_plugin_call_seconds", "Time of one plugin call.", ["plugin", "hook"], buckets LATENCY_SECONDS;
    plugin_verdicts_total: IntCounterVec = "confab_plugin_verdicts_total", "Verdicts of plugins.", ["plugin", "hook", "verdict"];
    plugin_traps_total: IntCounterVec = "confab_plugin_traps_total", "Calls that a plugin failed at, by kind; of too-slow and some of memory the verdict held all the same.", ["plugin", "kind"];
    plugin_breaker_state: IntGaugeVec = "confab_plugin_breaker_state", "0 closed, 1 half open, 2 open.", ["plugin"];
    plugin_memory_bytes: IntGaugeVec = "confab_plugin_memory_bytes", "Linear memory of instances that wait for a call.", ["plugin"];
    plugin_kv_bytes: IntGaugeVec = "confab_plugin_kv_bytes", "What a plugin remembers between calls.", ["plugin"];
    plugin_custom_total: IntCounterVec = "confab_plugin_custom_total", "What plugins count by themselves.", ["plugin", "name"];
    plugin_passed_over_total: IntCounterVec = "confab_plugin_passed_over_total", "What an observing plugin was not shown, for it failed on it each time, or on what its author said before.", ["plugin"];
    plugin_observed_lag_seconds: IntGaugeVec = "confab_plugin_observed_lag_seconds", "How old what an observing plugin is shown next is; 0 if nothing waits.", ["plugin"];
    plugin_sessions_dropped_total: IntCounterVec = "confab_plugin_sessions_dropped_total", "Beginnings and ends of sessions that a plugin which observes them was not shown: too many waited for it, or it failed.", ["plugin"];
    plugin_shadow_dropped_total: IntCounterVec = "confab_plugin_shadow_dropped_total", "Messages and acts that an interpreted plugin in shadow mode was not asked about: too many were being asked about.", ["plugin"];
    plugin_findings_omitted_total: IntCounterVec = "confab_plugin_findings_omitted_total", "Findings that count for nothing, in shadow mode or while a plugin is out of service, or that something cannot be decided now, and were too many of one rule in a minute to be kept one by one, or waited in too great a number for the store; the audit has their number.", ["plugin"];
    plugin_cases_omitted_total: IntCounterVec = "confab_plugin_cases_omitted_total", "Flags that opened no case, since their plugin opened too many in that minute, or too many about their author; the audit has them.", ["plugin"];
    plugin_actions_total: IntCounterVec = "confab_plugin_actions_total", "What plugins wanted done: done, known (it was done before), refused, failed (not within its tries), dropped (nobody does it any more, or another component wanted it), limited, full, malformed, or shadow (in shadow mode nothing is done; the audit has what it would have been).", ["plugin", "action", "outcome"];
    cases_opened_total: IntCounterVec = "confab_cases_opened_total", "Cases that were opened, by kind.", ["kind"];
    case_decisions_total: IntCounterVec = "confab_case_decisions_total", "Decisions about cases.", ["kind", "decision"];
    appeals_total: IntCounter = "confab_appeals_total", "Decisions that were appealed against.";
    cases_waiting: IntGauge = "confab_cases_waiting", "Cases that wait for a decision, on the whole store; each server looks every 30 s.";
    cases_waiting_oldest_seconds: IntGauge = "confab_cases_waiting_oldest_seconds", "How long ago the one of them that waits longest was last moved on.";
    http_responses_total: IntCounterVec = "confab_http_responses_total", "HTTP responses, by status.", ["status"];
}

impl Metrics {
    /// The text that Prometheus scrapes.
    #[must_use]
    pub fn render(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions() {
        let metrics = Metrics::new();
        metrics.entries_total.inc();
        assert!(metrics.render().contains("confab_entries_total 1"));
        for (name, kind, help) in Metrics::TABLE {
            assert!(name.starts_with("confab_") && help.ends_with('.'), "{name}");
            assert_eq!(name.ends_with("_total"), kind.contains("Counter"), "{name}");
        }
    }
}
