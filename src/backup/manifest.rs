//! What a backup says of itself, in `manifest.json`: without it a folder is no backup.

use std::path::Path;

use confab_protocol::model::Millis;
use serde::{Deserialize, Serialize};

use super::{BackupError, failed};
use crate::core::backup::TABLES;
use crate::files;

const FILE: &str = "manifest.json";
/// No manifest is longer, bytes.
const BYTES_MAX: u64 = 1 << 20;
/// Of the folder and its files.
/// 1 had neither audit keys nor the level of an emergency.
const FORMAT: u32 = 2;

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    /// 1.
    pub format: u32,
    /// Version of the server that made it.
    pub confab: String,
    /// When it was begun, milliseconds since the Unix epoch; it holds everything that was acknowledged before.
    pub created_ms: u64,
    /// In the order in which they are filled in.
    pub tables: Vec<TableFile>,
    /// Of the server.
    pub keys: Vec<KeyFile>,
}

/// A file with the rows of a table, `<name>.rows`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names say it")]
pub struct TableFile {
    pub name: String,
    pub columns: Vec<String>,
    pub rows: u64,
    pub bytes: u64,
    /// Of the file, in hexadecimal.
    pub sha256: String,
}

/// A key of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFile {
    /// In the folder of keys.
    pub name: String,
    /// Of the file, in hexadecimal.
    pub sha256: String,
    /// Whether the backup holds it.
    pub included: bool,
}

impl Manifest {
    pub(super) fn new(created: Millis, tables: Vec<TableFile>, keys: Vec<KeyFile>) -> Self {
        let confab = env!("CARGO_PKG_VERSION").to_owned();
        Self { format: FORMAT, confab, created_ms: created.0, tables, keys }
    }

    pub(super) fn write(&self, folder: &Path) -> Result<(), BackupError> {
        let path = folder.join(FILE);
        let text = serde_json::to_vec_pretty(self).map_err(|error| BackupError::Invalid(error.to_string()))?;
        files::write_private(&path, &text).map_err(failed(&path))
    }

    pub(super) fn read(folder: &Path) -> Result<Self, BackupError> {
        let path = folder.join(FILE);
        let invalid = |what: String| BackupError::Invalid(format!("{}: {what}", path.display()));
        let text = files::read_bounded(&path, BYTES_MAX).map_err(failed(&path))?;
        let manifest: Self = serde_json::from_slice(&text).map_err(|error| invalid(error.to_string()))?;
        manifest.check().map_err(invalid)?;
        Ok(manifest)
    }

    /// That it is of tables that this server has.
    fn check(&self) -> Result<(), String> {
        if self.format != FORMAT {
            let Self { format, confab, .. } = self;
            return Err(format!(
                "is of format {format}, and this server reads {FORMAT}: restore it with the server that made it ({confab}), \
                 then start this one on that store"
            ));
        }
        let is_same = self.tables.len() == TABLES.len()
            && self.tables.iter().zip(TABLES).all(|(file, table)| {
                file.name == table.name && file.columns.iter().eq(table.columns.iter().map(|column| column.name))
            });
        if is_same {
            Ok(())
        } else {
            Err(format!("was made by another version, {}: restore with that one", self.confab))
        }
    }

    /// That the files are those that were written.
    pub(super) fn compare(&self, found: &[TableFile]) -> Result<(), BackupError> {
        found.iter().try_for_each(|found| self.compare_one(found))
    }

    /// Of one file.
    pub(super) fn compare_one(&self, found: &TableFile) -> Result<(), BackupError> {
        let Some(said) = self.tables.iter().find(|said| said.name == found.name && *said != found) else {
            return Ok(());
        };
        let what = format!(
            "{}.rows is not the file that was written: {} rows, {} bytes, SHA-256 {}; it was {}, {}, {}",
            said.name, found.rows, found.bytes, found.sha256, said.rows, said.bytes, said.sha256
        );
        Err(BackupError::Invalid(what))
    }

    /// Of a table.
    #[must_use]
    pub fn rows(&self, table: &str) -> u64 {
        self.tables.iter().find(|file| file.name == table).map_or(0, |file| file.rows)
    }

    /// Of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.tables.iter().map(|file| file.bytes).sum()
    }
}
