//! The inputs that are kept, one file each under `fuzz/corpus/<target>`.

use std::fs;
use std::path::{Path, PathBuf};

/// Largest file that is kept, bytes: a corpus is for reading, too.
pub const FILE_BYTES_MAX: usize = 4 * 1024;

/// The folder of a target's corpus.
#[must_use]
pub fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

/// Where inputs that broke something are put.
#[must_use]
pub fn broken_folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/fuzz/broken").join(target)
}

/// A target's files, in the order of their names, so that a seed means the same everywhere.
///
/// # Panics
/// Without a corpus there is nothing to start from.
#[must_use]
pub fn load(target: &str) -> Vec<Vec<u8>> {
    let folder = folder(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let files: Vec<Vec<u8>> = paths.iter().filter_map(|path| fs::read(path).ok()).collect();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_few_and_small() {
        let corpora = fs::read_dir(folder("")).unwrap();
        for corpus in corpora.map(|entry| entry.unwrap().file_name().into_string().unwrap()) {
            let files = load(&corpus);
            assert!((3..200).contains(&files.len()), "{corpus}: {} files", files.len());
            let largest = files.iter().map(Vec::len).max().unwrap();
            assert!(largest <= FILE_BYTES_MAX, "{corpus}: {largest} bytes");
        }
    }
}
