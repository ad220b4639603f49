//! Bytes of an entry, as a store or another node may hand them out: decoding never panics, and what it
//! lets through is valid by type.
#![no_main]

use confab_protocol::codec::{decode_entry, encode_entry};
use confab_protocol::limits::FRAME_BYTES_MAX;
use confab_protocol::model::EntryContent;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(entry) = decode_entry(data) else { return };
    assert!(data.len() <= FRAME_BYTES_MAX);
    // A kind of a later version is not ours to write.
    if entry.content != EntryContent::Unknown {
        assert_eq!(decode_entry(&encode_entry(&entry)), Ok(entry));
    }
});
