//! `examples`: guests in C, JavaScript and Python, each where its toolchain can be had; what cannot is said.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::assets;
use crate::shell::{self, Cmd};

const WORLD: &str = "message-hook";
const WIT: &str = "sdk/wit/since_v0_1";
/// What tools and half-made things are in; it may be deleted.
const WORK: &str = "target/examples";
const QJS: &str = "componentize-qjs@0.4.5";
const PY: &str = "componentize-py==0.25.1";
/// Compilers for C, each with its linker: one of another version may not read what the compiler writes.
const CLANGS: [(&str, &str); 2] = [("clang-19", "wasm-ld-19"), ("clang", "wasm-ld")];
/// The same for Debian, which calls its newest ones so, whichever release it is.
const CLANG_PACKAGES: [(&str, &str); 2] = [("clang", "clang"), ("wasm-ld", "lld")];

/// Builds those that can be built into target/assets/examples, with their manifests.
pub(crate) fn run() -> Result<()> {
    let out = shell::root().join("target/assets/examples");
    fs::create_dir_all(&out)?;
    fs::create_dir_all(shell::root().join(WORK))?;
    for (language, build) in [("c", c as fn(&Path) -> Result<()>), ("javascript", javascript), ("python", python)] {
        let component = out.join(format!("example-{language}.wasm"));
        let source = shell::root().join("plugins/examples").join(language);
        let stamp = component.with_extension("stamp");
        // What a tool of another version makes of the same source is the same to the tests.
        let seen = fingerprint(&source)?;
        if component.exists() && fs::read_to_string(&stamp).is_ok_and(|it| it == seen) {
            continue;
        }
        match build(&component) {
            Ok(()) => fs::write(&stamp, seen)?,
            Err(error) => {
                let _ = fs::remove_file(&component);
                eprintln!("xtask: the example in {language} cannot be built here and is not tested: {error:#}");
                continue;
            }
        }
        fs::copy(source.join("plugin.toml"), component.with_extension("toml"))?;
    }
    Ok(())
}

/// The texts that a component is made of.
fn fingerprint(folder: &Path) -> Result<String> {
    let mut texts = fs::read_to_string(shell::root().join(WIT).join("plugin.wit"))?;
    let mut files: Vec<_> = fs::read_dir(folder)?.map(|file| file.map(|it| it.path())).collect::<Result<_, _>>()?;
    files.sort();
    for file in files.iter().filter(|file| file.is_file()) {
        texts.push_str(&fs::read_to_string(file)?);
    }
    Ok(texts)
}

fn program(names: &[&str]) -> Result<String> {
    let found = names.iter().find_map(|name| shell::find_program(name));
    Ok(found.with_context(|| format!("there is no {}", names.join(" or ")))?.display().to_string())
}

/// The first compiler whose linker is there too.
fn clang(is_there: impl Fn(&str) -> bool) -> Option<&'static str> {
    CLANGS.iter().find(|(clang, linker)| is_there(clang) && is_there(linker)).map(|(clang, _)| *clang)
}

fn c(component: &Path) -> Result<()> {
    let is_there = |name: &str| shell::find_program(name).is_some();
    if clang(is_there).is_none() {
        shell::ensure_apt(&CLANG_PACKAGES)?;
    }
    let clang = clang(is_there).context("there is no clang with its wasm-ld")?;
    let bindings = format!("{WORK}/c");
    fs::create_dir_all(shell::root().join(&bindings))?;
    assets::tool(&["c-bindings", WIT, WORLD, &bindings])?;
    let core = format!("{WORK}/c/core.wasm");
    let (include, generated) = ("-Iplugins/examples/c/include".to_owned(), format!("-I{bindings}"));
    let flags = ["--target=wasm32", "-O2", "-ffreestanding", "-mbulk-memory", "-Wall", "-Wextra", "-nostdlib"];
    let link = ["-Wl,--no-entry", "-Wl,--strip-all", "-o", &core];
    let sources = [
        "plugins/examples/c/plugin.c".to_owned(),
        "plugins/examples/c/memory.c".to_owned(),
        format!("{bindings}/message_hook.c"),
        format!("{bindings}/message_hook_component_type.o"),
    ];
    Cmd::new(clang).args(flags).args([include, generated]).args(link).args(sources).dir(&shell::root()).run()?;
    assets::tool(&["component", &core, assets::path(component)?])
}

fn javascript(component: &Path) -> Result<()> {
    let npm = program(&["npm"])?;
    let prefix = format!("{WORK}/node");
    let install = ["install", "--prefix", &prefix, "--ignore-scripts", "--no-audit", "--no-fund", "--save-exact", QJS];
    Cmd::new(&npm).args(install).dir(&shell::root()).run()?;
    let tool = shell::root().join(&prefix).join("node_modules/.bin/componentize-qjs");
    let source = ["--js", "plugins/examples/javascript/plugin.js", "--sync", "--stub-wasi"];
    let world = ["--wit", WIT, "--world", WORLD, "--output", assets::path(component)?];
    Cmd::new(assets::path(&tool)?).args(source).args(world).dir(&shell::root()).run()
}

fn python(component: &Path) -> Result<()> {
    let python = program(&["python3"])?;
    let folder = shell::root().join(WORK);
    let venv = folder.join("venv");
    if !venv.join("bin/componentize-py").exists() {
        Cmd::new(&python).args(["-m", "venv", assets::path(&venv)?]).run()?;
        Cmd::new(assets::path(&venv.join("bin/pip"))?).args(["install", "--quiet", PY]).run()?;
    }
    // The tool leaves a folder beside the source.
    fs::create_dir_all(folder.join("python"))?;
    fs::copy(shell::root().join("plugins/examples/python/plugin.py"), folder.join("python/plugin.py"))?;
    let world = ["--wit-path", WIT, "--world", WORLD, "componentize", "--stub-wasi", "--python-path"];
    let tool = Cmd::new(assets::path(&venv.join("bin/componentize-py"))?).args(world);
    let tool = tool.args([assets::path(&folder.join("python"))?, "--output", assets::path(component)?, "plugin"]);
    tool.dir(&shell::root()).run()?;
    if component.exists() { Ok(()) } else { bail!("componentize-py wrote nothing") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiler_is_taken_with_its_own_linker() {
        for (there, expected) in [
            (&["clang-19", "wasm-ld"][..], None),
            (&[], None),
            (&["clang", "wasm-ld-19"], None),
            (&["clang-19", "clang", "wasm-ld"], Some("clang")),
            (&["clang", "wasm-ld", "clang-19", "wasm-ld-19"], Some("clang-19")),
        ] {
            assert_eq!(clang(|name| there.contains(&name)), expected, "{there:?}");
        }
        // What Debian's packages bring is then enough.
        assert_eq!(clang(|name| CLANG_PACKAGES.iter().any(|(program, _)| *program == name)), Some("clang"));
    }
}
