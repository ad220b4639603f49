//! Backups: a folder with a file for each table and a manifest, made beside a running server, read back before it gets
//! its name, and filled into an empty store of either kind. See docs/decisions/0007-backups.md.

mod folder;
mod manifest;

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::manifest::{KeyFile, Manifest, TableFile};
use crate::clock::Clock;
use crate::core::seal::Vault;
use crate::core::store::{Error, Store};
use crate::files;
use folder::{FolderSink, FolderSource, inspect};

/// What a backup with keys holds of the keys' folder: what cannot be made anew without anybody noticing. The keys of
/// access tokens can: a restore ends all logins.
const KEYS: [&str; 2] = [PEPPER, "quic-reset"];
/// Without it no password is good.
const PEPPER: &str = "pepper";
/// No key is longer, bytes.
const KEY_BYTES_MAX: u64 = 64 * 1024;
/// In a backup.
const KEYS_FOLDER: &str = "keys";

/// Why there is no backup, or it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store.
    #[error(transparent)]
    Store(#[from] Error),
    /// A file.
    #[error("{path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Anything else: one clear line.
    #[error("{0}")]
    Invalid(String),
}

/// A backup that is whole, as far as it could be looked into.
#[derive(Clone, Debug)]
pub struct Checked {
    /// What it holds.
    pub manifest: Manifest,
    /// Payloads that are sealed with keys that were not at hand.
    pub unopened: u64,
}

type Result<T> = std::result::Result<T, BackupError>;

fn failed(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::File { path, source }
}

/// How far it is: a table, how many rows of it, and of how many, where that is known.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Progress {
    pub table: &'static str,
    pub rows: u64,
    pub of: Option<u64>,
}

/// Hears of progress, often.
pub type Watch = Arc<dyn Fn(Progress) + Send + Sync>;

/// Makes a backup: whole, checked and on the disk when this returns, and else not there.
///
/// # Errors
/// A folder that exists or cannot be written; a store that cannot be read; rows that do not belong together.
pub async fn create(
    store: &dyn Store,
    vault: &Vault,
    keys: &Path,
    to: &Path,
    with_keys: bool,
    clock: &dyn Clock,
    watch: &Watch,
) -> Result<Checked> {
    if to.exists() {
        return Err(BackupError::Invalid(format!("{} is there already: name another folder", to.display())));
    }
    let partial = to.with_added_extension(format!("partial-{:016x}", clock.random() as u64));
    DirBuilder::new().mode(0o700).create(&partial).map_err(failed(&partial))?;
    let made = write(store, vault, keys, &partial, with_keys, clock, watch).await.and_then(|checked| {
        fs::rename(&partial, to).and_then(|()| files::sync_folder_of(to)).map_err(failed(to))?;
        Ok(checked)
    });
    made.inspect_err(|_| {
        // What is half written helps nobody.
        let _ = fs::remove_dir_all(&partial);
    })
}

async fn write(
    store: &dyn Store,
    vault: &Vault,
    keys: &Path,
    folder: &Path,
    with_keys: bool,
    clock: &dyn Clock,
    watch: &Watch,
) -> Result<Checked> {
    let created = clock.now();
    store.dump(Box::new(FolderSink::new(folder, Arc::clone(watch)))).await?;
    if with_keys {
        copy_keys(keys, &folder.join(KEYS_FOLDER), &KEYS)?;
    }
    let (tables, unopened) = inspect(folder, vault, watch)?;
    if unopened > 0 {
        return Err(BackupError::Invalid(format!(
            "{unopened} payloads are sealed with keys that this store does not know"
        )));
    }
    // Every store has these.
    let is_of_any = |table: &TableFile| matches!(table.name.as_str(), "seal_keys" | "controls");
    if tables.iter().all(|table| table.rows == 0 || is_of_any(table)) {
        let what = "there is nothing in this store yet: is it the right configuration?".to_owned();
        return Err(BackupError::Invalid(what));
    }
    let manifest = Manifest::new(created, tables, key_files(keys, with_keys)?);
    manifest.write(folder)?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed(folder))?;
    Ok(Checked { manifest, unopened })
}

fn copy_keys(from: &Path, to: &Path, names: &[&str]) -> Result<()> {
    files::create_private_dir(to).map_err(failed(to))?;
    for name in names {
        match files::read_bounded(&from.join(name), KEY_BYTES_MAX) {
            Ok(key) => files::write_private(&to.join(name), &key).map_err(failed(&to.join(name)))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(&from.join(name))(error)),
        }
    }
    Ok(())
}

fn key_files(keys: &Path, is_included: bool) -> Result<Vec<KeyFile>> {
    let mut found = Vec::new();
    for name in KEYS {
        if let Some(sha256) = fingerprint(&keys.join(name))? {
            found.push(KeyFile { name: name.to_owned(), sha256, included: is_included });
        }
    }
    Ok(found)
}

/// Of 32 random bytes or more, so it tells nothing of them.
fn fingerprint(path: &Path) -> Result<Option<String>> {
    match files::read_bounded(path, KEY_BYTES_MAX) {
        Ok(key) => Ok(Some(folder::hex(&<sha2::Sha256 as sha2::Digest>::digest(key)))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(path)(error)),
    }
}

/// Reads all of a backup, and says whether it is what was written and belongs together.
///
/// # Errors
/// Every difference.
pub fn verify(folder: &Path, vault: &Vault, watch: &Watch) -> Result<Checked> {
    let manifest = Manifest::read(folder)?;
    let (tables, unopened) = inspect(folder, vault, watch)?;
    manifest.compare(&tables)?;
    for key in manifest.keys.iter().filter(|key| key.included) {
        let is_known = KEYS.contains(&key.name.as_str());
        if !is_known || fingerprint(&folder.join(KEYS_FOLDER).join(&key.name))?.as_ref() != Some(&key.sha256) {
            return Err(BackupError::Invalid(format!("key {:?} is not the one that was backed up", key.name)));
        }
    }
    Ok(Checked { manifest, unopened })
}

/// What a restore found of the keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keys {
    /// Passwords are good.
    Right,
    /// The pepper is neither in the backup nor here: no password is good.
    Missing,
}

/// Fills an empty store from a backup, of which [`verify`] said what it is. Histories become others to whoever had read
/// on; nobody is logged in.
///
/// # Errors
/// A store that is in use, and is left as it is; keys that are others than in the backup.
pub async fn restore(
    store: &dyn Store,
    keys: &Path,
    folder: &Path,
    manifest: &Manifest,
    clock: Arc<dyn Clock>,
    watch: &Watch,
) -> Result<Keys> {
    let mut wanted = Vec::new();
    for key in manifest.keys.iter().filter(|key| key.included) {
        let path = keys.join(&key.name);
        match fingerprint(&path)? {
            Some(here) if here == key.sha256 => {}
            None => wanted.push(key.name.as_str()),
            Some(_) => {
                let what = format!("{} is another than in the backup: move it away first", path.display());
                return Err(BackupError::Invalid(what));
            }
        }
    }
    copy_keys(&folder.join(KEYS_FOLDER), keys, &wanted)?;
    let source = FolderSource::new(folder, manifest.clone(), clock, Arc::clone(watch));
    let loaded = match store.load(Box::new(source)).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(BackupError::Invalid("the store is in use: restore into an empty one".to_owned())),
        Err(error) => Err(error.into()),
    };
    loaded.inspect_err(|_| {
        // They belong to what was not filled in.
        for name in &wanted {
            let _ = fs::remove_file(keys.join(name));
        }
    })?;
    let pepper = manifest.keys.iter().find(|key| key.name == PEPPER);
    let is_right = match pepper {
        Some(key) => fingerprint(&keys.join(PEPPER))?.as_ref() == Some(&key.sha256),
        None => true,
    };
    Ok(if is_right { Keys::Right } else { Keys::Missing })
}
