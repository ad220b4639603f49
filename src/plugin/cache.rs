//! Components as machine code, kept between starts. Such a file is run as it is: only this server writes it, into a
//! folder that is closed to others, and one that is not as it was written is compiled anew.

use std::collections::HashSet;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest;
use confab_protocol::model::Millis;
use wasmtime::Engine;
use wasmtime::component::Component;

const DIGEST_BYTES: usize = 32;
/// Hex digits of an engine in a name.
const ENGINE_DIGITS: usize = 16;
const ENDING: &str = "cwasm";
/// A file that nobody names is kept so long: a command may have compiled what it names in a moment.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) struct Cache(PathBuf);

impl Cache {
    /// In this folder. `None`: it cannot be had, or others may write there; then every start compiles.
    pub(super) fn open(folder: &Path) -> Option<Self> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        let checked = made.and_then(|()| fs::symlink_metadata(folder)).and_then(|metadata| {
            let is_ours = metadata.uid() == fs::metadata("/proc/self")?.uid() && metadata.is_dir();
            let is_closed = metadata.permissions().mode() & 0o777 == 0o700;
            if is_ours && is_closed { Ok(()) } else { Err(std::io::Error::other("others may get at it")) }
        });
        match checked {
            Ok(()) => Some(Self(folder.to_owned())),
            Err(error) => {
                tracing::info!(folder = %folder.display(), %error, "compiled plugins are not kept");
                None
            }
        }
    }

    /// Of this component, this engine and this machine.
    fn path(&self, engine: &Engine, wasm: &[u8]) -> PathBuf {
        let component = super::hex(digest::digest(&digest::SHA256, wasm).as_ref());
        self.0.join(format!("{component}-{}.{ENDING}", name_of(engine)))
    }

    pub(super) fn find(&self, engine: &Engine, wasm: &[u8]) -> Option<Component> {
        let bytes = fs::read(self.path(engine, wasm)).ok()?;
        let (written, code) = bytes.split_at_checked(DIGEST_BYTES)?;
        if digest::digest(&digest::SHA256, code).as_ref() != written {
            return None;
        }
        #[allow(unsafe_code, reason = "written by this server into a folder of its own, and as it was written")]
        let component = unsafe { Component::deserialize(engine, code) };
        component.ok()
    }

    /// A full disk keeps nothing, and nothing is lost.
    pub(super) fn keep(&self, engine: &Engine, wasm: &[u8], component: &Component) {
        let path = self.path(engine, wasm);
        let kept = component.serialize().map_err(std::io::Error::other).and_then(|code| {
            let bytes = [digest::digest(&digest::SHA256, &code).as_ref(), &code].concat();
            let fresh = path.with_extension(format!("{}.new", std::process::id()));
            fs::write(&fresh, bytes)?;
            fs::rename(&fresh, &path)
        });
        if let Err(error) = kept {
            tracing::info!(%error, "a compiled plugin is not kept: each start compiles it");
        }
    }

    /// Takes away what was compiled of components that are not among these, once it is old, and what another engine compiled at
    /// once. Only files that have a name as they are given here, and never what a link leads to: what stays is in nobody's way.
    pub(super) fn sweep(&self, engine: &Engine, components: &HashSet<&str>, now: Millis) {
        let Ok(files) = fs::read_dir(&self.0) else { return };
        let engine = name_of(engine);
        let is_old = |written: SystemTime| {
            let written = written.duration_since(UNIX_EPOCH).unwrap_or_default();
            Duration::from_millis(now.0).saturating_sub(written) > KEPT
        };
        for file in files.flatten() {
            let name = file.file_name();
            let Some(named) = name.to_str().and_then(Named::read) else { continue };
            // That of a link is of the link.
            let Ok(metadata) = file.metadata() else { continue };
            let is_needed = named.is_whole && named.engine == engine && components.contains(named.component);
            let is_foreign = named.is_whole && named.engine != engine;
            let is_over = is_foreign || !is_needed && metadata.modified().is_ok_and(is_old);
            if metadata.is_file() && is_over {
                let _ = fs::remove_file(file.path());
            }
        }
    }
}

/// As it is written in names.
fn name_of(engine: &Engine) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// What the name of a file says.
struct Named<'a> {
    component: &'a str,
    engine: &'a str,
    /// Else somebody writes it, or was killed while they did.
    is_whole: bool,
}

impl<'a> Named<'a> {
    /// `None`: no name that is given here.
    fn read(name: &'a str) -> Option<Self> {
        let (component, rest) = name.split_once('-')?;
        let (engine, ending) = rest.split_once('.')?;
        let is_hex = |text: &str, digits| {
            text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let is_whole = ending == ENDING;
        let writer = ending.strip_suffix(".new").unwrap_or_default();
        let is_fresh = !writer.is_empty() && writer.bytes().all(|byte| byte.is_ascii_digit());
        let is_ours = is_hex(component, 2 * DIGEST_BYTES) && is_hex(engine, ENGINE_DIGITS) && (is_whole || is_fresh);
        is_ours.then_some(Self { component, engine, is_whole })
    }
}
