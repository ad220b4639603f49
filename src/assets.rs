//! The built page and stock plugins, inside the binary.

include!(concat!(env!("OUT_DIR"), "/assets.rs"));
