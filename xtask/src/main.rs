//! The project's own tool. One file per task; this one only reads the command line.

mod assets;
mod codegen;
mod shell;

use anyhow::{Result, bail};

const HELP: &str = "cargo xtask <task>
  codegen [--check] generated protocol code from schema/chat.capnp";

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    if let Err(error) = dispatch(&args) {
        eprintln!("xtask: {error:#}");
        std::process::exit(1);
    }
}

fn dispatch(args: &[&str]) -> Result<()> {
    match args {
        ["plugins"] => assets::plugins(),
        ["test-plugins"] => assets::test_plugins(),
        ["page"] => assets::page(),
        ["codegen"] => codegen::run(false),
        ["codegen", "--check"] => codegen::run(true),
        _ => {
            println!("{HELP}");
            if args.is_empty() || args == ["help"] { Ok(()) } else { bail!("unknown task: {}", args.join(" ")) }
        }
    }
}
