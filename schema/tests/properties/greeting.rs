//! Strategies for how a connection begins, and how the server ends it.

use confab_protocol::command::{GoAway, Welcome};
use proptest::option;
use proptest::prelude::*;

use crate::generators::{identity, server_text, session_id, time};

pub(crate) fn welcome() -> impl Strategy<Value = Welcome> {
    let parts = (any::<u16>(), session_id(), time(), option::of(identity()), any::<u16>());
    parts.prop_map(|(version, session, server_time, identity, reconnect_jitter_ms)| Welcome {
        version,
        session,
        server_time,
        identity,
        reconnect_jitter_ms,
    })
}

pub(crate) fn go_away() -> impl Strategy<Value = GoAway> {
    (any::<u16>(), server_text(), any::<u32>(), any::<u32>()).prop_map(
        |(code, reason, reconnect_after_ms, jitter_ms)| GoAway { code, reason, reconnect_after_ms, jitter_ms },
    )
}
