//! Autobahn's fuzzing client: some hundred ways to speak WebSocket, well and badly, to an echo server.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::fresh_folder;
use super::python27::Python27;
use super::server::Running;

const SUITE: &str = "autobahntestsuite==25.10.1";
const AGENT: &str = "confab";
/// Groups 12 and 13 are about compression, which is not offered: each of them is then "unimplemented".
const EXCLUDED: [&str; 2] = ["12.*", "13.*"];
/// Fewer cases were not the suite.
const CASES_MIN: usize = 200;
/// How a case may end and still be right.
const RIGHT: [&str; 3] = ["OK", "INFORMATIONAL", "NON-STRICT"];

/// Attacks an echo server: a program that prints its `ws://` address first. Cases that its bounds do not allow, such as
/// messages of megabytes, are left out by name, and the result says so.
pub(super) fn run(program: &Path, left_out: &[&str]) -> Result<()> {
    let python = match Python27::find_or_unpack() {
        Ok(python) => python,
        Err(error) => {
            println!("AUTOBAHN DID NOT RUN: it needs a Python 2.7, and none can be had here: {error:#}");
            return Ok(());
        }
    };
    let folder = fresh_folder("autobahn")?;
    let site = folder.join("../autobahn-site");
    if !site.join("autobahntestsuite").exists() {
        python.install(SUITE, &site)?;
        // Installed into one folder, the namespace is no package without it.
        fs::write(site.join("zope/__init__.py"), "")?;
    }
    let program = program.canonicalize().with_context(|| program.display().to_string())?;
    let mut server = Running::start(&mut Command::new(&program), &folder.join("echo.log"))?;
    let url = server.url("ws")?;
    let (reports, spec) = (folder.join("reports"), folder.join("spec.json"));
    let excluded = [&EXCLUDED, left_out].concat();
    let servers = json!([{"agent": AGENT, "url": url}]);
    let wanted = json!({
        "outdir": reports, "servers": servers, "cases": ["*"], "exclude-cases": excluded, "exclude-agent-cases": {},
    });
    fs::write(&spec, wanted.to_string())?;
    println!("Autobahn's fuzzing client against {url}: some minutes");
    let log = fs::File::create(folder.join("wstest.log"))?;
    let mut wstest = python.command(&[&site]);
    wstest.args(["-m", "autobahntestsuite.wstest", "-m", "fuzzingclient", "-w", "0", "-s"]).arg(&spec);
    let status = wstest.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).status()?;
    ensure!(status.success(), "wstest ended with {status}: {}", folder.join("wstest.log").display());
    server.check_up()?;
    let index = fs::read_to_string(reports.join("index.json")).context("wstest reported nothing")?;
    judge(&serde_json::from_str(&index)?, &excluded)
}

fn judge(index: &Value, excluded: &[&str]) -> Result<()> {
    let cases = index[AGENT].as_object().context("no report of this agent")?;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut failed = Vec::new();
    for (id, case) in cases {
        let (behavior, close) = (text(case, "behavior"), text(case, "behaviorClose"));
        *counts.entry(behavior).or_default() += 1;
        if !RIGHT.contains(&behavior) || !RIGHT.contains(&close) {
            failed.push(format!("{id}: {behavior}, close {close}"));
        } else if behavior == "NON-STRICT" {
            println!("  {id}: {behavior}");
        }
    }
    let counts: Vec<String> = counts.iter().map(|(behavior, count)| format!("{count} {behavior}")).collect();
    println!(
        "{} cases run: {}; {} failed (without {})",
        cases.len(),
        counts.join(", "),
        failed.len(),
        excluded.join(", ")
    );
    ensure!(cases.len() >= CASES_MIN, "that is not the whole suite");
    if !failed.is_empty() {
        bail!("{}", failed.join("\n"));
    }
    Ok(())
}

fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key].as_str().unwrap_or("nothing")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_judged() {
        let case = |behavior: &str| json!({"behavior": behavior, "behaviorClose": "OK", "remoteCloseCode": 1000});
        let mut cases = serde_json::Map::new();
        (0..CASES_MIN).for_each(|n| drop(cases.insert(format!("1.{n}"), case("OK"))));
        cases.insert("6.4.2".into(), case("NON-STRICT"));
        assert!(judge(&json!({AGENT: cases}), &[]).is_ok());
        let few = json!({AGENT: {"1.1.1": case("OK")}});
        assert!(judge(&few, &[]).is_err());
        cases.insert("7.1.1".into(), case("FAILED"));
        assert!(judge(&json!({AGENT: cases}), &[]).is_err());
        assert!(judge(&json!({}), &[]).is_err());
    }
}
