//! `examples`: guests in C, JavaScript and Python, each where its toolchain can be had; what cannot is said. One whose tools
//! are there and which they do not build is a failure.

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

/// Gets what a language is built with: a program.
type Tools = fn() -> Result<String>;
/// Builds a component with it.
type Build = fn(&str, &Path) -> Result<()>;
/// Each with the tool that is pinned for it; of C it is whichever compiler is there.
const LANGUAGES: [(&str, Option<&str>, Tools, Build); 3] = [
    ("c", None, clang_at_hand, c),
    ("javascript", Some(QJS), componentize_qjs, javascript),
    ("python", Some(PY), componentize_py, python),
];

/// Builds those that can be built into target/assets/examples, with their manifests.
pub(crate) fn run() -> Result<()> {
    let out = shell::root().join("target/assets/examples");
    fs::create_dir_all(&out)?;
    fs::create_dir_all(shell::root().join(WORK))?;
    for (language, pinned, tools, build) in LANGUAGES {
        let component = out.join(format!("example-{language}.wasm"));
        let source = shell::root().join("plugins/examples").join(language);
        let stamp = component.with_extension("stamp");
        // What another compiler makes of the same source is the same to the tests; what is pinned is to be tried.
        let seen = fingerprint(&source, pinned)?;
        if component.exists() && fs::read_to_string(&stamp).is_ok_and(|it| it == seen) {
            continue;
        }
        // What is there was made of another source, or by another tool.
        let _ = fs::remove_file(&component);
        let made = make(tools, |tool| build(tool, &component)).with_context(|| format!("the example in {language}"))?;
        if let Some(why) = made {
            shell::leave_out(format!("THE EXAMPLE IN {} IS NOT TESTED: {why:#}", language.to_uppercase()));
            continue;
        }
        fs::write(&stamp, seen)?;
        fs::copy(source.join("plugin.toml"), component.with_extension("toml"))?;
    }
    Ok(())
}

/// Fails where the tools are there and do not build it; gives why they cannot be had.
fn make<T>(tools: impl FnOnce() -> Result<T>, build: impl FnOnce(&T) -> Result<()>) -> Result<Option<anyhow::Error>> {
    match tools() {
        Ok(tools) => build(&tools).map(|()| None),
        Err(why) => Ok(Some(why)),
    }
}

/// The texts that a component is made of, and the tool that makes it.
fn fingerprint(folder: &Path, pinned: Option<&str>) -> Result<String> {
    let mut texts = pinned.unwrap_or_default().to_owned();
    texts.push_str(&fs::read_to_string(shell::root().join(WIT).join("plugin.wit"))?);
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for file in fs::read_dir(folder)? {
            let path = file?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    for file in files {
        // A tool may have left what is no text.
        texts.push_str(&String::from_utf8_lossy(&fs::read(file)?));
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

fn clang_at_hand() -> Result<String> {
    let is_there = |name: &str| shell::find_program(name).is_some();
    if clang(is_there).is_none() {
        shell::ensure_apt(&CLANG_PACKAGES)?;
    }
    clang(is_there).map(str::to_owned).context("there is no clang with its wasm-ld")
}

fn c(clang: &str, component: &Path) -> Result<()> {
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

fn componentize_qjs() -> Result<String> {
    let npm = program(&["npm"])?;
    let prefix = format!("{WORK}/node");
    let install = ["install", "--prefix", &prefix, "--ignore-scripts", "--no-audit", "--no-fund", "--save-exact", QJS];
    Cmd::new(&npm).args(install).dir(&shell::root()).run()?;
    let tool = shell::root().join(&prefix).join("node_modules/.bin/componentize-qjs");
    Ok(assets::path(&tool)?.to_owned())
}

fn javascript(tool: &str, component: &Path) -> Result<()> {
    let source = ["--js", "plugins/examples/javascript/plugin.js", "--sync", "--stub-wasi"];
    let world = ["--wit", WIT, "--world", WORLD, "--output", assets::path(component)?];
    Cmd::new(tool).args(source).args(world).dir(&shell::root()).run()
}

fn componentize_py() -> Result<String> {
    let python = program(&["python3"])?;
    let venv = shell::root().join(WORK).join("venv");
    let (pip, tool) = (venv.join("bin/pip"), venv.join("bin/componentize-py"));
    if !pip.exists() {
        Cmd::new(&python).args(["-m", "venv", assets::path(&venv)?]).run()?;
    }
    // Also where a tool is there: it may be of another version. Where it is this one, nothing is fetched.
    Cmd::new(assets::path(&pip)?).args(["install", "--quiet", PY]).run()?;
    Ok(assets::path(&tool)?.to_owned())
}

fn python(tool: &str, component: &Path) -> Result<()> {
    let folder = shell::root().join(WORK);
    // The tool leaves a folder beside the source.
    fs::create_dir_all(folder.join("python"))?;
    fs::copy(shell::root().join("plugins/examples/python/plugin.py"), folder.join("python/plugin.py"))?;
    let world = ["--wit-path", WIT, "--world", WORLD, "componentize", "--stub-wasi", "--python-path"];
    let tool = Cmd::new(tool).args(world);
    let tool = tool.args([assets::path(&folder.join("python"))?, "--output", assets::path(component)?, "plugin"]);
    tool.dir(&shell::root()).run()?;
    if component.exists() { Ok(()) } else { bail!("componentize-py wrote nothing") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Else nobody sees for years that an example is none any more.
    #[test]
    fn what_is_there_and_does_not_build_is_a_failure() {
        let nothing = |what: &'static str| move || -> Result<()> { bail!(what) };
        let missing = make(nothing("there is no npm"), |()| unreachable!("without tools nothing is built"));
        assert_eq!(missing.unwrap().unwrap().to_string(), "there is no npm");
        let broken = make(|| Ok(()), |()| nothing("a line is wrong")());
        assert_eq!(broken.unwrap_err().to_string(), "a line is wrong");
        assert!(make(|| Ok(()), |()| Ok(())).unwrap().is_none());
    }

    /// Else what was built before is tested.
    #[test]
    fn what_a_source_includes_is_a_part_of_it() {
        let folder = shell::root().join("plugins/examples/c");
        let texts = fingerprint(&folder, None).unwrap();
        for file in ["plugin.c", "include/stdlib.h"] {
            assert!(texts.contains(&fs::read_to_string(folder.join(file)).unwrap()), "{file}");
        }
    }

    /// Else a new pin is tried in a fresh clone alone.
    #[test]
    fn what_another_tool_made_is_made_anew() {
        for (language, pinned, ..) in LANGUAGES {
            let folder = shell::root().join("plugins/examples").join(language);
            let seen = fingerprint(&folder, pinned).unwrap();
            assert!(seen.starts_with(pinned.unwrap_or_default()), "{language}");
            assert_ne!(seen, fingerprint(&folder, Some("another@1")).unwrap(), "{language}");
        }
        assert_eq!(LANGUAGES.map(|(_, pinned, ..)| pinned), [None, Some(QJS), Some(PY)]);
    }

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
