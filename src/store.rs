//! Storage drivers behind [`crate::core::store::Store`]. Nothing above knows which one runs.

pub mod postgres;
pub mod sqlite;

/// A command that finds an index of other words leaves it to the server, which may be at work with it.
const OTHER_INDEX: &str =
    "the index of words was made with other settings (store.seal_keys, store.sealed_search): start the server first";
