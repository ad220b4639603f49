//! Commands line by line in one session: who works through a queue logs in once, and not for each case.

use std::io::IsTerminal;

use anyhow::bail;
use clap::Parser;
use confab_client::Client;
use confab_protocol::command::Identity;

use super::shown::one_line;
use super::{Action, act};
use crate::cli::chat::Lines;

#[derive(Parser)]
#[command(no_binary_name = true, name = "", disable_help_flag = true)]
struct Line {
    #[command(subcommand)]
    action: Action,
}

/// Until the end of the input, or `quit`. What fails is told, and the next line is read all the same.
pub(super) async fn run(client: Client, own: Identity, lines: &mut Lines) -> anyhow::Result<()> {
    let is_terminal = std::io::stdin().is_terminal();
    let mut failed = 0_u32;
    loop {
        if is_terminal {
            eprint!("mod> ");
        }
        let Some(line) = lines.next_line().await? else { break };
        let done = match words(&line) {
            Ok(words) if words.is_empty() => continue,
            Ok(words) if words.len() == 1 && words.iter().all(|word| word == "quit" || word == "exit") => break,
            Ok(words) => match Line::try_parse_from(words) {
                Ok(Line { action }) => act(client.clone(), own.clone(), action).await,
                // Help is told in many lines.
                Err(error) => {
                    eprintln!("{error}");
                    failed += u32::from(error.use_stderr());
                    continue;
                }
            },
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            eprintln!("confab: {}", one_line(&format!("{error:#}")));
            failed += 1;
        }
    }
    if failed > 0 && !is_terminal {
        bail!("{failed} of the commands failed");
    }
    Ok(())
}

/// As a shell reads words: blanks part them, but for those between quotes or behind a backslash.
fn words(line: &str) -> anyhow::Result<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None::<char>);
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(letters.next()),
            (None, _) if letter.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    if quote.is_some() {
        bail!("a quote is not closed");
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_a_shell_does() {
        let read = |line: &str| words(line).unwrap();
        assert_eq!(read("  take  017 "), ["take", "017"]);
        assert_eq!(
            read(r#"note 017 "it's \"so\"" 'a "b"' c\ d ''"#),
            ["note", "017", "it's \"so\"", "a \"b\"", "c d", ""]
        );
        assert_eq!(read(" \t "), [""; 0]);
        assert!(words("note 'open").is_err() && words("a \\").is_ok());
        assert!(Line::try_parse_from(["cases", "--mine"]).is_ok());
        assert!(Line::try_parse_from(["nonsense"]).is_err());
    }
}
