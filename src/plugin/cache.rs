//! Components as machine code, kept between starts. Such a file is run as it is: only this server writes it, into a
//! folder that is closed to others, and one that is not as it was written is compiled anew.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use wasmtime::Engine;
use wasmtime::component::Component;

const DIGEST_BYTES: usize = 32;

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
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        self.0.join(format!(
            "{}-{:016x}.cwasm",
            super::hex(digest::digest(&digest::SHA256, wasm).as_ref()),
            hasher.finish()
        ))
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
}
