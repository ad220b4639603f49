//! Plugins that were installed beside those inside the server: their files, under a hash of all of them, and a list that
//! says which of them count and how. The command line writes it, the server reads it when it starts and when it reloads.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io;
use std::mem::replace;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

use crate::config::Mode;
use crate::files;

const LIST: &str = "installed.toml";
/// Held by whoever changes the list. With its dot it is no id, whose folder would stand in the same place.
const LOCK: &str = "installed.lock";
/// Earlier versions that are kept to go back to.
const KEPT_MAX: usize = 5;

/// Installed plugins, in the order in which they are asked, behind those of the configuration.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Installed {
    /// Each by its id.
    #[serde(default)]
    pub plugins: Vec<Entry>,
}

/// One of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// As its manifest says.
    pub id: String,
    /// How it is meant.
    pub mode: Mode,
    /// SHA-256 of the component that counts, in hex.
    pub sha256: String,
    /// What its files are kept under: a hash of all of them.
    pub files: String,
    /// What it is granted.
    pub grant: Vec<String>,
    /// Those that counted before, the newest last.
    #[serde(default)]
    pub earlier: Vec<Earlier>,
}

/// A version that counted before, as it was when the next one came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Earlier {
    /// How it was meant.
    pub mode: Mode,
    /// SHA-256 of its component, in hex.
    pub sha256: String,
    /// What its files are kept under.
    pub files: String,
    /// What it was granted.
    pub grant: Vec<String>,
}

/// Files that were put where they are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// SHA-256 of the component, in hex.
    pub sha256: String,
    /// What all of them are kept under.
    pub files: String,
}

/// Where they are.
#[derive(Clone, Debug)]
pub struct Home(PathBuf);

impl Home {
    /// Of a server with this data folder.
    #[must_use]
    pub fn of(data_dir: &Path) -> Self {
        Self(data_dir.join("plugins"))
    }

    /// The list; none is an empty one.
    ///
    /// # Errors
    /// A file that cannot be read, or is not such a list.
    pub fn read(&self) -> Result<Installed, String> {
        let path = self.0.join(LIST);
        match fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text).map_err(|error| format!("{}: {}", path.display(), error.message())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Installed::default()),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    }

    /// For whoever changes the list, from before it is read until it is written: of two at once, one would lose what the
    /// other did. It is given back with the file.
    ///
    /// # Errors
    /// Those of the file system; somebody else has it.
    pub fn lock(&self) -> Result<File, String> {
        let path = self.0.join(LOCK);
        let fail = |error: io::Error| format!("{}: {error}", path.display());
        let open = || {
            files::create_private_dir(&self.0)?;
            files::create_private(&path)?;
            File::options().append(true).open(&path)
        };
        let file = open().map_err(fail)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => {
                Err("another command changes the installed plugins right now: try again when it has ended".to_owned())
            }
            Err(TryLockError::Error(error)) => Err(fail(error)),
        }
    }

    /// Writes the list, whole or not at all.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&self, installed: &Installed) -> Result<(), String> {
        let text = toml::to_string(installed).map_err(|error| error.to_string())?;
        files::create_private_dir(&self.0)
            .and_then(|()| files::write_private(&self.0.join(LIST), text.as_bytes()))
            .map_err(|error| format!("{}: {error}", self.0.display()))
    }

    /// A file of a plugin: `wasm` or `toml`.
    ///
    /// # Errors
    /// One that cannot be read; a component that is not the one of that hash.
    pub fn file(&self, entry: &Entry, extension: &str) -> Result<Vec<u8>, String> {
        let path = self.folder(&entry.id, &entry.files).join(format!("{}.{extension}", entry.id));
        let bytes = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        if extension == "wasm" && hash(&bytes) != entry.sha256 {
            return Err(format!("{} is not as it was installed", path.display()));
        }
        Ok(bytes)
    }

    /// The folder of its golden files; there is none where it has none.
    #[must_use]
    pub fn goldens(&self, entry: &Entry) -> PathBuf {
        self.folder(&entry.id, &entry.files).join(format!("{}.goldens", entry.id))
    }

    /// Keeps the files of a plugin, named as they are where they are built. They stand under a hash of all of them, so
    /// that nothing that counts is touched, whatever differs.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn keep(&self, id: &str, wasm: &[u8], manifest: &[u8], goldens: Option<&Path>) -> Result<Kept, String> {
        let stories = goldens.map_or_else(|| Ok(Vec::new()), read_stories)?;
        let kept = Kept { sha256: hash(wasm), files: hash_of_all(wasm, manifest, &stories) };
        let folder = self.folder(id, &kept.files);
        let write = || {
            files::create_private_dir(&folder)?;
            files::write_private(&folder.join(format!("{id}.wasm")), wasm)?;
            files::write_private(&folder.join(format!("{id}.toml")), manifest)?;
            if stories.is_empty() {
                return Ok(());
            }
            let to = folder.join(format!("{id}.goldens"));
            files::create_private_dir(&to)?;
            stories.iter().try_for_each(|(name, bytes)| files::write_private(&to.join(name), bytes))
        };
        write().map_err(|error: io::Error| format!("{}: {error}", folder.display()))?;
        Ok(kept)
    }

    fn folder(&self, id: &str, files: &str) -> PathBuf {
        self.0.join(id).join(files)
    }
}

impl Installed {
    /// One of them.
    pub fn find(&mut self, id: &str) -> Option<&mut Entry> {
        self.plugins.iter_mut().find(|entry| entry.id == id)
    }
}

impl Entry {
    /// Other files count from now on; how the ones before were meant is kept with them. `false`: it is these already.
    pub fn change_to(&mut self, kept: Kept) -> bool {
        if kept.files == self.files {
            return false;
        }
        self.earlier.retain(|it| it.files != kept.files);
        self.earlier.push(Earlier {
            mode: self.mode,
            sha256: replace(&mut self.sha256, kept.sha256),
            files: replace(&mut self.files, kept.files),
            grant: self.grant.clone(),
        });
        let surplus = self.earlier.len().saturating_sub(KEPT_MAX);
        self.earlier.drain(..surplus);
        true
    }

    /// The one before counts again, with what it was granted and as it was meant. `false`: there is none.
    pub fn roll_back(&mut self) -> bool {
        let Some(Earlier { mode, sha256, files, grant }) = self.earlier.pop() else { return false };
        (self.mode, self.sha256, self.files, self.grant) = (mode, sha256, files, grant);
        true
    }
}

/// The golden files of a folder, by name.
fn read_stories(folder: &Path) -> Result<Vec<(OsString, Vec<u8>)>, String> {
    let read = || {
        let mut stories = Vec::new();
        for file in fs::read_dir(folder)? {
            let path = file?.path();
            if let Some(name) = path.file_name().filter(|_| path.extension().is_some_and(|it| it == "jsonl")) {
                stories.push((name.to_owned(), fs::read(&path)?));
            }
        }
        stories.sort();
        Ok(stories)
    };
    read().map_err(|error: io::Error| format!("{}: {error}", folder.display()))
}

/// Each with its name and length before it: no two sets of files are one row of bytes.
fn hash_of_all(wasm: &[u8], manifest: &[u8], stories: &[(OsString, Vec<u8>)]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut take = |bytes: &[u8]| {
        context.update(&bytes.len().to_be_bytes());
        context.update(bytes);
    };
    take(wasm);
    take(manifest);
    for (name, bytes) in stories {
        take(name.as_encoded_bytes());
        take(bytes);
    }
    super::hex(context.finish().as_ref())
}

/// SHA-256, in hex.
#[must_use]
pub fn hash(bytes: &[u8]) -> String {
    super::hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kept: Kept) -> Entry {
        let Kept { sha256, files } = kept;
        Entry { id: "x".into(), mode: Mode::Shadow, sha256, files, grant: Vec::new(), earlier: Vec::new() }
    }

    fn named(name: &str) -> Kept {
        Kept { sha256: format!("component of {name}"), files: name.into() }
    }

    #[test]
    fn one_goes_back_to_the_version_before() {
        let mut entry = entry(named("a"));
        let changed: Vec<bool> = ["b", "b", "c", "a"].into_iter().map(|next| entry.change_to(named(next))).collect();
        assert_eq!(changed, [true, false, true, true]);
        let earlier: Vec<&str> = entry.earlier.iter().map(|it| it.files.as_str()).collect();
        assert_eq!((entry.files.as_str(), earlier), ("a", vec!["b", "c"]));
        assert!(entry.roll_back() && entry.roll_back() && !entry.roll_back());
        assert_eq!((entry.files.as_str(), entry.sha256.as_str()), ("b", "component of b"));
    }

    #[test]
    fn it_comes_back_with_its_grant_and_its_mode() {
        let mut entry = entry(named("a"));
        (entry.mode, entry.grant) = (Mode::Enforce, vec!["kv".into(), "log".into()]);
        entry.change_to(named("b"));
        (entry.mode, entry.grant) = (Mode::Shadow, vec!["kv".into()]);
        let text = toml::to_string(&Installed { plugins: vec![entry] }).unwrap();
        let mut entry = toml::from_str::<Installed>(&text).unwrap().plugins.remove(0);
        assert!(entry.roll_back());
        assert_eq!((entry.files.as_str(), entry.mode), ("a", Mode::Enforce));
        assert_eq!((entry.grant, entry.earlier), (vec!["kv".to_owned(), "log".to_owned()], Vec::new()));
    }

    #[test]
    fn only_so_many_are_kept() {
        let mut entry = entry(named("0"));
        for next in 1..=9 {
            entry.change_to(named(&next.to_string()));
        }
        let earlier: Vec<&str> = entry.earlier.iter().map(|it| it.files.as_str()).collect();
        assert_eq!(earlier, ["4", "5", "6", "7", "8"]);
    }

    #[test]
    fn what_was_altered_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::of(folder.path());
        assert!(home.read().unwrap().plugins.is_empty());
        let kept = home.keep("x", b"code", b"manifest", None).unwrap();
        assert_eq!(kept.sha256, hash(b"code"));
        let mut entry = entry(kept);
        (entry.mode, entry.grant) = (Mode::Enforce, vec!["kv".into()]);
        home.write(&Installed { plugins: vec![entry.clone()] }).unwrap();
        let read = home.read().unwrap().plugins.remove(0);
        assert_eq!(
            (read.mode, read.grant, home.file(&entry, "wasm").unwrap()),
            (Mode::Enforce, entry.grant.clone(), b"code".to_vec())
        );
        fs::write(folder.path().join("plugins/x").join(&entry.files).join("x.wasm"), b"other").unwrap();
        assert!(home.file(&entry, "wasm").unwrap_err().contains("not as it was installed"));
    }

    /// What is installed beside it, or fails to be, leaves what counts as it is.
    #[test]
    fn the_same_component_with_other_files_stands_elsewhere() {
        let (folder, source) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let home = Home::of(folder.path());
        let stories = source.path();
        fs::write(stories.join("first.jsonl"), b"1").unwrap();
        fs::write(stories.join("second.jsonl"), b"2").unwrap();
        fs::write(stories.join("notes.txt"), b"not a story").unwrap();
        let keep = |manifest: &[u8], goldens| entry(home.keep("x", b"code", manifest, goldens).unwrap());
        let names = |entry: &Entry| {
            let files = fs::read_dir(home.goldens(entry)).unwrap().map(|file| file.unwrap().file_name());
            let mut names: Vec<String> = files.map(|name| name.into_string().unwrap()).collect();
            names.sort();
            names
        };
        let live = keep(b"manifest", Some(stories));
        assert_eq!(keep(b"manifest", Some(stories)).files, live.files, "the same is the same");

        fs::remove_file(stories.join("second.jsonl")).unwrap();
        let others = [keep(b"other", Some(stories)), keep(b"manifest", Some(stories)), keep(b"manifest", None)];
        assert!(others.iter().all(|it| it.sha256 == live.sha256 && it.files != live.files));
        assert_eq!(home.file(&others[0], "toml").unwrap(), b"other");
        assert_eq!((names(&others[1]), home.goldens(&others[2]).exists()), (vec!["first.jsonl".to_owned()], false));
        assert_eq!(home.file(&live, "toml").unwrap(), b"manifest");
        assert_eq!(names(&live), ["first.jsonl", "second.jsonl"]);
        // Nor is a file taken for another one.
        fs::rename(stories.join("first.jsonl"), stories.join("third.jsonl")).unwrap();
        assert_ne!(keep(b"manifest", Some(stories)).files, others[1].files);
    }
}
