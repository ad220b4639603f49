//! A new plugin: ten lines that decide something, golden files, and the SDK beside it, so that nothing else is needed.

use std::fs;
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use serde_json::json;

use crate::plugin::check_manifest;

/// The SDK as this server knows it.
pub(super) const SDK: [(&str, &str); 18] = [
    ("src/lib.rs", include_str!("../../../sdk/src/lib.rs")),
    ("src/actions.rs", include_str!("../../../sdk/src/actions.rs")),
    ("src/context.rs", include_str!("../../../sdk/src/context.rs")),
    ("src/guest.rs", include_str!("../../../sdk/src/guest.rs")),
    ("src/hooks.rs", include_str!("../../../sdk/src/hooks.rs")),
    ("src/export.rs", include_str!("../../../sdk/src/export.rs")),
    ("src/golden.rs", include_str!("../../../sdk/src/golden.rs")),
    ("src/native.rs", include_str!("../../../sdk/src/native.rs")),
    ("src/kept.rs", include_str!("../../../sdk/src/kept.rs")),
    ("src/kv.rs", include_str!("../../../sdk/src/kv.rs")),
    ("src/history.rs", include_str!("../../../sdk/src/history.rs")),
    ("src/normal.rs", include_str!("../../../sdk/src/normal.rs")),
    ("src/target.rs", include_str!("../../../sdk/src/target.rs")),
    ("wit/since_v0_1/actions.wit", include_str!("../../../sdk/wit/since_v0_1/actions.wit")),
    ("wit/since_v0_1/context.wit", include_str!("../../../sdk/wit/since_v0_1/context.wit")),
    ("wit/since_v0_1/plugin.wit", include_str!("../../../sdk/wit/since_v0_1/plugin.wit")),
    ("wit/since_v0_1/target.wit", include_str!("../../../sdk/wit/since_v0_1/target.wit")),
    ("Cargo.toml", include_str!("scaffold/sdk.toml")),
];
const MANIFEST: &str = include_str!("scaffold/plugin.toml.in");
/// The lock of the SDK: versions that it was tested with, so that none that comes later is in the way of a new plugin.
/// `plugin::tutorial` writes it anew: see there.
const LOCK: &str = include_str!("scaffold/Cargo.lock.in");
/// Between the packages of a lock.
const PACKAGE: &str = "\n[[package]]\n";
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
    if LOCK.contains(&format!("\nname = \"{id}\"\n")) {
        bail!("{id} is the name of a crate that the SDK is made with: choose another name");
    }
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
    write(&folder.join("Cargo.lock"), &lock_of(id))?;
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

/// With the plugin where cargo has it, in the order of names: a lock that is not as cargo writes it is written anew.
fn lock_of(id: &str) -> String {
    let own = format!("name = \"{id}\"\nversion = \"0.1.0\"\ndependencies = [\n \"confab-plugin\",\n]\n");
    let mut parts: Vec<&str> = LOCK.split(PACKAGE).collect();
    // What stands before the packages quotes no name, and stays the first.
    let at = parts.partition_point(|part| part.split('"').nth(1).unwrap_or_default() < id);
    parts.insert(at, &own);
    parts.join(PACKAGE)
}

#[cfg(test)]
mod tests {
    /// Name, version and checksum of each package.
    fn locked(text: &str) -> Vec<[Option<String>; 3]> {
        let lock: toml::Table = toml::from_str(text).unwrap();
        let said = |package: &toml::Value, key: &str| package.get(key).and_then(toml::Value::as_str).map(str::to_owned);
        let packages = lock["package"].as_array().unwrap();
        packages.iter().map(|package| ["name", "version", "checksum"].map(|key| said(package, key))).collect()
    }

    /// That nothing is missing is seen where cargo builds with it, in `plugin::tutorial`.
    #[test]
    fn a_plugin_begins_with_the_versions_that_are_tested_here() {
        let ours = locked(include_str!("../../../Cargo.lock"));
        for id in ["a", "no-shouting", "zz"] {
            let (own, others): (Vec<_>, Vec<_>) =
                locked(&super::lock_of(id)).into_iter().partition(|[name, ..]| name.as_deref() == Some(id));
            assert_eq!((own.len(), own[0][1].as_deref()), (1, Some("0.1.0")), "{id}");
            let other = others.iter().find(|package| !ours.contains(package));
            assert_eq!(other, None, "not as in Cargo.lock: BLESS=1 cargo test -p confab --test main plugin::tutorial");
        }
        let names: Vec<_> = locked(&super::lock_of("no-shouting")).into_iter().map(|[name, ..]| name).collect();
        assert!(names.is_sorted(), "{names:?}");
    }

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
        let read = |text: &str| -> toml::Table { toml::from_str(text).unwrap() };
        let (ours, workspace) = (read(ours), read(include_str!("../../../Cargo.toml")));
        let copy = read(include_str!("scaffold/sdk.toml"));
        // An older compiler says that it is too old, and not what it does not know.
        for key in ["version", "edition", "rust-version", "license"] {
            assert_eq!(copy["package"][key], workspace["workspace"]["package"][key], "{key}");
        }
        let told = format!("Rust {} or later", copy["package"]["rust-version"].as_str().unwrap());
        assert!(include_str!("../../../docs/PLUGINS.md").contains(&told), "{told}");
        for (name, wanted) in ours["dependencies"].as_table().unwrap() {
            let is_shared = wanted.get("workspace").is_some();
            assert!(is_shared || copy["dependencies"][name.as_str()] == *wanted, "{name} is wanted otherwise");
        }
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk/src");
        for file in std::fs::read_dir(folder).unwrap() {
            let name = format!("src/{}", file.unwrap().file_name().to_string_lossy());
            assert!(super::SDK.iter().any(|(path, _)| *path == name), "{name} is missing");
        }
    }
}
