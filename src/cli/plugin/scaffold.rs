//! A new plugin: ten lines that decide something, golden files, and the SDK beside it, so that nothing else is needed.

use std::fs;
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use serde_json::json;

use crate::plugin::check_manifest;

/// The SDK as this server knows it.
pub(super) const SDK: [(&str, &str); 15] = [
    ("src/lib.rs", include_str!("../../../sdk/src/lib.rs")),
    ("src/actions.rs", include_str!("../../../sdk/src/actions.rs")),
    ("src/context.rs", include_str!("../../../sdk/src/context.rs")),
    ("src/guest.rs", include_str!("../../../sdk/src/guest.rs")),
    ("src/hooks.rs", include_str!("../../../sdk/src/hooks.rs")),
    ("src/export.rs", include_str!("../../../sdk/src/export.rs")),
    ("src/golden.rs", include_str!("../../../sdk/src/golden.rs")),
    ("src/native.rs", include_str!("../../../sdk/src/native.rs")),
    ("src/kv.rs", include_str!("../../../sdk/src/kv.rs")),
    ("src/history.rs", include_str!("../../../sdk/src/history.rs")),
    ("src/normal.rs", include_str!("../../../sdk/src/normal.rs")),
    ("wit/since_v0_1/actions.wit", include_str!("../../../sdk/wit/since_v0_1/actions.wit")),
    ("wit/since_v0_1/context.wit", include_str!("../../../sdk/wit/since_v0_1/context.wit")),
    ("wit/since_v0_1/plugin.wit", include_str!("../../../sdk/wit/since_v0_1/plugin.wit")),
    ("Cargo.toml", include_str!("scaffold/sdk.toml")),
];
const MANIFEST: &str = include_str!("scaffold/plugin.toml.in");
const PLUGIN: [(&str, &str); 5] = [
    ("Cargo.toml", include_str!("scaffold/Cargo.toml.in")),
    ("plugin.toml", MANIFEST),
    ("src/lib.rs", include_str!("scaffold/lib.rs.in")),
    ("goldens/first.jsonl", include_str!("scaffold/first.jsonl")),
    (".gitignore", "/target\n"),
];

pub(super) fn new(folder: &Path, json: bool) -> anyhow::Result<()> {
    let id = folder.file_name().and_then(|name| name.to_str()).context("the folder's name is the plugin's id")?;
    check_manifest(id, MANIFEST.replace("{id}", id).as_bytes()).map_err(|error| anyhow!("{id}: {error}"))?;
    if folder.exists() {
        bail!("{} is there already: choose another name", folder.display());
    }
    let write = |path: &Path, text: &str| -> anyhow::Result<()> {
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        fs::write(path, text).with_context(|| path.display().to_string())
    };
    for (path, text) in PLUGIN {
        write(&folder.join(path), &text.replace("{id}", id).replace("{crate}", &id.replace('-', "_")))?;
    }
    for (path, text) in SDK {
        write(&folder.join("sdk").join(path), text)?;
    }
    if json {
        println!("{}", json!({ "id": id, "folder": folder }));
        return Ok(());
    }
    println!("{} is a plugin that bounces shouting.", folder.display());
    println!("  src/lib.rs          what it decides");
    println!("  goldens/            what it must say of which text");
    println!("  plugin.toml         its hooks, capabilities, and what holds when it fails");
    println!("Next: confab plugin test {}", folder.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    /// The copy of the SDK's manifest asks for what the SDK asks for.
    #[test]
    fn the_sdk_is_whole() {
        let dependencies = |text: &str| -> Vec<String> {
            let manifest: toml::Table = toml::from_str(text).unwrap();
            let section = |name: &str| manifest[name].as_table().unwrap().keys().cloned().collect::<Vec<_>>();
            [section("dependencies"), section("features")].concat()
        };
        let ours = include_str!("../../../sdk/Cargo.toml");
        assert_eq!(dependencies(include_str!("scaffold/sdk.toml")), dependencies(ours));
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk/src");
        for file in std::fs::read_dir(folder).unwrap() {
            let name = format!("src/{}", file.unwrap().file_name().to_string_lossy());
            assert!(super::SDK.iter().any(|(path, _)| *path == name), "{name} is missing");
        }
    }
}
