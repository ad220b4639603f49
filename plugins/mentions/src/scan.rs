//! Finding mentions in a text, in one pass.

use std::ops::Range;

/// Words that stand behind an `@` in code and its comments. Sorted; a person of that name is mentioned without being
/// counted.
const CODE: &[&str] = &[
    "after",
    "apply",
    "author",
    "autowired",
    "bean",
    "before",
    "beforeeach",
    "binding",
    "brief",
    "charset",
    "classmethod",
    "click",
    "column",
    "component",
    "container",
    "controller",
    "copyright",
    "dataclass",
    "deletemapping",
    "deprecated",
    "else",
    "elseif",
    "endforeach",
    "endif",
    "entity",
    "example",
    "extend",
    "font-face",
    "foreach",
    "functionalinterface",
    "getmapping",
    "id",
    "if",
    "import",
    "include",
    "inject",
    "injectable",
    "input",
    "interface",
    "keyframes",
    "layer",
    "license",
    "media",
    "mixin",
    "module",
    "namespace",
    "nonnull",
    "notnull",
    "nullable",
    "objc",
    "output",
    "overload",
    "override",
    "param",
    "pathvariable",
    "postmapping",
    "private",
    "property",
    "protected",
    "public",
    "published",
    "putmapping",
    "repository",
    "requestbody",
    "requestmapping",
    "requestparam",
    "restcontroller",
    "return",
    "returns",
    "see",
    "selector",
    "service",
    "since",
    "state",
    "staticmethod",
    "supports",
    "suppresswarnings",
    "synthesize",
    "tailwind",
    "test",
    "throws",
    "todo",
    "transactional",
    "type",
    "typedef",
    "valid",
    "value",
    "version",
];

/// Sorted: scopes of packages, as in `@types/node`.
const SCOPES: &[&str] = &[
    "angular",
    "apollo",
    "aws-sdk",
    "azure",
    "babel",
    "emotion",
    "eslint",
    "google-cloud",
    "graphql",
    "jest",
    "mui",
    "nestjs",
    "next",
    "prisma",
    "radix-ui",
    "react-native",
    "reduxjs",
    "rollup",
    "storybook",
    "sveltejs",
    "swc",
    "tanstack",
    "testing-library",
    "types",
    "typescript-eslint",
    "vitejs",
    "vue",
    "vueuse",
];

/// A mention in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mention<'a> {
    /// With its `@`.
    pub(crate) range: Range<usize>,
    /// Without it, as it is written.
    pub(crate) name: &'a str,
}

/// All mentions of a text, as the server finds them, less what is code.
pub(crate) fn mentions(text: &str) -> impl Iterator<Item = Mention<'_>> {
    text.match_indices('@').filter_map(move |(at, _)| {
        let (before, after) = (text.get(..at)?, text.get(at + 1..)?);
        // An address, a prompt.
        if before.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_') {
            return None;
        }
        let end = after.find(|c: char| !is_name(c)).unwrap_or(after.len());
        let (name, rest) = after.split_at_checked(end)?;
        // A dot behind a name ends the sentence.
        let name = name.trim_end_matches(['.', '-']);
        let is_mention = !name.is_empty() && !is_price(name) && !is_code(name, before, rest);
        is_mention.then_some(Mention { range: at..at + 1 + name.len(), name })
    })
}

/// What names are made of here, and letters of other scripts: what looks like a mention is one.
fn is_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// `5 apples @1.50`, `meet @5`, `@10am`.
fn is_price(name: &str) -> bool {
    let digits = name.trim_end_matches("am").trim_end_matches("pm");
    digits.len() <= 8 && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

fn is_code(name: &str, before: &str, rest: &str) -> bool {
    // `@app.route("/")`, alone on its line up to there.
    let is_call = rest.starts_with('(') && name.contains('.') && !name.contains('-');
    let begins_line = || before.trim_end_matches([' ', '\t']).chars().next_back().is_none_or(|c| c == '\n');
    has(CODE, name) || (rest.starts_with('/') && has(SCOPES, name)) || (is_call && begins_line())
}

fn has(list: &[&str], name: &str) -> bool {
    list.iter().any(|it| it.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_mention() {
        for (text, expected) in [
            ("@alice and @Bob.", "alice Bob"),
            ("(@alice) @alice @@carol", "alice alice carol"),
            ("hi,@alice! \"@bob\" @a.b-c--", "alice bob a.b-c"),
            ("@анна @小明", "анна 小明"),
            ("@42nd @user1", "42nd user1"),
        ] {
            assert_eq!(mentions(text).map(|it| it.name).collect::<Vec<_>>().join(" "), expected, "{text}");
        }
    }

    #[test]
    fn what_is_none() {
        for text in [
            "mail bob@example.com or a.b_@c.de",
            "root@host:~# and [me@box ~]$",
            "@ 5pm, @, @@, @. @-",
            "3 for @1.50, @5, @10am",
            "@property\n@staticmethod\n@Override\n@media (x)",
            "@app.route(\"/\")\ndef f(): ...",
            "npm i @types/node @babel/core @vue/cli",
            "@param x the x\n@returns y",
        ] {
            assert_eq!(mentions(text).next(), None, "{text}");
        }
    }
}
