//! `confab-assets component IN.wasm OUT.wasm`: a core module made into a component.
//! `confab-assets c-bindings WIT WORLD OUT-FOLDER`: the contract for a guest in C.
//! `confab-assets page IN.wasm OUT-FOLDER`: the browser's module with its JavaScript glue.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::Resolve;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["component", input, output] => component(input, output),
        ["page", input, folder] => page(input, folder),
        ["c-bindings", wit, world, folder] => c_bindings(wit, world, folder),
        _ => bail!("usage: confab-assets component IN OUT | page IN FOLDER | c-bindings WIT WORLD FOLDER"),
    }
}

fn component(input: &str, output: &str) -> Result<()> {
    let module = fs::read(input).with_context(|| input.to_owned())?;
    let component = wit_component::ComponentEncoder::default().validate(true).module(&module)?.encode()?;
    fs::write(output, component).with_context(|| output.to_owned())
}

fn c_bindings(wit: &str, world: &str, folder: &str) -> Result<()> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit)?;
    let world = resolve.select_world(&[package], Some(world))?;
    let mut files = Files::default();
    wit_bindgen_c::Opts::default().build().generate(&mut resolve, world, &mut files)?;
    for (name, bytes) in files.iter() {
        fs::write(Path::new(folder).join(name), bytes).with_context(|| name.to_owned())?;
    }
    Ok(())
}

fn page(input: &str, folder: &str) -> Result<()> {
    let mut bindgen = wasm_bindgen_cli_support::Bindgen::new();
    bindgen
        .input_path(input)
        .out_name("confab")
        .web(true)?
        .typescript(false)
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate(folder)
}
