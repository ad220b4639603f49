//! Storage drivers behind [`crate::core::store::Store`]. Nothing above knows which one runs.

pub mod postgres;
pub mod sqlite;
