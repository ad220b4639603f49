//! `codegen [--check]`: Cap'n Proto output from `schema/chat.capnp`, committed beside the schema.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::shell::{self, Cmd};

const SCHEMA: &str = "schema/chat.capnp";
const GENERATED: &str = "schema/src/generated/chat_capnp.rs";

/// Writes the generated code, or with `check_only` compares and fails on a difference.
pub(crate) fn run(check_only: bool) -> Result<()> {
    shell::ensure_apt(&[("capnp", "capnproto")])?;
    let root = shell::root();
    let out = root.join("target/codegen");
    fs::create_dir_all(&out)?;
    capnpc::CompilerCommand::new()
        .file(root.join(SCHEMA))
        .src_prefix(root.join("schema"))
        .output_path(&out)
        .run()
        .context("capnp compile")?;
    let fresh = out.join("chat_capnp.rs");
    Cmd::new("rustfmt").args(["--edition", "2024"]).arg(&fresh).run()?;
    // Which `capnp` parsed the schema does not matter for what comes out.
    let text = without_version(&fs::read_to_string(&fresh)?);
    let committed = root.join(GENERATED);
    if check_only {
        if fs::read_to_string(&committed).unwrap_or_default() != text {
            bail!("{GENERATED} does not match {SCHEMA}: run `cargo xtask codegen` and commit");
        }
        return Ok(());
    }
    if let Some(parent) = Path::new(&committed).parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(committed, text)?;
    Ok(())
}

fn without_version(text: &str) -> String {
    let kept = text.lines().filter(|line| !line.starts_with("// capnp binary version"));
    kept.flat_map(|line| [line, "\n"]).collect()
}
