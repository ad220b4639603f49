//! A wall clock for a server under test that can be set, by way of `libfaketime`. The monotonic clock goes on as it is.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::Place;

/// The clock of whatever it was put on.
pub struct FalseClock {
    file: PathBuf,
}

impl FalseClock {
    /// One that is right so far.
    pub fn new(place: &Place) -> Self {
        let clock = Self { file: place.folder.path().join("clock") };
        clock.set(0);
        clock
    }

    /// So many seconds ahead of the true one.
    pub fn set(&self, ahead: u64) {
        let fresh = self.file.with_extension("new");
        std::fs::write(&fresh, format!("+{ahead}s\n")).unwrap();
        std::fs::rename(fresh, &self.file).unwrap();
    }

    pub fn put_on(&self, command: &mut Command) {
        let library = Path::new("/usr/lib")
            .join(format!("{}-linux-gnu", std::env::consts::ARCH))
            .join("faketime/libfaketimeMT.so.1");
        assert!(library.exists(), "{} is missing: apt-get install faketime", library.display());
        command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", &self.file);
        command.envs([("FAKETIME_NO_CACHE", "1"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1"), ("DONT_FAKE_MONOTONIC", "1")]);
    }
}
