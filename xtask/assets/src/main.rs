//! `confab-assets component IN.wasm OUT.wasm`: a core module made into a component.
//! `confab-assets page IN.wasm OUT-FOLDER`: the browser's module with its JavaScript glue.

use std::fs;

use anyhow::{Context, Result, bail};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["component", input, output] => component(input, output),
        ["page", input, folder] => page(input, folder),
        _ => bail!("usage: confab-assets component IN OUT | page IN FOLDER"),
    }
}

fn component(input: &str, output: &str) -> Result<()> {
    let module = fs::read(input).with_context(|| input.to_owned())?;
    let component = wit_component::ComponentEncoder::default().validate(true).module(&module)?.encode()?;
    fs::write(output, component).with_context(|| output.to_owned())
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
