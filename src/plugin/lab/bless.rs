//! What the sandbox says, written into golden files. What does not change stays as its author wrote it, in the order
//! that it has.

use std::ops::Range;
use std::path::Path;

use confab_plugin::golden::{Case, Found, read_folder};
use serde_json::Value;

use super::fuel::is_stale;
use super::{Lab, Ran, run_story};

/// How many golden lines were written anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Blessed {
    /// Because they say something else now.
    pub verdicts: usize,
    /// Because they gave no fuel, or one that was too far off; some of them say something else, too.
    pub fuel: usize,
}

/// What of a line is to change.
struct Change {
    /// What was found instead of what was expected.
    found: Option<Found>,
    /// What it took.
    fuel: Option<u64>,
}

impl Lab {
    /// Writes what the sandbox says into the golden files of a folder as what is expected, and what it takes, where
    /// that is counted. What is right stays as it is written.
    ///
    /// # Errors
    /// As [`Self::goldens`], files that cannot be written, and a line that the plugin fails at: nobody expects that.
    pub fn bless(&self, folder: &Path) -> Result<Blessed, String> {
        let mut blessed = Blessed::default();
        for story in read_folder(folder)? {
            let fail = |error: std::io::Error| format!("{}: {error}", story.path.display());
            let text = std::fs::read_to_string(&story.path).map_err(fail)?;
            let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
            let ran = run_story(&self.engine, &self.manifest, &self.loaded, &story)?;
            for ((number, case), Ran { found, fuel }) in story.cases.iter().zip(ran) {
                let found = found.map_err(|why| format!("{}:{number}: {why}", story.path.display()))?;
                let found = Some(found).filter(|found| case.differs(found).is_some());
                let is_other = |fuel: &u64| found.is_some() || case.fuel.is_none_or(|given| is_stale(given, *fuel));
                let fuel = fuel.filter(is_other);
                blessed.verdicts += usize::from(found.is_some());
                blessed.fuel += usize::from(fuel.is_some());
                if let Some(line) = lines.get_mut(number.saturating_sub(1)) {
                    *line = rewrite(line, case, &Change { found, fuel });
                }
            }
            let after = lines.join("\n");
            if after != text {
                std::fs::write(&story.path, after).map_err(fail)?;
            }
        }
        Ok(blessed)
    }
}

/// A line, which says what the case says, after a change.
fn rewrite(line: &str, case: &Case, change: &Change) -> String {
    let mut line = line.to_owned();
    if let Some(found) = &change.found {
        if case.expect != found.verdict {
            put(&mut line, "expect", &quoted(&found.verdict));
        }
        for (name, before, now) in
            [("rule", &case.rule, &found.rule), ("text", &case.text, &found.text), ("label", &case.label, &found.label)]
        {
            match now.as_ref().filter(|said| !said.is_empty()) {
                Some(said) if before.as_ref() == Some(said) => {}
                Some(said) => put(&mut line, name, &quoted(said)),
                None => remove(&mut line, name),
            }
        }
    }
    if let Some(fuel) = change.fuel {
        put(&mut line, "fuel", &fuel.to_string());
    }
    line
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Where a member of an object stands in its line.
struct Member {
    /// As it is written, with its quotes.
    name: String,
    start: usize,
    value: Range<usize>,
}

/// Gives a member a value, where it stands; behind the others if there is none of its name.
fn put(line: &mut String, name: &str, value: &str) {
    let (members, name) = (members(line), quoted(name));
    if let Some(member) = members.iter().find(|member| member.name == name) {
        line.replace_range(member.value.clone(), value);
    } else if let Some(last) = members.last() {
        line.insert_str(last.value.end, &format!(", {name}: {value}"));
    } else if let Some(brace) = line.find('{') {
        line.insert_str(brace + 1, &format!("{name}: {value}"));
    }
}

/// Takes a member out, with the comma before it, or if it is the first, the one behind.
fn remove(line: &mut String, name: &str) {
    let (members, name) = (members(line), quoted(name));
    let Some(at) = members.iter().position(|member| member.name == name) else { return };
    let (mut before, mut behind) = (members.iter().take(at), members.iter().skip(at));
    let Some(member) = behind.next() else { return };
    let range = match (before.next_back(), behind.next()) {
        (Some(before), _) => before.value.end..member.value.end,
        (None, Some(next)) => member.start..next.start,
        (None, None) => member.start..member.value.end,
    };
    line.replace_range(range, "");
}

/// The members of an object, which was read as one already.
fn members(line: &str) -> Vec<Member> {
    let (mut members, mut start, mut colon) = (Vec::new(), 0, None);
    let (mut depth, mut is_quoted, mut is_escaped) = (0_u32, false, false);
    for (at, byte) in line.bytes().enumerate() {
        if is_quoted {
            is_quoted = is_escaped || byte != b'"';
            is_escaped = byte == b'\\' && !is_escaped;
            continue;
        }
        match byte {
            b'"' => is_quoted = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b':' if depth == 1 => colon = Some(at),
            _ => {}
        }
        if byte == b'{' && depth == 1 {
            start = at + 1;
        }
        let is_end = byte == b',' && depth == 1 || byte == b'}' && depth == 0;
        if is_end && let Some(colon) = colon.take() {
            let name = trimmed(line, start..colon);
            let value = trimmed(line, colon + 1..at);
            let spelled = line.get(name.clone()).unwrap_or_default().to_owned();
            members.push(Member { name: spelled, start: name.start, value });
            start = at + 1;
        }
    }
    members
}

fn trimmed(line: &str, range: Range<usize>) -> Range<usize> {
    let text = line.get(range.clone()).unwrap_or_default();
    let start = range.start + (text.len() - text.trim_start().len());
    start..start + text.trim().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blessed(line: &str, found: Option<Found>, fuel: Option<u64>) -> String {
        let case: Case = serde_json::from_str(line).unwrap();
        let blessed = rewrite(line, &case, &Change { found, fuel });
        serde_json::from_str::<Case>(&blessed).unwrap();
        blessed
    }

    #[test]
    fn only_the_fuel_is_new_when_only_that_is() {
        for (line, expected) in [
            (r#"{"body": "x", "author": 7}"#, r#"{"body": "x", "author": 7, "fuel": 12}"#),
            (r#"{"body":"a\"}, {b\\","room":2}"#, r#"{"body":"a\"}, {b\\","room":2, "fuel": 12}"#),
            (r#"{ "fuel" : 900 , "body": "\u202e日本" }"#, r#"{ "fuel" : 12 , "body": "\u202e日本" }"#),
            ("{}", r#"{"fuel": 12}"#),
        ] {
            assert_eq!(blessed(line, None, Some(12)), expected);
            assert_eq!(blessed(expected, None, Some(12)), expected, "twice");
        }
        assert_eq!(blessed(r#"{"body": "x"}"#, None, None), r#"{"body": "x"}"#);
    }

    #[test]
    fn a_verdict_is_written_where_it_stood() {
        let said = |text: &str| Some(text.to_owned());
        let hold = Found { verdict: "hold".into(), rule: said("a \"rule\""), ..Found::default() };
        let line = r#"{"rule": "old", "text": "no", "body": "\u200bx", "expect": "reject", "room": 2}"#;
        let expected = r#"{"rule": "a \"rule\"", "body": "\u200bx", "expect": "hold", "room": 2}"#;
        assert_eq!(blessed(line, Some(hold.clone()), None), expected);
        let expected = r#"{"body": "x", "expect": "hold", "rule": "a \"rule\"", "fuel": 5}"#;
        assert_eq!(blessed(r#"{"body": "x"}"#, Some(hold), Some(5)), expected);

        let allow = Found { verdict: "allow".into(), ..Found::default() };
        let line = r#"{"label": "l", "body": "x", "expect": "flag", "rule": "r"}"#;
        assert_eq!(blessed(line, Some(allow), None), r#"{"body": "x", "expect": "allow"}"#);
        // What is said as before stays as it is spelled.
        let replace = Found { verdict: "replace".into(), text: said("\u{e9}"), rule: said(""), label: None };
        let line = r#"{"body": "x", "expect": "allow", "text": "\u00e9"}"#;
        let expected = r#"{"body": "x", "expect": "replace", "text": "\u00e9"}"#;
        assert_eq!(blessed(line, Some(replace), None), expected);
    }
}
