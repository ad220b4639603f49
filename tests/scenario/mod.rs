//! What people do, over each transport, with the same outcome.

mod talk;
