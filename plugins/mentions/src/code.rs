//! What stands around a name in code: in Perl, Ruby and SQL variables begin with an `@`, elsewhere what says something
//! about a declaration does.

/// Characters that are looked at for the beginning of a list.
const LIST_MAX: usize = 200;

/// Words before a variable.
const VERBS: &[&str] =
    &["DECLARE", "declare", "foreach", "grep", "my", "pop", "push", "puts", "return", "scalar", "sort", "unshift"];
/// Words before a list in parentheses; others stand right at it.
const HEADS: &[&str] = &["VALUES", "for", "foreach", "local", "my", "our", "values"];
/// First words of statements in a database's language.
const STATEMENTS: &[&str] = &["DECLARE", "EXEC", "FETCH", "INSERT", "SELECT", "SET", "UPDATE", "WHERE"];
/// Types that are no words of what people say.
const TYPES: &[&str] = &[
    "bigint",
    "datetime",
    "datetime2",
    "decimal",
    "float",
    "int",
    "nchar",
    "numeric",
    "nvarchar",
    "smallint",
    "sysname",
    "tinyint",
    "uniqueidentifier",
    "varchar",
];

/// `@app.route("/")`, alone on its line up to there; what it is called with ends there or goes on below.
pub(crate) fn is_decorator(name: &str, before: &str, rest: &str) -> bool {
    let is_call = rest.starts_with('(') && name.contains('.') && !name.contains('-');
    let is_whole = || {
        let line = rest.split('\n').next().unwrap_or_default();
        line.contains(')') || line.trim_end().ends_with(['(', '[', '{', ','])
    };
    is_call && begins_line(before) && is_whole()
}

/// `@ParameterizedTest`, alone on its line up to there: none of the lists, and hardly what people write of each other.
pub(crate) fn is_annotation(name: &str, before: &str) -> bool {
    let has_hump = || name.as_bytes().windows(2).any(|it| it[0].is_ascii_lowercase() && it[1].is_ascii_uppercase());
    begins_line(before) && has_hump() && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

pub(crate) fn is_variable(before: &str, rest: &str) -> bool {
    let (spaced, next) = (before.trim_end_matches(' '), rest.trim_start_matches(' '));
    is_assigned(next)
        || next.starts_with("<<")
        || next.starts_with('{')
        || rest.starts_with('[')
        || spaced.ends_with('=')
        || before.ends_with('\\')
        || (next.len() < rest.len() && TYPES.iter().any(|it| it.eq_ignore_ascii_case(first_word(next))))
        || (spaced.len() < before.len() && VERBS.contains(&last_word(spaced)))
        || is_in_list(before)
        || rest.strip_prefix(')').is_some_and(|it| it.trim_start_matches(' ').starts_with('{'))
        || is_in_statement(before, rest)
}

/// In backquotes, in a block of code, or behind the sign of a quotation.
pub(crate) fn is_quoted(before: &str, rest: &str) -> bool {
    const BLOCK: &str = "```";
    let line = line_before(before);
    let is_open = |sign: &str, text: &str| text.matches(sign).count() % 2 == 1;
    line.starts_with('>')
        || is_open(BLOCK, before)
        || (is_open("`", line) && rest.split('\n').next().is_some_and(|it| it.contains('`')))
}

/// Whether some line ends as one of code does.
pub(crate) fn is_code(text: &str) -> bool {
    text.lines().map(str::trim).any(|line| {
        line.ends_with(['{', '}', ';']) || line.starts_with("```") || (line.starts_with('<') && line.ends_with('>'))
    })
}

/// `= 1`, `=1`, `:= 1`, `+= 1`; not `=)` nor `=D`.
fn is_assigned(next: &str) -> bool {
    let Some(value) = next.trim_start_matches([':', '+', '-', '.', '|']).strip_prefix('=') else { return false };
    let mut chars = value.chars();
    let (first, second) = (chars.next(), chars.next());
    match first {
        Some(' ' | '=' | '~' | '@' | '$' | '\'' | '"' | '[' | '{' | '&' | '-' | '0'..='9') => true,
        Some('(') => second.is_some_and(|c| !c.is_whitespace() && c != '('),
        Some(c) if c.is_ascii_alphabetic() => {
            second.is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '('))
        }
        _ => false,
    }
}

/// `my (@a, @b`, `f(@a, $b, @c`.
fn is_in_list(before: &str) -> bool {
    for (at, c) in before.char_indices().rev().take(LIST_MAX) {
        if c == '(' {
            let head = before.get(..at).unwrap_or_default();
            let is_call = head.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
            return is_call || HEADS.contains(&last_word(head.trim_end_matches(' ')));
        }
        if !(c.is_ascii_alphanumeric() || matches!(c, '@' | '$' | '%' | '_' | ',' | ' ')) {
            return false;
        }
    }
    false
}

/// `SET x = 1, @a`, `return wantarray ? @a : 0;`, `use @a;`.
fn is_in_statement(before: &str, rest: &str) -> bool {
    let line = line_before(before).trim_start_matches([' ', '\t']);
    let ends = || rest.split('\n').next().is_some_and(|it| it.trim_end() == ";");
    (!line.is_empty() && ends()) || STATEMENTS.contains(&first_word(line))
}

fn begins_line(before: &str) -> bool {
    before.trim_end_matches([' ', '\t']).chars().next_back().is_none_or(|c| c == '\n')
}

fn line_before(before: &str) -> &str {
    before.rsplit('\n').next().unwrap_or_default()
}

fn first_word(text: &str) -> &str {
    text.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default()
}

fn last_word(text: &str) -> &str {
    text.rsplit(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default()
}
