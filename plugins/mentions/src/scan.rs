//! Finding mentions in a text, in one pass.
//!
//! The server knows no code: whoever is named by it is rung, unless the name is one that nobody can have.

use std::ops::Range;

use crate::code;
use crate::words::{is_of_code, is_scope};

/// A mention in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mention<'a> {
    /// With its `@`.
    pub(crate) range: Range<usize>,
    /// Without it, as it is written.
    pub(crate) name: &'a str,
    before: &'a str,
    rest: &'a str,
}

/// What a mention looks like, there where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looks {
    /// Like somebody's name.
    Name,
    /// Like a variable or an annotation, by what stands around it.
    Variable,
    /// A word of code, by a list.
    Word,
    /// A scope of packages (`@types/node`), by a list.
    Scope,
    /// Like a decorator (`@app.route("/")`), or a number; both are what people are called, too.
    Call,
}

/// All mentions of a text, as the server finds them.
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
        let is_mention = !name.is_empty() && !is_price(name);
        is_mention.then_some(Mention { range: at..at + 1 + name.len(), name, before, rest })
    })
}

impl Mention<'_> {
    pub(crate) fn looks(&self) -> Looks {
        let Self { name, before, rest, .. } = *self;
        if is_of_code(name, rest) {
            Looks::Word
        } else if is_scope(name, rest) {
            Looks::Scope
        } else if self.is_call() {
            Looks::Call
        } else if code::is_variable(before, rest) || code::is_annotation(name, before) {
            Looks::Variable
        } else {
            Looks::Name
        }
    }

    pub(crate) fn is_call(&self) -> bool {
        is_number(self.name) || code::is_decorator(self.name, self.before, self.rest)
    }

    /// Whether what calls everyone is a variable, or talked about: in backquotes, or in what somebody else said. The
    /// server rings nobody for it.
    pub(crate) fn is_no_call(&self) -> bool {
        let Self { name, before, rest, .. } = *self;
        code::is_variable(before, rest)
            || rest.starts_with('(')
            || code::is_quoted(before, rest)
            || (name.eq_ignore_ascii_case("here") && rest.starts_with(" doc"))
    }
}

/// What names are made of here, and letters of other scripts: what looks like a mention is one.
fn is_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// `5 apples @1.50`, `@10am`: people are hardly called so.
fn is_price(name: &str) -> bool {
    let digits = name.trim_end_matches("am").trim_end_matches("pm");
    (digits.len() < name.len() || digits.contains('.'))
        && digits.len() <= 8
        && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

fn is_number(name: &str) -> bool {
    name.len() <= 8 && name.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::Looks::{Call, Name, Scope, Variable, Word};
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
            let found: Vec<_> = mentions(text).collect();
            assert_eq!(found.iter().map(|it| it.name).collect::<Vec<_>>().join(" "), expected, "{text}");
            assert!(found.iter().all(|it| it.looks() == Name), "{text}");
        }
    }

    #[test]
    fn what_is_none() {
        for text in [
            "mail bob@example.com or a.b_@c.de",
            "root@host:~# and [me@box ~]$",
            "@ 5pm, @, @@, @. @-",
            "3 for @1.50, @10am",
        ] {
            assert_eq!(mentions(text).next(), None, "{text}");
        }
    }

    #[test]
    fn what_looks_like_code() {
        for (looks, texts) in [
            (Word, &["@property\n@staticmethod\n@Override\n@media (x)", "@param y\n@returns z", "@Size(max = 9)"][..]),
            (Scope, &["npm i @types/node @babel/core @vue/cli"]),
            (Call, &["@app.route(\"/\")\ndef f(): ...", "  @a.b(\n  1)", "@5 @1234"]),
            (Name, &["@a.b(hi", "hi @a.b()", "@a-b.c()", "@123456789", "@ana(x)", "@types", "@size 3"]),
            (Variable, &["SET @a=1, @b = 2, @c := 'x'", "DECLARE @from int, @to DATE, @x varchar(9)"]),
            (Variable, &["my @a = sort @b;", "my (@a, $x, @b) = @_;", "f(@a, @b)", "for my $x (@a) {", "x = \\@a"]),
            (Variable, &["@a << 1", "puts @a", "@a[0] @b{x}", "@MyMacro\n  @otherThing struct X"]),
            (Name, &["@ana =) @bob =D", "(@ana, @bob)", "hey (@ana)", "@ana integers", "@ana;@bob", "hi @MyName"]),
            (Name, &["@ana\n@bob", "> @ana", "set @ana up", "> said f(x): @ana", "a -> @ana"]),
        ] {
            for (text, mention) in texts.iter().flat_map(|text| mentions(text).map(move |it| (text, it))) {
                assert_eq!(mention.looks(), looks, "@{} of {text}", mention.name);
            }
        }
    }

    #[test]
    fn who_talks_about_everyone_calls_nobody() {
        for (is_no_call, texts) in [
            (true, &["`@all`", "say `hi @all` then", "```\n@all\n```", "```@all```", "a\n> @all come"][..]),
            (true, &["@here doc", "x = @all; y = @all", "return @all;", "@all(x)", "foreach (@all) {", "\\@all"]),
            (false, &["@all", "`x` @all `y`", "```\nx\n``` @all", "` @all", "a > @all"]),
            (false, &["(@all)", "@all (x)", "@all =)", "@all; come", "@all;", "@all\n= x", "join @all"]),
        ] {
            for (text, mention) in texts.iter().flat_map(|text| mentions(text).map(move |it| (text, it))) {
                assert_eq!(mention.is_no_call(), is_no_call, "@{} of {text}", mention.name);
            }
        }
    }
}
