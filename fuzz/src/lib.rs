//! What the fuzz targets do, and a small driver that mutates the kept corpora: seeded, on the stable compiler, the
//! same run for the same seed. libFuzzer drives the same bodies from `fuzz/libfuzzer`, where it is installed.
//!
//! The server's own targets (configuration, manifests, tokens, HTTP) use this driver from its tests: what they
//! attack is not for a small crate to know.

pub mod bodies;
pub mod corpus;
pub mod drive;
pub mod mutate;
pub mod random;
pub mod seeds;

use mutate::Shape;

/// One of the targets that need only the protocol.
pub struct Target {
    /// Of its corpus and of its binary for libFuzzer.
    pub name: &'static str,
    /// How its inputs are mutated.
    pub shape: Shape,
    /// Panics when a promise is broken.
    pub body: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 6] = [
    Target { name: "frame", shape: Shape::Bytes, body: bodies::frame },
    Target { name: "client_frame", shape: Shape::Frame, body: bodies::client_frame },
    Target { name: "server_frame", shape: Shape::Frame, body: bodies::server_frame },
    Target { name: "entry", shape: Shape::Frame, body: bodies::entry },
    Target { name: "server_session", shape: Shape::Bytes, body: bodies::server_session },
    Target { name: "client_session", shape: Shape::Bytes, body: bodies::client_session },
];
