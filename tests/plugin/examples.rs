//! The guests in other languages: the same contract, the same golden file, tested as their authors test them. `cargo xtask
//! examples` builds those whose toolchains can be had here, and fails where one is there and does not build it; at the end
//! of `cargo xtask test` it stands which could not be had.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::process::Place;

const BUILDER: &str = include_str!("../../xtask/src/examples.rs");
const DOCUMENT: &str = include_str!("../../docs/PLUGINS.md");
/// The libraries behind the tools for C.
const LIBRARIES: &str = include_str!("../../xtask/assets/Cargo.toml");

#[test]
fn guests_in_other_languages_say_the_same() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let place = Place::new();
    for language in ["c", "javascript", "python"] {
        let id = format!("example-{language}");
        let built = root.join("target/assets/examples").join(format!("{id}.wasm"));
        if !built.exists() {
            eprintln!("the example in {language} was not built here: not tested");
            continue;
        }
        let component = place.folder.path().join(format!("{id}.wasm"));
        let bytes = std::fs::copy(&built, &component).unwrap();
        let manifest = std::fs::read_to_string(built.with_extension("toml")).unwrap();
        assert!(manifest.contains("capabilities = []"), "what imports more is refused: {manifest}");
        std::fs::write(component.with_extension("toml"), manifest).unwrap();
        let goldens = component.with_extension("goldens");
        std::fs::create_dir(&goldens).unwrap();
        std::fs::copy(root.join("plugins/examples/goldens/all.jsonl"), goldens.join("all.jsonl")).unwrap();

        // An interpreter takes long to compile: nobody's patience is asked here.
        let mut test = place.command(&["plugin", "--json", "test", component.to_str().unwrap()]);
        let output = test.output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{language}: {out}{err}");
        let tested: Value = serde_json::from_str(out.trim()).unwrap();
        eprintln!("{language}: {} KiB, {tested}", bytes >> 10);
        let found = (&tested["native"], &tested["lines"], &tested["wrong"]);
        assert_eq!(found, (&Value::Null, &json!(7), &json!([])), "{language}");
    }
}

/// Who follows the document has what builds the examples: the same tools, of the same versions, with the same options.
#[test]
fn the_document_has_the_commands_that_build_them() {
    let (_, section) = DOCUMENT.split_once("## Other languages").unwrap();
    let (code, _) = BUILDER.split_once("#[cfg(test)]").unwrap();
    let literals = code.split('"').skip(1).step_by(2);
    // Where headers are is another place; how loud a tool is, nobody's business.
    let is_option = |it: &str| it.starts_with('-') && !it.starts_with("-I") && it != "--quiet";
    let is_version = |it: &str| it.starts_with("componentize-") && it.contains(char::is_numeric);
    let wanted: Vec<&str> = literals.filter(|it| is_option(it) || is_version(it)).collect();
    assert!(wanted.len() > 20, "{wanted:?}");
    for word in wanted {
        assert!(section.contains(word), "{word} is missing");
    }
    let libraries: toml::Table = toml::from_str(LIBRARIES).unwrap();
    let version = |wanted: &toml::Value| wanted.as_str().unwrap().trim_start_matches(['=', '0', '.']).to_owned();
    let bindings = version(&libraries["dependencies"]["wit-bindgen-core"]);
    let component = version(&libraries["dependencies"]["wit-component"]);
    for word in [format!("wit-bindgen-cli@0.{bindings} "), format!("wasm-tools@1.{component}.")] {
        assert!(section.contains(&word), "{word} is missing");
    }
}
