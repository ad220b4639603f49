//! testssl.sh against the HTTPS and WSS port, with a certificate made for it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::fresh_folder;
use super::server::Running;
use crate::shell::{self, Cmd};

/// Below TLS 1.2.
const OLD: [&str; 4] = ["SSLv2", "SSLv3", "TLS1", "TLS1_1"];
/// What it rates badly and may, with the reason.
const EXPECTED: [(&str, &str); 2] =
    [("cert_chain_of_trust", "the certificate of this run signed itself"), ("cert_revocation", "the same")];

/// A line of its report.
struct Finding {
    id: String,
    severity: String,
    text: String,
}

pub(super) fn run(program: &Path) -> Result<()> {
    shell::ensure_apt(&[("testssl", "testssl.sh"), ("openssl", "openssl")])?;
    let folder = fresh_folder("tls")?;
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let openssl = Cmd::new("openssl").args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    let openssl = openssl.args(["-nodes", "-days", "365", "-subj", "/CN=localhost", "-addext"]);
    let openssl = openssl.args(["subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout"]).arg(&key).arg("-out");
    ensure!(openssl.arg(&cert).succeeds(), "openssl made no certificate");
    let settings = [("CONFAB__TLS__CERT_FILE", cert), ("CONFAB__TLS__KEY_FILE", key)];
    let settings = settings.map(|(name, path)| (name, path.display().to_string()));
    let mut server = Running::server(program, &folder, &settings)?;
    let address = server.address("https")?;
    println!("testssl.sh against {address}: about a minute");
    let report = folder.join("testssl.csv");
    let mut testssl = Command::new("testssl");
    testssl.args(["--quiet", "--color", "0", "--warnings", "batch", "--csvfile"]).arg(&report).arg(&address);
    // Its exit code counts findings.
    let _ = testssl.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    server.check_up()?;
    let findings = parse(&fs::read_to_string(&report).context("testssl.sh reported nothing")?);
    judge(&findings)
}

fn judge(findings: &[Finding]) -> Result<()> {
    let mut wrong = Vec::new();
    for old in OLD {
        let found = findings.iter().find(|finding| finding.id == old);
        let text = found.map_or("not looked at", |finding| finding.text.as_str());
        println!("  {old:20} {text}");
        if text != "not offered" {
            wrong.push(format!("{old}: {text}"));
        }
    }
    for finding in findings.iter().filter(|finding| ["TLS1_2", "TLS1_3"].contains(&finding.id.as_str())) {
        println!("  {:20} {}", finding.id, finding.text);
    }
    for severity in ["CRITICAL", "HIGH", "MEDIUM", "LOW"] {
        for Finding { id, text, .. } in findings.iter().filter(|finding| finding.severity == severity) {
            let reason = EXPECTED.iter().find(|(expected, _)| expected == id).map(|(_, reason)| *reason);
            println!("  {severity:8} {id}: {text}{}", reason.map_or(String::new(), |it| format!(" (expected: {it})")));
            if ["CRITICAL", "HIGH"].contains(&severity) && reason.is_none() {
                wrong.push(format!("{id}: {text}"));
            }
        }
    }
    let count = |severity: &str| findings.iter().filter(|finding| finding.severity == severity).count();
    println!("  {} checks: {} OK, {} for information", findings.len(), count("OK"), count("INFO"));
    ensure!(count("OK") > 20, "testssl.sh did not get far");
    ensure!(wrong.is_empty(), "{}", wrong.join("; "));
    Ok(())
}

/// Of `"id","host","port","severity","finding","cve","cwe"` each.
fn parse(csv: &str) -> Vec<Finding> {
    let lines = csv.lines().skip(1).map(|line| line.trim_matches('"').split("\",\"").collect::<Vec<_>>());
    let finding = |fields: Vec<&str>| match fields[..] {
        [id, _, _, severity, text, ..] => Some(Finding { id: id.into(), severity: severity.into(), text: text.into() }),
        _ => None,
    };
    lines.filter_map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_judged() {
        let mut csv = String::from("\"id\",\"fqdn/ip\",\"port\",\"severity\",\"finding\",\"cve\",\"cwe\"\n");
        let line = |id: &str, severity: &str, text: &str| {
            format!("\"{id}\",\"h/h\",\"1\",\"{severity}\",\"{text}\",\"\",\"\"\n")
        };
        OLD.iter().for_each(|old| csv += &line(old, "OK", "not offered"));
        (0..20).for_each(|n| csv += &line(&format!("x{n}"), "OK", "fine, \\\"really\\\""));
        csv += &line("cert_chain_of_trust", "CRITICAL", "failed (self signed).");
        judge(&parse(&csv)).unwrap();
        assert!(judge(&parse(&(csv.clone() + &line("BREACH", "HIGH", "open")))).is_err());
        assert!(judge(&parse(&csv.replace("\"TLS1\"", "\"TLS9\""))).is_err(), "not looked at");
    }
}
