//! The contract as files: tools of other languages than Rust make their bindings from it, and nobody needs this repository.

use std::path::Path;
use std::{fs, io};

use anyhow::{Context, bail};
use serde_json::json;

use super::scaffold::SDK;

/// Where the SDK has it.
const WITHIN: &str = "wit/since_v0_1/";

/// Name and text of each file.
fn files() -> impl Iterator<Item = (&'static str, &'static str)> {
    SDK.into_iter().filter_map(|(path, text)| Some((path.strip_prefix(WITHIN)?, text)))
}

pub(super) fn write(folder: &Path, json: bool) -> anyhow::Result<()> {
    // All of them are looked at before one is written.
    for (name, text) in files() {
        let path = folder.join(name);
        match fs::read(&path) {
            Ok(there) if there == text.as_bytes() => {}
            Ok(_) => bail!(
                "{} is there already and says something else: choose another folder, or take it away",
                path.display()
            ),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        }
    }
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    for (name, text) in files() {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    let names: Vec<&str> = files().map(|(name, _)| name).collect();
    if json {
        println!("{}", json!({ "folder": folder, "files": names }));
        return Ok(());
    }
    println!("{} has the contract: {}", folder.display(), names.join(", "));
    println!("Next: make a component of a world of it, as message-hook, then confab plugin test COMPONENT");
    Ok(())
}
