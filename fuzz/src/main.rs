//! `confab-fuzz`: the driver as a program; `cargo xtask fuzz` runs it.

mod frames;
mod memory;
mod tally;

use std::process::ExitCode;
use std::time::Duration;

use confab_fuzz::drive::{self, Effort};
use confab_fuzz::{TARGETS, Target, seeds};

/// Where a run starts unless it is told: always the same, so that a smoke run fails for a change and not by chance.
const SEED: u64 = 1;

const HELP: &str = "confab-fuzz <what>
  smoke SECONDS               every target so long
  run TARGET SECONDS [SEED]   one target
  replay TARGET FILE          one input
  frames COUNT [SEED]         hostile frames through codec and sessions; prints what became of them
  seeds                       writes the generated corpora";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match dispatch(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fuzz: {error}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: &[&str]) -> Result<(), String> {
    match args {
        ["smoke", seconds] => {
            let effort = effort(seconds, SEED)?;
            TARGETS.iter().for_each(|target| report(target, effort));
        }
        ["run", name, seconds] => report(find(name)?, effort(seconds, SEED)?),
        ["run", name, seconds, seed] => report(find(name)?, effort(seconds, number(seed)?)?),
        ["replay", name, file] => {
            let input = std::fs::read(file).map_err(|error| format!("{file}: {error}"))?;
            (find(name)?.body)(&input);
            println!("{name}: {file} breaks nothing");
        }
        ["frames", count] => frames::run(number(count)?, SEED)?,
        ["frames", count, seed] => frames::run(number(count)?, number(seed)?)?,
        ["seeds"] => {
            let written = seeds::write().map_err(|error| error.to_string())?;
            println!("{written} files written");
        }
        _ => return Err(format!("what?\n\n{HELP}")),
    }
    Ok(())
}

fn report(target: &Target, effort: Effort) {
    println!("{:15} {}", target.name, drive::target(target, effort));
}

fn find(name: &str) -> Result<&'static Target, String> {
    let names = || TARGETS.map(|target| target.name).join(", ");
    TARGETS.iter().find(|target| target.name == name).ok_or_else(|| format!("no target {name}: {}", names()))
}

fn effort(seconds: &str, seed: u64) -> Result<Effort, String> {
    Ok(Effort { time: Duration::from_secs(number(seconds)?), seed })
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text} is no number"))
}
