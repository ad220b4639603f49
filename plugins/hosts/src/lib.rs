//! What is a link in a text, as the stock plugins see it: found by a scheme, by `www.`, or by an ending that is a
//! top-level domain, with dots in all their disguises. It is no plugin, and has no tables of scripts: who has them
//! gives them.

pub mod address;
mod host;
pub mod known;
pub mod scan;
#[cfg(test)]
mod tests;
