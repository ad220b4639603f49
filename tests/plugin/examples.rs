//! The guests in other languages: the same contract, the same golden file. `cargo xtask examples` builds those whose
//! toolchains can be had here, and says which cannot.

use std::path::Path;

use confab::plugin::lab::Lab;

#[test]
fn guests_in_other_languages_say_the_same() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for language in ["c", "javascript", "python"] {
        let component = root.join("target/assets/examples").join(format!("example-{language}.wasm"));
        if !component.exists() {
            eprintln!("the example in {language} was not built here: not tested");
            continue;
        }
        let (wasm, toml) =
            (std::fs::read(&component).unwrap(), std::fs::read(component.with_extension("toml")).unwrap());
        let lab = Lab::open(&format!("example-{language}"), &wasm, &toml).unwrap();
        assert!(lab.imports().is_empty(), "{language} imports {:?}", lab.imports());
        let report = lab.goldens(&root.join("plugins/examples/goldens")).unwrap();
        eprintln!("{language}: {} KiB, {} lines", wasm.len() >> 10, report.lines);
        assert!(report.wrong.is_empty(), "{language}:\n{}", report.wrong.join("\n"));
        assert_eq!(report.lines, 7);
    }
}
