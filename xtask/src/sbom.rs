//! `sbom [FILE]`: the bill of materials of the `confab` program, as CycloneDX 1.6. What is linked into it on our
//! targets, and what is inside the page and the stock plugins that it embeds. Two runs over one Cargo.lock give
//! the same bytes. Nothing here decides what is good: that is `deny.toml`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::{env, fs};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::shell::{self, Cmd};

const LINUX: &[&str] = &["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];
const WASM: &[&str] = &["wasm32-unknown-unknown"];
/// The package that everything else is a part of.
const PROGRAM: &str = "confab";
/// Package, what it is in the program, and what it is built for.
const PARTS: &[(&str, &str, &[&str])] = &[
    (PROGRAM, "server", LINUX),
    ("confab-web", "page", WASM),
    ("confab-sanitize", "plugin sanitize", WASM),
    ("confab-words", "plugin words", WASM),
    ("confab-links", "plugin links", WASM),
    ("confab-flood", "plugin flood", WASM),
    ("confab-mentions", "plugin mentions", WASM),
    ("confab-newcomer", "plugin newcomer", WASM),
];

/// Name and version; no package of ours stands twice in Cargo.lock with both the same.
type Key = (String, String);

/// What the resolver says of a package: the union over parts and targets.
#[derive(Debug, Default, PartialEq)]
struct Node {
    features: BTreeSet<String>,
    parts: BTreeSet<String>,
    needs: BTreeSet<Key>,
}

type Graph = BTreeMap<Key, Node>;

/// What the manifests and Cargo.lock say of a package.
#[derive(Debug, Default)]
struct About {
    license: Option<String>,
    repository: Option<String>,
    /// SHA-256 of the published archive; packages of this workspace have none.
    checksum: Option<String>,
}

/// Prints the document, or writes it into a file.
pub(crate) fn run(file: Option<&str>) -> Result<()> {
    let mut graph = Graph::new();
    for (package, part, targets) in PARTS {
        for target in *targets {
            read_tree(&tree(package, target)?, part, &mut graph)?;
        }
    }
    embed(&mut graph)?;
    let text = serde_json::to_string_pretty(&document(&graph, &about()?, timestamp()?)?)?;
    match file {
        None => println!("{text}"),
        Some(file) => {
            fs::write(Path::new(file), text + "\n").with_context(|| file.to_owned())?;
            eprintln!("xtask: {} packages, into {file}", graph.len());
        }
    }
    Ok(())
}

/// What is linked, as the resolver sees it: `cargo metadata` mixes in features that only tests or build scripts
/// switch on, and macros run at build time only.
fn tree(package: &str, target: &str) -> Result<String> {
    let cargo = Cmd::cargo().args(["tree", "--quiet", "--locked", "--package", package, "--target", target]);
    cargo.args(["--edges", "normal,no-proc-macro", "--prefix", "depth", "--format", "{p}|{f}"]).read()
}

/// Reads lines like `2bytes v1.12.1|default,std (*)`: the depth, the package, its features, and a star where the
/// packages below it were listed before.
fn read_tree(text: &str, part: &str, graph: &mut Graph) -> Result<()> {
    let mut above: Vec<Key> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let unknown = || format!("cargo tree: {line:?}");
        let digits = line.find(|c: char| !c.is_ascii_digit()).with_context(unknown)?;
        let depth: usize = line[..digits].parse().with_context(unknown)?;
        let (package, features) = line[digits..].split_once('|').with_context(unknown)?;
        let mut words = package.split(' ');
        let name = words.next().with_context(unknown)?.to_owned();
        let version = words.next().and_then(|word| word.strip_prefix('v')).with_context(unknown)?.to_owned();
        let key = (name, version);
        above.truncate(depth);
        if let Some(parent) = above.last() {
            graph.entry(parent.clone()).or_default().needs.insert(key.clone());
        }
        let node = graph.entry(key.clone()).or_default();
        node.parts.insert(part.to_owned());
        let features = features.trim_end_matches(" (*)").split(',').filter(|feature| !feature.is_empty());
        node.features.extend(features.map(str::to_owned));
        above.push(key);
    }
    Ok(())
}

/// The program needs what it embeds, though no linker sees it.
fn embed(graph: &mut Graph) -> Result<()> {
    let guests: BTreeSet<Key> = PARTS[1..].iter().map(|(name, ..)| find(graph, name)).collect::<Result<_>>()?;
    let program = find(graph, PROGRAM)?;
    graph.entry(program).or_default().needs.extend(guests);
    Ok(())
}

fn find(graph: &Graph, name: &str) -> Result<Key> {
    graph.keys().find(|key| key.0 == name).cloned().with_context(|| format!("{name} is not in the tree"))
}

fn about() -> Result<BTreeMap<Key, About>> {
    let mut cargo = Cmd::cargo().args(["metadata", "--quiet", "--locked", "--format-version", "1"]);
    for target in LINUX.iter().chain(WASM) {
        cargo = cargo.args(["--filter-platform", target]);
    }
    let metadata: Value = serde_json::from_str(&cargo.read()?)?;
    let checksums = checksums(&fs::read_to_string(shell::root().join("Cargo.lock"))?);
    let mut all = BTreeMap::new();
    for package in metadata["packages"].as_array().context("cargo metadata lists packages")? {
        let text = |field: &str| package[field].as_str().map(str::to_owned);
        let key = (text("name").unwrap_or_default(), text("version").unwrap_or_default());
        let checksum = checksums.get(&key).cloned();
        all.insert(key, About { license: text("license"), repository: text("repository"), checksum });
    }
    Ok(all)
}

/// Of Cargo.lock, which cargo writes one `key = "value"` a line.
fn checksums(lock: &str) -> BTreeMap<Key, String> {
    let value = |package: &str, key: &str| {
        let mut lines = package.lines();
        lines.find_map(|line| Some(line.strip_prefix(key)?.strip_prefix(" = \"")?.trim_end_matches('"').to_owned()))
    };
    let entry = |package| Some(((value(package, "name")?, value(package, "version")?), value(package, "checksum")?));
    lock.split("[[package]]").filter_map(entry).collect()
}

fn document(graph: &Graph, about: &BTreeMap<Key, About>, timestamp: Option<String>) -> Result<Value> {
    let reference = |key: &Key| -> Result<String> {
        let about = about.get(key).with_context(|| format!("no metadata of {} {}", key.0, key.1))?;
        Ok(if about.checksum.is_some() { purl(key) } else { format!("{}@{}", key.0, key.1) })
    };
    let program = find(graph, PROGRAM)?;
    let mut components = Vec::new();
    let mut dependencies = Vec::new();
    let mut root = Value::Null;
    for (key, node) in graph {
        let component = component(key, node, &about[key], &reference(key)?)?;
        if *key == program {
            root = component;
            root["type"] = json!("application");
        } else {
            components.push(component);
        }
        let needs = node.needs.iter().map(reference).collect::<Result<Vec<_>>>()?;
        dependencies.push(json!({ "ref": reference(key)?, "dependsOn": needs }));
    }
    let mut metadata = json!({
        "component": root,
        "lifecycles": [{ "phase": "build" }],
        "tools": { "components": [{ "type": "application", "name": "confab xtask", "version": program.1 }] },
    });
    if let Some(timestamp) = timestamp {
        metadata["timestamp"] = json!(timestamp);
    }
    let serial = serial(&json!([metadata["component"], components, dependencies]).to_string());
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "serialNumber": serial,
        "metadata": metadata,
        "components": components,
        "dependencies": dependencies,
    }))
}

fn component(key: &Key, node: &Node, about: &About, reference: &str) -> Result<Value> {
    let (name, version) = key;
    let Some(license) = &about.license else { bail!("{name} {version} names no licence") };
    let join = |set: &BTreeSet<String>| set.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let mut properties = vec![json!({ "name": "confab:part", "value": join(&node.parts) })];
    if !node.features.is_empty() {
        properties.push(json!({ "name": "confab:features", "value": join(&node.features) }));
    }
    let mut component = json!({
        "type": "library",
        "bom-ref": reference,
        "name": name,
        "version": version,
        "licenses": [{ "expression": expression(license) }],
        "properties": properties,
    });
    if let Some(checksum) = &about.checksum {
        component["purl"] = json!(purl(key));
        component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    if let Some(url) = &about.repository {
        component["externalReferences"] = json!([{ "type": "vcs", "url": url }]);
    }
    Ok(component)
}

/// A package URL; build metadata like `+spec-1.1.0` is a part of a version, and a plus is a blank in URLs.
fn purl((name, version): &Key) -> String {
    format!("pkg:cargo/{name}@{}", version.replace('+', "%2B"))
}

/// Old manifests write a slash for "or", which is no SPDX expression.
fn expression(license: &str) -> String {
    license.split('/').map(str::trim).collect::<Vec<_>>().join(" OR ")
}

/// Made of the content: the same bill has the same number wherever it is written.
fn serial(content: &str) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&Sha256::digest(content.as_bytes())[..16]);
    // Version 8, "custom", and the variant of RFC 9562.
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("urn:uuid:{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// The time that the builder names, if any: `SOURCE_DATE_EPOCH`, seconds.
fn timestamp() -> Result<Option<String>> {
    let Some(seconds) = env::var_os("SOURCE_DATE_EPOCH") else { return Ok(None) };
    let seconds = seconds.to_str().and_then(|text| text.parse().ok()).context("SOURCE_DATE_EPOCH is not seconds")?;
    Ok(Some(rfc3339(seconds)))
}

/// Years are counted from March, so that a leap day is the last of its year.
fn rfc3339(seconds: u32) -> String {
    const DAYS_TO_1970: u32 = 719_468;
    const DAYS_OF_400_YEARS: u32 = 146_097;
    let (days, time) = (seconds / 86_400 + DAYS_TO_1970, seconds % 86_400);
    let (era, day) = (days / DAYS_OF_400_YEARS, days % DAYS_OF_400_YEARS);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = era * 400 + year + u32::from(month <= 2);
    let (hours, minutes, seconds) = (time / 3_600, time / 60 % 60, time % 60);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "\
0confab v0.1.0 (/somewhere/confab)|
1bytes v1.12.1|default,std
1toml v0.9.8+spec-1.1.0|parse
2bytes v1.12.1|default,std (*)

";
    const LOCK: &str = "\
version = 4

[[package]]
name = \"bytes\"
version = \"1.12.1\"
source = \"registry\"
checksum = \"b0b0\"
dependencies = [
 \"toml\",
]

[[package]]
name = \"confab\"
version = \"0.1.0\"

[[package]]
name = \"toml\"
version = \"0.9.8+spec-1.1.0\"
checksum = \"d0d0\"
";

    fn key(name: &str, version: &str) -> Key {
        (name.to_owned(), version.to_owned())
    }

    fn small() -> Value {
        let mut graph = Graph::new();
        read_tree(TREE, "server", &mut graph).unwrap();
        read_tree("0bytes v1.12.1|serde\n", "page", &mut graph).unwrap();
        let checksums = checksums(LOCK);
        let about = graph.keys().map(|key| {
            let about = About { license: Some("MIT/Apache-2.0".into()), ..About::default() };
            (key.clone(), About { checksum: checksums.get(key).cloned(), ..about })
        });
        document(&graph, &about.collect(), None).unwrap()
    }

    #[test]
    fn a_tree_is_read_with_its_edges_and_features() {
        let mut graph = Graph::new();
        read_tree(TREE, "server", &mut graph).unwrap();
        let (bytes, toml) = (key("bytes", "1.12.1"), key("toml", "0.9.8+spec-1.1.0"));
        assert_eq!(graph.len(), 3);
        assert_eq!(graph[&key("confab", "0.1.0")].needs, BTreeSet::from([bytes.clone(), toml.clone()]));
        assert_eq!(graph[&toml].needs, BTreeSet::from([bytes.clone()]));
        assert_eq!(graph[&bytes].features, BTreeSet::from(["default".into(), "std".into()]));
        for line in ["bytes v1|", "0bytes", "0bytes 1.0|", "0|"] {
            assert!(read_tree(line, "server", &mut graph).is_err(), "{line}");
        }
    }

    #[test]
    fn a_document_holds_what_is_asked_of_it() {
        let document = small();
        assert_eq!(document["metadata"]["component"]["bom-ref"], "confab@0.1.0");
        assert_eq!(document["metadata"]["component"]["type"], "application");
        assert!(document["metadata"].get("timestamp").is_none());
        let bytes = &document["components"][0];
        assert_eq!(bytes["purl"], "pkg:cargo/bytes@1.12.1");
        assert_eq!(bytes["hashes"][0]["content"], "b0b0");
        assert_eq!(bytes["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(bytes["properties"][0]["value"], "page, server");
        assert_eq!(bytes["properties"][1]["value"], "default, serde, std");
        assert_eq!(document["components"][1]["purl"], "pkg:cargo/toml@0.9.8%2Bspec-1.1.0");
        let needs = json!(["pkg:cargo/bytes@1.12.1", "pkg:cargo/toml@0.9.8%2Bspec-1.1.0"]);
        let dependencies = document["dependencies"].as_array().unwrap();
        assert!(dependencies.contains(&json!({ "ref": "confab@0.1.0", "dependsOn": needs })), "{dependencies:?}");
    }

    #[test]
    fn two_runs_write_the_same() {
        assert_eq!(small().to_string(), small().to_string());
        assert_eq!(serial("x"), serial("x"));
        assert_ne!(serial("x"), serial("y"));
        assert_eq!(serial("x").len(), "urn:uuid:".len() + 36);
        assert_eq!(&serial("x")[9 + 14..9 + 15], "8");
    }

    #[test]
    fn times_are_dates() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_787_356_800, "2026-08-22T00:00:00Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
    }
}
