//! Finds what `cargo xtask plugins` and `cargo xtask page` built and lists it for `src/assets.rs`. A build
//! without them works; the server then says what is missing.
#![allow(clippy::disallowed_methods, reason = "a build script is told by its environment")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let assets = root.join("target/assets");
    println!("cargo::rerun-if-changed={}", assets.join("page").display());
    println!("cargo::rerun-if-changed={}", assets.join("plugins").display());
    println!("cargo::rerun-if-changed=src/store/sqlite/migrations");
    let mut code = String::new();
    list(&mut code, "PAGE", "Files of the page: name, bytes.", &assets.join("page"));
    list(&mut code, "PLUGINS", "Stock plugins: `<id>.wasm` and `<id>.toml`, bytes.", &assets.join("plugins"));
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("assets.rs"), code).expect("the build folder can be written");
}

fn list(code: &mut String, name: &str, doc: &str, folder: &Path) {
    // Cargo watches a folder only if it is there.
    fs::create_dir_all(folder).expect("the target folder can be written");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .map(|entries| entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect())
        .unwrap_or_default();
    files.sort();
    let _ = writeln!(code, "/// {doc}\npub const {name}: &[(&str, &[u8])] = &[");
    for file in files {
        println!("cargo::rerun-if-changed={}", file.display());
        let short = file.file_name().unwrap_or_default().to_string_lossy();
        let _ = writeln!(code, "    ({short:?}, include_bytes!({:?})),", file.display().to_string());
    }
    code.push_str("];\n");
}
