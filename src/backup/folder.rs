//! The files of a backup: written, read back, and read to fill a store.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::manifest::{Manifest, TableFile};
use super::{BackupError, Progress, Watch, failed};
use crate::clock::Clock;
use crate::core::backup::check::Checker;
use crate::core::backup::rows::{Row, Rows};
use crate::core::backup::{Sink, Source, TABLES, Table};
use crate::core::seal::Vault;
use crate::core::store::{Error, Result, new_incarnation};

const BUFFER_BYTES: usize = 256 * 1024;
/// Progress is told every so many rows.
const TELL_ROWS: u64 = 1_000;
/// Nobody logs in on one device more often between a backup and its restore.
const LOGINS_PASSED: i32 = 100_000;

fn path(folder: &Path, table: &Table) -> PathBuf {
    folder.join(table.name).with_extension("rows")
}

/// In hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unwritten(path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |error| Error::Unavailable(format!("{}: {error}", path.display()))
}

/// Tells of rows now and then.
struct Teller {
    watch: Watch,
    progress: Progress,
    told: u64,
}

impl Teller {
    fn new(watch: Watch) -> Self {
        Self { watch, progress: Progress { table: "", rows: 0, of: None }, told: 0 }
    }

    fn begin(&mut self, table: &'static str, of: Option<u64>) {
        self.progress = Progress { table, rows: 0, of };
        self.told = 0;
    }

    fn add(&mut self, rows: u64) {
        self.progress.rows += rows;
        if self.progress.rows >= self.told + TELL_ROWS {
            self.told = self.progress.rows;
            (self.watch)(self.progress);
        }
    }
}

/// Writes a file for each table.
pub(super) struct FolderSink {
    folder: PathBuf,
    open: Option<(&'static Table, BufWriter<File>)>,
    entries: u64,
    teller: Teller,
}

impl FolderSink {
    pub(super) fn new(folder: &Path, watch: Watch) -> Self {
        Self { folder: folder.to_owned(), open: None, entries: 0, teller: Teller::new(watch) }
    }

    fn close(&mut self) -> Result<()> {
        let Some((table, file)) = self.open.take() else { return Ok(()) };
        let path = path(&self.folder, table);
        let file = file.into_inner().map_err(|error| unwritten(&path)(error.into_error()))?;
        file.sync_all().map_err(unwritten(&path))
    }
}

impl Sink for FolderSink {
    fn expect_entries(&mut self, count: u64) {
        self.entries = count;
    }

    fn write(&mut self, table: &'static Table, bytes: &[u8], rows: u64) -> Result<()> {
        let path = path(&self.folder, table);
        let mut at = match self.open.take() {
            Some(at) if at.0 == table => at,
            other => {
                self.open = other;
                self.close()?;
                let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
                self.teller.begin(table.name, (table.name == "entries").then_some(self.entries));
                (table, BufWriter::with_capacity(BUFFER_BYTES, file.map_err(unwritten(&path))?))
            }
        };
        at.1.write_all(bytes).map_err(unwritten(&path))?;
        self.open = Some(at);
        self.teller.add(rows);
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.close()
    }
}

/// Counts and hashes what is read.
struct Hashing<R> {
    from: R,
    hash: Sha256,
    bytes: u64,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, place: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(place)?;
        self.hash.update(place.get(..read).unwrap_or_default());
        self.bytes += read as u64;
        Ok(read)
    }
}

fn open(folder: &Path, table: &'static Table) -> std::result::Result<Rows<BufReader<Hashing<File>>>, BackupError> {
    let path = path(folder, table);
    let from = File::open(&path).map_err(failed(&path))?;
    if !from.metadata().map_err(failed(&path))?.is_file() {
        return Err(BackupError::Invalid(format!("{} is no regular file", path.display())));
    }
    let hashing = Hashing { from, hash: Sha256::new(), bytes: 0 };
    Ok(Rows::new(table, BufReader::with_capacity(BUFFER_BYTES, hashing)))
}

/// What was read to the end.
fn describe(table: &Table, rows: Rows<BufReader<Hashing<File>>>) -> TableFile {
    let count = rows.count();
    let Hashing { hash, bytes, .. } = rows.into_inner().into_inner();
    let columns = table.columns.iter().map(|column| column.name.to_owned()).collect();
    TableFile { name: table.name.to_owned(), columns, rows: count, bytes, sha256: hex(&hash.finalize()) }
}

/// It is the backup that is damaged, and not a store.
fn unreadable(error: Error) -> BackupError {
    match error {
        Error::Corrupt(what) | Error::Unavailable(what) | Error::Busy(what) => BackupError::Invalid(what),
    }
}

/// Reads every row, and what the files are; and how many payloads could not be opened.
pub(super) fn inspect(
    folder: &Path,
    vault: &Vault,
    watch: &Watch,
) -> std::result::Result<(Vec<TableFile>, u64), BackupError> {
    let mut checker = Checker::new(vault);
    let mut teller = Teller::new(Arc::clone(watch));
    let mut found = Vec::with_capacity(TABLES.len());
    for table in TABLES {
        let mut rows = open(folder, table)?;
        teller.begin(table.name, None);
        while let Some(row) = rows.next_row().map_err(unreadable)? {
            checker.take(table, row);
            teller.add(1);
        }
        found.push(describe(table, rows));
    }
    let unopened = checker.finish().map_err(BackupError::Invalid)?;
    Ok((found, unopened))
}

/// Reads rows as a store is to have them: each log with another incarnation, nobody logged in.
pub(super) struct FolderSource {
    folder: PathBuf,
    manifest: Manifest,
    clock: Arc<dyn Clock>,
    tables: std::slice::Iter<'static, Table>,
    open: Option<(&'static Table, Rows<BufReader<Hashing<File>>>)>,
    row: Row,
    teller: Teller,
}

impl FolderSource {
    pub(super) fn new(folder: &Path, manifest: Manifest, clock: Arc<dyn Clock>, watch: Watch) -> Self {
        let (folder, tables) = (folder.to_owned(), TABLES.iter());
        Self { folder, manifest, clock, tables, open: None, row: Row::default(), teller: Teller::new(watch) }
    }

    fn renew(&mut self, table: &'static Table) -> Result<()> {
        match table.name {
            "rooms" => {
                let incarnation = new_incarnation(self.clock.random());
                self.row.replace(table.position("incarnation"), &incarnation.0.to_be_bytes())
            }
            "devices" => {
                // Tokens of logins that ended since are of other numbers.
                let login = table.position("login");
                let number = self.row.number(login).unwrap_or_default() as i32;
                self.row.replace(login, &number.saturating_add(LOGINS_PASSED).to_be_bytes())?;
                self.row.replace(table.position("active"), &[0])
            }
            _ => Ok(()),
        }
    }
}

impl Source for FolderSource {
    fn next_row(&mut self) -> Result<Option<(&'static Table, &Row)>> {
        loop {
            let Some((table, rows)) = &mut self.open else {
                let Some(table) = self.tables.next() else { return Ok(None) };
                let rows = open(&self.folder, table).map_err(|error| Error::Unavailable(error.to_string()))?;
                self.teller.begin(table.name, None);
                self.open = Some((table, rows));
                continue;
            };
            let table = *table;
            match rows.next_row()? {
                Some(row) => std::mem::swap(&mut self.row, row),
                None => {
                    // It may have been altered since it was verified.
                    if let Some((table, rows)) = self.open.take() {
                        self.manifest
                            .compare_one(&describe(table, rows))
                            .map_err(|it| Error::Corrupt(it.to_string()))?;
                    }
                    continue;
                }
            }
            self.teller.add(1);
            self.renew(table)?;
            return Ok(Some((table, &self.row)));
        }
    }
}
