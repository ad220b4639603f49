//! The project's own tool. One file per subject; this one only reads the command line.

mod advisories;
mod assets;
mod attack;
mod check;
mod codegen;
mod elf;
mod examples;
mod fuzz;
mod image;
mod image_test;
mod jail;
mod sbom;
mod shell;
mod tasks;
mod tidy;
mod unit;

use anyhow::{Result, bail};

const HELP: &str = "cargo xtask <task>

  run [ARGS]        build the page, the stock plugins and the server, and run it
  test [LAYER]      everything, beginning with check; or one of check, protocol, server, image
  check             format, habits, generated code, clippy, wasm32, documents, the systemd unit, licences and
                    known vulnerabilities; of these alone: tidy, unit, deny
  bench [NAME]      fanout, publish, resume, slow, logins, plugins, moderation, moderated, replay, hostile, idle
  simulate [--seed N]
                    faults at length: kill -9, a dying database, lost answers; prints the table
  codegen [--check] generated protocol code from schema/chat.capnp
  plugins           stock plugins as components into target/assets
  examples          guests in C, JavaScript and Python into target/assets, where their toolchains can be had
  page              the web page into target/assets
  image [DIR]       the root file system of the container, with a static server, into target/image
  image --try FILE  run a static server that is built already as in a container
  sbom [FILE]       what is inside the server, as CycloneDX; without a file on standard output
  fuzz TARGET [--secs N]
                    one target, 60 s: frame, client_frame, server_frame, entry, server_session, client_session,
                    config, manifest, token, http_body
  fuzz --smoke      all of them, some seconds each
  fuzz --frames [N] hostile frames through codec and sessions, 10 million: rate, outcomes, panics, memory
  fuzz --replay TARGET FILE
                    one input again
  fuzz --seeds      the generated part of fuzz/corpus
  attack slow|tls [PROGRAM]
                    slowhttptest, testssl.sh against a server that is started for it
  attack autobahn [PROGRAM [CASES...]]
                    Autobahn's WebSocket cases, without those named, against an echo server that prints its ws:// address
                    first: examples/echo.rs, the server's own accept path, or another program";

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
        ["run", rest @ ..] => tasks::run(rest),
        ["test"] => tasks::test(None),
        ["test", layer] => tasks::test(Some(layer)),
        ["check"] => check::run(),
        ["unit"] => unit::check(),
        ["tidy"] => tidy::run(),
        ["bench"] => tasks::bench(None),
        ["bench", name] => tasks::bench(Some(name)),
        ["simulate"] => tasks::simulate(None),
        ["simulate", "--seed", seed] => tasks::simulate(Some(seed)),
        ["codegen"] => codegen::run(false),
        ["codegen", "--check"] => codegen::run(true),
        ["plugins"] => assets::plugins(),
        ["test-plugins"] => assets::test_plugins(),
        ["deny"] => check::deny(),
        ["sbom"] => sbom::run(None),
        ["sbom", file] => sbom::run(Some(file)),
        ["image"] => image::run(None),
        ["image", "--try", program] => image_test::run_with(program),
        ["image", folder] => image::run(Some(folder)),
        ["examples"] => examples::run(),
        ["page"] => assets::page(),
        ["fuzz", rest @ ..] => fuzz::run(rest),
        ["attack", rest @ ..] => attack::run(rest),
        _ => {
            println!("{HELP}");
            if args.is_empty() || args == ["help"] { Ok(()) } else { bail!("unknown task: {}", args.join(" ")) }
        }
    }
}
