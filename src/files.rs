//! Secrets in files of their own: read, or made whole. A file that appears is complete, also after a full disk.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// Reads a secret file, or makes it with mode 0600, and its folder with 0700.
///
/// # Errors
/// Those of the file system; nothing is left behind then.
pub fn read_or_create(path: &Path, make: impl FnOnce() -> Vec<u8>) -> io::Result<Vec<u8>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        read => return read,
    }
    if let Some(folder) = path.parent() {
        create_private_dir(folder)?;
    }
    let bytes = make();
    let fresh = write_fresh(path, &bytes)?;
    // Another process may have been faster: what is there then holds for both.
    let published = fs::hard_link(&fresh, path).and_then(|()| sync_folder_of(path));
    let _ = fs::remove_file(&fresh);
    match published {
        Ok(()) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => fs::read(path),
        Err(error) => Err(error),
    }
}

/// Writes a whole file with mode 0600, or leaves what was there.
///
/// # Errors
/// Those of the file system.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = write_fresh(path, bytes)?;
    fs::rename(&fresh, path).inspect_err(|_| {
        let _ = fs::remove_file(&fresh);
    })?;
    sync_folder_of(path)
}

/// A name is as durable as the folder that it stands in.
///
/// # Errors
/// Those of the file system.
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Checks that there is a regular file of a size that is expected. Another kind may never end, or not even open.
///
/// # Errors
/// Those of the file system; another kind of file, or a longer one.
pub fn check_bounded(path: &Path, bytes_max: u64) -> io::Result<()> {
    check_kind(&fs::metadata(path)?, bytes_max)
}

fn check_kind(metadata: &fs::Metadata, bytes_max: u64) -> io::Result<()> {
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "is no regular file"));
    }
    check_length(metadata.len(), bytes_max)
}

/// Reads a regular file of a size that is expected.
///
/// # Errors
/// As [`check_bounded`].
pub fn read_bounded(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    // What is no such file is not even opened: to some devices that does something.
    check_bounded(path, bytes_max)?;
    let mut bytes = Vec::new();
    open_bounded(path, bytes_max)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    // It may have grown since.
    check_length(bytes.len() as u64, bytes_max)?;
    Ok(bytes)
}

/// Reads a text of a bounded length, be it from a pipe, as a shell makes one of `<(...)`: that is waited for.
///
/// # Errors
/// Those of the file system; a longer one; what is not UTF-8.
pub fn read_text_bounded(path: &Path, bytes_max: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    check_length(bytes.len() as u64, bytes_max)?;
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Something else may stand there since it was looked at, and what counts is what was opened. A pipe opens at once so, also
/// where nobody writes into it.
fn open_bounded(path: &Path, bytes_max: u64) -> io::Result<fs::File> {
    let file = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(path)?;
    check_kind(&file.metadata()?, bytes_max)?;
    Ok(file)
}

fn check_length(bytes: u64, bytes_max: u64) -> io::Result<()> {
    if bytes <= bytes_max {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, format!("is too long: at most {bytes_max} bytes")))
}

/// A complete file of this process beside the path.
fn write_fresh(path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    let fresh = path.with_added_extension(format!("new-{}", std::process::id()));
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh);
    let written = file.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.map(|()| fresh.clone()).inspect_err(|_| {
        // What is half written helps nobody.
        let _ = fs::remove_file(&fresh);
    })
}

/// Makes an empty file with mode 0600 if there is none; what opens it later keeps the mode.
///
/// # Errors
/// Those of the file system.
pub fn create_private(path: &Path) -> io::Result<()> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path).map(drop)
}

/// Makes a folder, and those above it, for this user alone.
///
/// # Errors
/// Those of the file system.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    #[test]
    fn a_secret_is_made_once_and_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/pepper");
        assert_eq!(read_or_create(&path, || b"first".to_vec()).unwrap(), b"first");
        assert_eq!(read_or_create(&path, || b"second".to_vec()).unwrap(), b"first");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing else is left");
    }

    /// As if it was put there behind the first look.
    #[test]
    fn what_is_opened_is_looked_at_and_a_pipe_holds_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        assert!(Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
        fs::write(path("file"), b"1234").unwrap();
        let told = |name: &str, most: u64| open_bounded(&path(name), most).unwrap_err().to_string();
        assert_eq!((told("pipe", 9), told("", 9)), ("is no regular file".to_owned(), "is no regular file".to_owned()));
        assert_eq!(told("file", 3), "is too long: at most 3 bytes");
        assert_eq!(read_bounded(&path("file"), 4).unwrap(), b"1234");
    }
}
