//! Plugins that were installed beside those inside the server: their files, each under its own hash, and a list that
//! says which of them count and how. The command line writes it, the server reads it when it starts and when it reloads.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

use crate::config::Mode;
use crate::files;

const LIST: &str = "installed.toml";
/// Earlier components that are kept to go back to.
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
    /// What it is granted.
    pub grant: Vec<String>,
    /// Those that counted before, the newest last.
    #[serde(default)]
    pub earlier: Vec<String>,
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

    /// A file of a component: `wasm` or `toml`.
    ///
    /// # Errors
    /// One that cannot be read; a component that is not the one of that hash.
    pub fn file(&self, entry: &Entry, extension: &str) -> Result<Vec<u8>, String> {
        let path = self.0.join(&entry.id).join(format!("{}.{extension}", entry.sha256));
        let bytes = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        if extension == "wasm" && hash(&bytes) != entry.sha256 {
            return Err(format!("{} is not as it was installed", path.display()));
        }
        Ok(bytes)
    }

    /// The folder of its golden files.
    #[must_use]
    pub fn goldens(&self, entry: &Entry) -> PathBuf {
        self.0.join(&entry.id).join(format!("{}.goldens", entry.sha256))
    }

    /// Keeps the files of a component under its hash.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn keep(&self, id: &str, wasm: &[u8], manifest: &[u8], goldens: Option<&Path>) -> Result<String, String> {
        let (folder, hash) = (self.0.join(id), hash(wasm));
        let kept = || {
            files::create_private_dir(&folder)?;
            files::write_private(&folder.join(format!("{hash}.wasm")), wasm)?;
            files::write_private(&folder.join(format!("{hash}.toml")), manifest)?;
            let to = folder.join(format!("{hash}.goldens"));
            files::create_private_dir(&to)?;
            for file in goldens.map(fs::read_dir).transpose()?.into_iter().flatten() {
                let file = file?;
                if file.path().extension().is_some_and(|extension| extension == "jsonl") {
                    files::write_private(&to.join(file.file_name()), &fs::read(file.path())?)?;
                }
            }
            Ok(())
        };
        kept().map_err(|error: io::Error| format!("{}: {error}", folder.display()))?;
        Ok(hash)
    }
}

impl Installed {
    /// One of them.
    pub fn find(&mut self, id: &str) -> Option<&mut Entry> {
        self.plugins.iter_mut().find(|entry| entry.id == id)
    }
}

impl Entry {
    /// Another component counts from now on.
    pub fn change_to(&mut self, sha256: String) {
        if sha256 != self.sha256 {
            self.earlier.retain(|it| *it != sha256);
            self.earlier.push(std::mem::replace(&mut self.sha256, sha256));
            let surplus = self.earlier.len().saturating_sub(KEPT_MAX);
            self.earlier.drain(..surplus);
        }
    }

    /// The one before counts again. `false`: there is none.
    pub fn roll_back(&mut self) -> bool {
        let Some(before) = self.earlier.pop() else { return false };
        self.sha256 = before;
        true
    }
}

/// SHA-256, in hex.
#[must_use]
pub fn hash(bytes: &[u8]) -> String {
    super::hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_goes_back_to_the_component_before() {
        let mut entry =
            Entry { id: "x".into(), mode: Mode::Shadow, sha256: "a".into(), grant: Vec::new(), earlier: Vec::new() };
        for next in ["b", "b", "c", "a"] {
            entry.change_to(next.into());
        }
        assert_eq!((entry.sha256.as_str(), &entry.earlier[..]), ("a", &["b".to_owned(), "c".to_owned()][..]));
        assert!(entry.roll_back() && entry.roll_back() && !entry.roll_back());
        assert_eq!(entry.sha256, "b");
    }

    #[test]
    fn what_was_altered_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::of(folder.path());
        assert!(home.read().unwrap().plugins.is_empty());
        let sha256 = home.keep("x", b"code", b"manifest", None).unwrap();
        let entry =
            Entry { id: "x".into(), mode: Mode::Enforce, sha256, grant: vec!["kv".into()], earlier: Vec::new() };
        home.write(&Installed { plugins: vec![entry.clone()] }).unwrap();
        let read = home.read().unwrap().plugins.remove(0);
        assert_eq!(
            (read.mode, read.grant, home.file(&entry, "wasm").unwrap()),
            (Mode::Enforce, entry.grant.clone(), b"code".to_vec())
        );
        fs::write(folder.path().join("plugins/x").join(format!("{}.wasm", entry.sha256)), b"other").unwrap();
        assert!(home.file(&entry, "wasm").unwrap_err().contains("not as it was installed"));
    }
}
