//! Whether a program is static: what its own headers say it wants from the machine that it runs on.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

const MAGIC: &[u8] = b"\x7fELF\x02\x01";
/// Where the file header says where the program headers are, how large one is, and how many there are.
const HEADERS_AT: usize = 0x20;
const HEADER_BYTES_AT: usize = 0x36;
const HEADERS_COUNT_AT: usize = 0x38;
const PT_DYNAMIC: u64 = 2;
/// Names the loader.
const PT_INTERP: u64 = 3;
const DT_NULL: u64 = 0;
/// Names a library.
const DT_NEEDED: u64 = 1;
const DYNAMIC_ENTRY_BYTES: usize = 16;

/// Fails if the program wants a loader or a library, which an empty root file system does not have.
pub(crate) fn check_static(program: &Path) -> Result<()> {
    let bytes = fs::read(program).with_context(|| program.display().to_string())?;
    let wants = wants(&bytes).with_context(|| format!("{} is no program of ours", program.display()))?;
    if !wants.is_empty() {
        bail!("{} is not static: it wants {}", program.display(), wants.join(" and "));
    }
    Ok(())
}

/// What a 64-bit little-endian program wants; nothing if it is none. A static program may be relocatable, and has
/// a dynamic section then, which names no library.
fn wants(bytes: &[u8]) -> Option<Vec<&'static str>> {
    if !bytes.starts_with(MAGIC) {
        return None;
    }
    let headers_at = usize::try_from(number(bytes, HEADERS_AT, 8)?).ok()?;
    let header_bytes = usize::try_from(number(bytes, HEADER_BYTES_AT, 2)?).ok()?;
    let count = usize::try_from(number(bytes, HEADERS_COUNT_AT, 2)?).ok()?;
    let mut wants = Vec::new();
    for index in 0..count {
        let header = bytes.get(headers_at.checked_add(index * header_bytes)?..)?;
        match number(header, 0, 4)? {
            PT_INTERP => wants.push("a loader"),
            PT_DYNAMIC => {
                let at = usize::try_from(number(header, 0x08, 8)?).ok()?;
                let size = usize::try_from(number(header, 0x20, 8)?).ok()?;
                let section = bytes.get(at..at.checked_add(size)?)?;
                let kinds = section.chunks(DYNAMIC_ENTRY_BYTES).filter_map(|entry| number(entry, 0, 8));
                if kinds.take_while(|kind| *kind != DT_NULL).any(|kind| kind == DT_NEEDED) {
                    wants.push("libraries");
                }
            }
            _ => {}
        }
    }
    Some(wants)
}

fn number(bytes: &[u8], at: usize, size: usize) -> Option<u64> {
    let digits = bytes.get(at..at.checked_add(size)?)?;
    Some(digits.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with these program headers and this dynamic section.
    fn program(kinds: &[u64], dynamic: &[u64]) -> Vec<u8> {
        const HEADER_BYTES: usize = 56;
        let mut bytes = MAGIC.to_vec();
        bytes.resize(64, 0);
        bytes[HEADERS_AT] = 64;
        bytes[HEADER_BYTES_AT] = HEADER_BYTES as u8;
        bytes[HEADERS_COUNT_AT] = kinds.len() as u8;
        let at = 64 + kinds.len() * HEADER_BYTES;
        for kind in kinds {
            let mut header = [0; HEADER_BYTES];
            header[0] = *kind as u8;
            header[8..16].copy_from_slice(&(at as u64).to_le_bytes());
            header[32..40].copy_from_slice(&((dynamic.len() * DYNAMIC_ENTRY_BYTES) as u64).to_le_bytes());
            bytes.extend(header);
        }
        for kind in dynamic {
            bytes.extend(kind.to_le_bytes());
            bytes.extend([0; 8]);
        }
        bytes
    }

    #[test]
    fn loaders_and_libraries_are_seen() {
        const PT_LOAD: u64 = 1;
        const DT_HASH: u64 = 4;
        for (kinds, dynamic, expected) in [
            (&[PT_LOAD][..], &[][..], &[][..]),
            (&[PT_LOAD, PT_DYNAMIC], &[DT_HASH, DT_NULL, DT_NEEDED], &[]),
            (&[PT_LOAD, PT_DYNAMIC], &[DT_HASH, DT_NEEDED, DT_NULL], &["libraries"]),
            (&[PT_INTERP, PT_DYNAMIC], &[DT_NEEDED], &["a loader", "libraries"]),
        ] {
            assert_eq!(wants(&program(kinds, dynamic)).unwrap(), expected, "{kinds:?} {dynamic:?}");
        }
    }

    #[test]
    fn what_is_cut_off_is_no_program() {
        let whole = program(&[1, PT_DYNAMIC], &[4, DT_NULL]);
        for length in 0..whole.len() {
            assert_eq!(wants(&whole[..length]), None, "{length}");
        }
        assert_eq!(wants(b"#!/bin/sh\n"), None);
    }

    #[test]
    fn this_test_is_not_static() {
        let itself = std::env::current_exe().unwrap();
        assert!(check_static(&itself).unwrap_err().to_string().contains("a loader"));
    }
}
