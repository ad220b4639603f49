//! Where canaries are looked for, and in which forms. Bytes are held as text of the same length, a character each, so that
//! files of any kind are searched alike.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Where keys are, in a folder of data.
pub const KEY_FOLDERS: [&str; 2] = ["keys", "dev-cert"];
/// Characters around what was found that are shown.
const SHOWN: usize = 60;

/// Things to search, by name.
#[derive(Default)]
pub struct Places(Vec<(String, String)>);

impl Places {
    pub fn add(&mut self, name: &str, bytes: impl AsRef<[u8]>) {
        self.0.push((name.to_owned(), text_of(bytes.as_ref())));
    }

    /// Every file below, but for folders of keys.
    pub fn add_folder(&mut self, folder: &Path) {
        for path in std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                if !KEY_FOLDERS.iter().any(|keys| path.ends_with(keys)) {
                    self.add_folder(&path);
                }
            } else if let Ok(bytes) = std::fs::read(&path) {
                self.add(&path.display().to_string(), bytes);
            }
        }
    }

    /// Where it stands in whatever form, with what is around it.
    pub fn find(&self, canary: &[u8]) -> Vec<String> {
        let forms = forms(canary);
        let look = |(name, text): &(String, String)| {
            let at = forms.iter().find_map(|form| text.find(form.as_str()))?;
            let around = text[text.floor_char_boundary(at.saturating_sub(SHOWN))..].chars().take(2 * SHOWN);
            Some(format!("{name}: {}", around.collect::<String>().escape_debug()))
        };
        self.0.iter().filter_map(look).collect()
    }

    /// That the search would find something in the place of this name.
    pub fn assert_finds(&self, name: &str, marker: &str) {
        let found = self.find(marker.as_bytes());
        assert!(found.iter().any(|place| place.contains(name)), "{marker} is not found in {name}, only in {found:?}");
    }
}

fn text_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// As it is, in hex, in base64 wherever in a longer text it begins, and as Rust prints bytes.
fn forms(canary: &[u8]) -> Vec<String> {
    let hex: String = canary.iter().map(|byte| format!("{byte:02x}")).collect();
    let list = canary.iter().map(|byte| byte.to_string()).collect::<Vec<_>>().join(", ");
    let mut forms = vec![text_of(canary), hex.to_uppercase(), hex, list];
    for before in 0..3 {
        let shifted = [&[0; 2][..before], canary].concat();
        // Of the characters at either end only those that neighbours have no part in.
        let whole = (before * 8).div_ceil(6)..shifted.len() * 8 / 6;
        forms.push(STANDARD_NO_PAD.encode(&shifted)[whole.clone()].to_owned());
        forms.push(URL_SAFE_NO_PAD.encode(&shifted)[whole].to_owned());
    }
    forms
}

#[test]
fn a_canary_is_found_in_each_form_and_wherever_it_stands() {
    let canary = b"\x00canary \xff\xfe?>";
    // Made by other programs: xxd and base64, with one, two and three bytes before it.
    for planted in [
        &b"log: \x00canary \xff\xfe?> and on"[..],
        b"\\x0063616e61727920fffe3f3e'",
        b"00006361-0063616E61727920FFFE3F3E",
        b"key: [0, 99, 97, 110, 97, 114, 121, 32, 255, 254, 63, 62]",
        b"\"eABjYW5hcnkg//4/Pnl5\"",
        b"\"eHgAY2FuYXJ5IP/+Pz55eQ==\"",
        b"\"eHh4AGNhbmFyeSD//j8+eXk=\"",
        b"\"eHh4AGNhbmFyeSD__j8-eXk\"",
    ] {
        let mut places = Places::default();
        places.add("elsewhere", "nothing of the kind: 63616e6172792");
        places.add("here", planted);
        let found = places.find(canary);
        assert!(
            found.len() == 1 && found[0].starts_with("here: "),
            "{:?}: {found:?}",
            String::from_utf8_lossy(planted)
        );
    }
}
