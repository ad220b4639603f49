//! Plugins that were installed beside those inside the server: their files, under a hash of all of them, and a list that
//! says which of them count and how. The command line writes it, the server reads it when it starts and when it reloads.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File, TryLockError};
use std::io;
use std::mem::replace;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

use super::manifest::check_id;
use crate::config::Mode;
use crate::files;

const LIST: &str = "installed.toml";
/// Held by whoever changes the list. With its dot it is no id, whose folder would stand in the same place.
const LOCK: &str = "installed.lock";
/// The hash of each file of a version, beside them, as `sha256sum` writes it: for naming the one that was changed.
const SUMS: &str = "sha256sums";
/// A component has at most so many bytes: an interpreter with a script comes to some ten MiB.
const COMPONENT_BYTES_MAX: u64 = 128 << 20;
const MANIFEST_BYTES_MAX: u64 = 64 << 10;
/// A golden file.
const STORY_BYTES_MAX: u64 = 16 << 20;
/// Hex digits of a hash.
const HASH_DIGITS: usize = 64;
/// Earlier versions that are kept to go back to.
const KEPT_MAX: usize = 5;

/// Installed plugins, in the order in which they are asked: where the chain of the configuration names them, else behind it.
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

/// Files of a version, each as it was installed.
#[derive(Clone, Debug)]
pub struct Files {
    /// The component.
    pub wasm: Vec<u8>,
    /// What it says of itself.
    pub manifest: Vec<u8>,
    /// The folder of its golden files; there is none where it has none.
    pub goldens: PathBuf,
}

/// A golden file: its name, and what is in it.
type Story = (OsString, Vec<u8>);

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
            Err(error) => Err(told(&path, &error)),
        }
    }

    /// For whoever changes the list, from before it is read until it is written: of two at once, one would lose what the
    /// other did. It is given back with the file.
    ///
    /// # Errors
    /// Those of the file system; somebody else has it.
    pub fn lock(&self) -> Result<File, String> {
        let path = self.0.join(LOCK);
        let fail = |error: io::Error| told(&path, &error);
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
            .map_err(|error| told(&self.0, &error))
    }

    /// Reads the files of a plugin that count.
    ///
    /// # Errors
    /// One that cannot be read, and one that is not as it was installed; a list that names them by no hash.
    pub fn open(&self, entry: &Entry) -> Result<Files, String> {
        let Entry { id, sha256, files, .. } = entry;
        if !is_hash(files) {
            return Err(format!("{LIST}: files = {files:?} is no SHA-256 in hex"));
        }
        let folder = self.folder(id, files);
        let fail = |path: &Path, error: io::Error| told(path, &error);
        let read = |extension: &str| {
            let path = folder.join(format!("{id}.{extension}"));
            read_part(&path).map_err(|error| match error.kind() {
                // The list may have been read before another one was written, and its files went since.
                io::ErrorKind::NotFound => format!("{}: it is not kept any more: load again", fail(&path, error)),
                _ => fail(&path, error),
            })
        };
        let (wasm, manifest) = (read("wasm")?, read("toml")?);
        let goldens = folder.join(format!("{id}.goldens"));
        let stories = stories_in(&goldens).map_err(|error| fail(&goldens, error))?;
        if hash(&wasm) == *sha256 && hash_of_all(&wasm, &manifest, &stories) == *files {
            return Ok(Files { wasm, manifest, goldens });
        }
        let changed = changed(&folder, &sums(id, &wasm, &manifest, &stories));
        Err(format!("{} is not as it was installed: install it again", changed.display()))
    }

    /// Keeps the files of a plugin, named as they are where they are built. They stand under a hash of all of them, so
    /// that nothing that counts is touched, whatever differs; what was changed of them there is as it was again.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn keep(&self, id: &str, wasm: &[u8], manifest: &[u8], goldens: Option<&Path>) -> Result<Kept, String> {
        let fail = |path: &Path, error: io::Error| told(path, &error);
        let read = |from: &Path| stories_in(from).map_err(|error| fail(from, error));
        let stories = goldens.map_or_else(|| Ok(Vec::new()), read)?;
        let kept = Kept { sha256: hash(wasm), files: hash_of_all(wasm, manifest, &stories) };
        let folder = self.folder(id, &kept.files);
        let is_new = !folder.exists();
        let to = folder.join(format!("{id}.goldens"));
        let write = || -> io::Result<()> {
            files::create_private_dir(&folder)?;
            files::write_private(&folder.join(format!("{id}.wasm")), wasm)?;
            files::write_private(&folder.join(format!("{id}.toml")), manifest)?;
            files::write_private(&folder.join(SUMS), sums(id, wasm, manifest, &stories).as_bytes())?;
            for (name, _) in stories_in(&to)? {
                if stories.iter().all(|(known, _)| *known != name) {
                    fs::remove_file(to.join(name))?;
                }
            }
            if !stories.is_empty() {
                files::create_private_dir(&to)?;
            }
            stories.iter().try_for_each(|(name, bytes)| files::write_private(&to.join(name), bytes))
        };
        if let Err(error) = write() {
            if is_new {
                self.discard(id, &kept.files);
            }
            return Err(fail(&folder, error));
        }
        Ok(kept)
    }

    /// Takes the files away that a list names no more: nobody can go back to them. To be called when it is written, and by
    /// whoever has the lock: who is killed between leaves them to the next one. Those of a plugin that is not in it stay.
    pub fn sweep(&self, written: &Installed) {
        // Nobody else writes the list now: who was killed while it did left what it had of it.
        let begun = format!("{LIST}.new-");
        let beside = fs::read_dir(&self.0).into_iter().flatten();
        let names = beside.filter_map(|it| it.ok()?.file_name().into_string().ok());
        names.filter(|name| name.starts_with(&begun)).for_each(|name| {
            let _ = fs::remove_file(self.0.join(name));
        });
        // Nor does the list lead out of the folder here.
        for Entry { id, .. } in written.plugins.iter().filter(|entry| check_id(&entry.id).is_ok()) {
            let Ok(versions) = fs::read_dir(self.0.join(id)) else { continue };
            let names = versions.filter_map(|it| it.ok()?.file_name().into_string().ok());
            let gone = names.filter(|files| is_hash(files) && !written.has(id, files));
            gone.for_each(|files| self.discard(id, &files));
        }
    }

    /// Takes the files of a version away that does not count after all. What stays of them is in nobody's way.
    pub fn discard(&self, id: &str, files: &str) {
        let _ = fs::remove_dir_all(self.folder(id, files));
        // Where another version is, this does nothing.
        let _ = fs::remove_dir(self.0.join(id));
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

    /// Whether a version counts, or did so before and can be gone back to.
    #[must_use]
    pub fn has(&self, id: &str, files: &str) -> bool {
        let mut of_it = self.plugins.iter().filter(|entry| entry.id == id);
        of_it.any(|entry| entry.files == files || entry.earlier.iter().any(|it| it.files == files))
    }
}

impl Entry {
    /// SHA-256 of each component that counts, or did so before and can be gone back to, in hex.
    pub(super) fn components(&self) -> impl Iterator<Item = &str> {
        [self.sha256.as_str()].into_iter().chain(self.earlier.iter().map(|it| it.sha256.as_str()))
    }

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

/// Reads a component, or the manifest that stands beside one as `<id>.toml`.
///
/// # Errors
/// Those of the file system; what is no file that ends, or longer than any is.
pub(crate) fn read_part(path: &Path) -> io::Result<Vec<u8>> {
    let is_manifest = path.extension().is_some_and(|it| it == "toml");
    files::read_bounded(path, if is_manifest { MANIFEST_BYTES_MAX } else { COMPONENT_BYTES_MAX })
}

/// Checks the golden files of a folder in the same way, before somebody reads them.
///
/// # Errors
/// Which of them is none.
pub(super) fn check_stories(folder: &Path) -> Result<(), String> {
    let fail = |path: &Path, error: io::Error| format!("{}: {error}", path.display());
    let paths = story_paths(folder).map_err(|error| fail(folder, error))?;
    paths.iter().try_for_each(|path| files::check_bounded(path, STORY_BYTES_MAX).map_err(|error| fail(path, error)))
}

fn story_paths(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        if path.extension().is_some_and(|it| it == "jsonl") {
            paths.push(path);
        }
    }
    Ok(paths)
}

/// What went wrong with a file. Who works for the server as somebody else is told so: root, too, would leave files behind
/// that the server cannot read.
fn told(path: &Path, error: &io::Error) -> String {
    let hint = if error.kind() == io::ErrorKind::PermissionDenied {
        "; what is in the data folder belongs to the user that the server runs as: run this as that user"
    } else {
        ""
    };
    format!("{}: {error}{hint}", path.display())
}

/// The golden files of a folder, by name; none where there is no folder.
fn stories_in(folder: &Path) -> io::Result<Vec<Story>> {
    let mut stories = Vec::new();
    if !folder.is_dir() {
        return Ok(stories);
    }
    for path in story_paths(folder)? {
        if let Some(name) = path.file_name() {
            stories.push((name.to_owned(), files::read_bounded(&path, STORY_BYTES_MAX)?));
        }
    }
    stories.sort();
    Ok(stories)
}

/// Each with its name and length before it: no two sets of files are one row of bytes.
fn hash_of_all(wasm: &[u8], manifest: &[u8], stories: &[Story]) -> String {
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

/// The hash of each, a line each.
fn sums(id: &str, wasm: &[u8], manifest: &[u8], stories: &[Story]) -> String {
    let mut sums = format!("{}  {id}.wasm\n{}  {id}.toml\n", hash(wasm), hash(manifest));
    for (name, bytes) in stories {
        let _ = writeln!(sums, "{}  {id}.goldens/{}", hash(bytes), name.display());
    }
    sums
}

/// Which file is another one than it was, or is new, or is gone, by what was noted of each; else the folder of all.
fn changed(folder: &Path, now: &str) -> PathBuf {
    let noted = fs::read_to_string(folder.join(SUMS)).unwrap_or_default();
    let is_in = |sums: &str, line: &str| sums.lines().any(|it| it == line);
    let differs = now.lines().find(|line| !noted.is_empty() && !is_in(&noted, line));
    let line = differs.or_else(|| noted.lines().find(|line| !is_in(now, line)));
    line.and_then(|line| line.split_once("  ")).map_or_else(|| folder.to_owned(), |(_, name)| folder.join(name))
}

fn is_hash(text: &str) -> bool {
    text.len() == HASH_DIGITS && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
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

    /// And what nobody can go back to has no files either; all else is as it was.
    #[test]
    fn files_go_with_the_list_that_names_them() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::of(folder.path());
        let keep = |id: &str, n: usize| home.keep(id, format!("code {n}").as_bytes(), b"manifest", None).unwrap();
        let versions: Vec<Kept> = (0..KEPT_MAX + 2).map(|n| keep("x", n)).collect();
        let removed = folder.path().join("plugins/y").join(keep("y", 0).files);
        let notes = folder.path().join("plugins/x/notes");
        fs::write(&notes, b"of the operator").unwrap();
        let half = folder.path().join("plugins").join(format!("{LIST}.new-1"));
        fs::write(&half, b"plug").unwrap();
        let is_there = |kept: &Kept| folder.path().join("plugins/x").join(&kept.files).exists();

        let mut entry = entry(versions[0].clone());
        assert!(versions[1..].iter().all(|next| entry.change_to(next.clone())));
        let mut list = Installed { plugins: vec![entry] };
        home.write(&list).unwrap();
        assert!(versions.iter().all(is_there), "as whoever is killed here leaves it");
        home.sweep(&list);
        assert!(!is_there(&versions[0]) && versions[1..].iter().all(is_there) && !half.exists());

        assert!(list.plugins[0].roll_back());
        home.write(&list).unwrap();
        home.sweep(&list);
        assert!(!is_there(&versions[KEPT_MAX + 1]) && versions[1..=KEPT_MAX].iter().all(is_there));
        home.open(&list.plugins[0]).unwrap();
        assert!(removed.exists() && notes.exists());
        // A server that had read the list of before.
        let Kept { sha256, files } = versions[0].clone();
        let gone = Entry { sha256, files, ..list.plugins[0].clone() };
        assert!(home.open(&gone).unwrap_err().contains("not kept any more: load again"));
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
        let files = home.open(&entry).unwrap();
        assert_eq!((read.mode, read.grant), (Mode::Enforce, entry.grant.clone()));
        assert_eq!((files.wasm, files.manifest), (b"code".to_vec(), b"manifest".to_vec()));
        let path = folder.path().join("plugins/x").join(&entry.files);
        for name in ["x.wasm", "x.toml"] {
            let good = fs::read(path.join(name)).unwrap();
            fs::write(path.join(name), b"other").unwrap();
            let told = format!("{} is not as it was installed: install it again", path.join(name).display());
            assert_eq!(home.open(&entry).unwrap_err(), told);
            fs::write(path.join(name), good).unwrap();
            home.open(&entry).unwrap();
        }
        // Whoever writes the list does not lead out of the folder by it.
        for files in ["..", "", &format!("../x/{}", entry.files), &entry.files.to_uppercase(), &entry.files[1..]] {
            let entry = Entry { files: files.to_owned(), ..entry.clone() };
            assert!(home.open(&entry).unwrap_err().contains("no SHA-256"), "{files}");
        }
    }

    #[test]
    fn who_may_not_is_told_who_may() {
        let told_of = |kind: io::ErrorKind| told(Path::new("plugins"), &kind.into());
        assert!(told_of(io::ErrorKind::PermissionDenied).contains("run this as that user"));
        assert!(!told_of(io::ErrorKind::NotFound).contains("user"));
    }

    #[test]
    fn a_list_without_files_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::of(folder.path());
        home.write(&Installed { plugins: vec![entry(named("a"))] }).unwrap();
        let path = folder.path().join("plugins").join(LIST);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("files = \"a\"\n", "")).unwrap();
        let error = home.read().unwrap_err();
        assert!(error.contains(LIST) && error.contains("`files`"), "{error}");
    }

    #[test]
    fn golden_files_are_as_they_were_installed_too() {
        let (folder, source) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let home = Home::of(folder.path());
        fs::write(source.path().join("first.jsonl"), b"1").unwrap();
        fs::write(source.path().join("second.jsonl"), b"2").unwrap();
        let keep = || entry(home.keep("x", b"code", b"manifest", Some(source.path())).unwrap());
        let entry = keep();
        let goldens = home.open(&entry).unwrap().goldens;
        let told = || home.open(&entry).unwrap_err();
        fs::write(goldens.join("second.jsonl"), b"3").unwrap();
        assert!(told().contains("second.jsonl is not as it was installed"), "{}", told());
        fs::remove_file(goldens.join("second.jsonl")).unwrap();
        assert!(told().contains("second.jsonl is not as it was installed"), "{}", told());
        fs::write(goldens.join("third.jsonl"), b"2").unwrap();
        assert!(told().contains("third.jsonl is not as it was installed"), "{}", told());
        // Nothing is noted of files that were installed long ago.
        let version = goldens.parent().unwrap();
        fs::remove_file(version.join(SUMS)).unwrap();
        assert_eq!(told(), format!("{} is not as it was installed: install it again", version.display()));
        // Installed again, it is as it was.
        assert_eq!(keep().files, entry.files);
        home.open(&entry).unwrap();
        assert!(!goldens.join("third.jsonl").exists());
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
            let goldens = home.open(entry).unwrap().goldens;
            let files = fs::read_dir(goldens).unwrap().map(|file| file.unwrap().file_name());
            let mut names: Vec<String> = files.map(|name| name.into_string().unwrap()).collect();
            names.sort();
            names
        };
        let live = keep(b"manifest", Some(stories));
        assert_eq!(keep(b"manifest", Some(stories)).files, live.files, "the same is the same");

        fs::remove_file(stories.join("second.jsonl")).unwrap();
        let others = [keep(b"other", Some(stories)), keep(b"manifest", Some(stories)), keep(b"manifest", None)];
        assert!(others.iter().all(|it| it.sha256 == live.sha256 && it.files != live.files));
        let open = |entry: &Entry| home.open(entry).unwrap();
        assert_eq!(open(&others[0]).manifest, b"other");
        assert_eq!((names(&others[1]), open(&others[2]).goldens.exists()), (vec!["first.jsonl".to_owned()], false));
        assert_eq!(open(&live).manifest, b"manifest");
        assert_eq!(names(&live), ["first.jsonl", "second.jsonl"]);
        // Nor is a file taken for another one.
        fs::rename(stories.join("first.jsonl"), stories.join("third.jsonl")).unwrap();
        assert_ne!(keep(b"manifest", Some(stories)).files, others[1].files);
    }
}
