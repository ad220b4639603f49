//! `confab mod`: reports, cases, appeals, the audit and what moderators do besides, from the terminal. It speaks the
//! chat protocol, so that whoever moderates needs an account on the server, and nothing on its machine.

mod audit;
mod deeds;
mod desk;
mod list;
mod server;
mod shell;
mod show;
mod shown;
mod words;

use anyhow::{anyhow, bail};
use clap::Subcommand;
use confab_protocol::command::{About, Appeal, CaseStep, Command, Identity, Reply, Report, UpdateCase};
use confab_protocol::model::{CaseAct, CaseDecision, CaseId, CaseText, ReportReason, Seq};

use self::desk::{Desk, unexpected};
use super::chat::{self, say};
use crate::config::Config;
use crate::core::cases::decision_name;

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    access: chat::Access,
    /// Without one, commands are read line by line, in one session, until `quit`.
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// What waits for a decision and what was decided, the newest first.
    Cases(list::Wanted),
    /// All that is known of a case: what happened to it, and what was said. `>` marks what it is about.
    Show {
        /// Its id.
        #[arg(value_parser = words::case)]
        case: CaseId,
        /// Print JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Look into a case, perhaps instead of who does.
    Take {
        /// Its id.
        #[arg(value_parser = words::case)]
        case: CaseId,
    },
    /// Do not look into a case any more.
    LetGo {
        /// Its id.
        #[arg(value_parser = words::case)]
        case: CaseId,
    },
    /// Leave a note for other moderators.
    Note {
        /// The case's id.
        #[arg(value_parser = words::case)]
        case: CaseId,
        /// At most 1,000 bytes.
        #[arg(value_parser = words::said)]
        text: CaseText,
    },
    /// Say what becomes of cases, of each by itself.
    Decide {
        /// Their ids.
        #[arg(value_name = "CASE", required = true, num_args = 1.., value_parser = words::case)]
        cases: Vec<CaseId>,
        /// dismiss or remove (a report, a flag), release or drop (what is held), uphold or reverse (an appeal).
        #[arg(value_parser = words::decision)]
        decision: CaseDecision,
        /// Why; whom it is about and who reported it read that.
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, value_parser = words::text)]
        because: CaseText,
    },
    /// Report a message, or somebody, to those who moderate the room.
    #[command(group = clap::ArgGroup::new("about").required(true).args(["seq", "user"]))]
    Report {
        /// The room, by name or id.
        #[arg(long, value_name = "ROOM")]
        room: String,
        /// The message.
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
        seq: Option<u64>,
        /// Instead, somebody, whatever they said: by user name, of a member of the room, or id.
        #[arg(long)]
        user: Option<String>,
        /// spam, harassment, hate, violence, sexual, self-harm, illegal or other.
        #[arg(long, value_parser = words::reason)]
        reason: ReportReason,
        /// For the moderators.
        #[arg(default_value = "", hide_default_value = true, value_parser = words::text)]
        text: CaseText,
    },
    /// Ask for another look at what was decided about you.
    Appeal {
        /// The case's id.
        #[arg(value_parser = words::case)]
        case: CaseId,
        /// Why, in at most 1,000 bytes.
        #[arg(value_parser = words::said)]
        text: CaseText,
    },
    /// Who did what to whom, and what plugins found, the newest first.
    Audit(audit::Wanted),
    #[command(flatten)]
    Deed(deeds::Deed),
}

pub(super) fn run(config: &Config, args: Args) -> anyhow::Result<()> {
    let done = chat::run_to_end(moderate(config, args));
    // It may be in the words of the server, or of a plugin.
    done.map_err(|error| anyhow!("{}", shown::one_line(&format!("{error:#}"))))
}

async fn moderate(config: &Config, args: Args) -> anyhow::Result<()> {
    let mut lines = chat::typed();
    let (client, mut events) = chat::connect(config, &args.access)?;
    let session = chat::unless_stopped(&mut events, chat::log_in(&client, &args.access, &mut lines)).await?;
    let (again, own) = (client.clone(), session.identity);
    let done = match args.action {
        Some(action) => chat::unless_stopped(&mut events, act(again, own, action)).await,
        None => chat::unless_stopped(&mut events, shell::run(again, own, &mut lines)).await,
    };
    chat::leave(client, events).await;
    done
}

async fn act(client: confab_client::Client, own: Identity, action: Action) -> anyhow::Result<()> {
    let mut desk = Desk::new(client, own);
    let update = |case, step| Command::UpdateCase(UpdateCase { case, step });
    match action {
        Action::Cases(wanted) => list::print(&mut desk, wanted).await,
        Action::Show { case, json } => show::print(&mut desk, case, json).await,
        Action::Take { case } => {
            desk.order(update(case, CaseStep::Take)).await?;
            say(&format!("You look into {case}."))
        }
        Action::LetGo { case } => {
            desk.order(update(case, CaseStep::LetGo)).await?;
            say(&format!("You do not look into {case} any more."))
        }
        Action::Note { case, text } => {
            desk.order(update(case, CaseStep::Note(text))).await?;
            say(&format!("It stands with {case}."))
        }
        Action::Decide { cases, decision, because } => decide(&desk, &cases, decision, &because).await,
        Action::Report { room, seq, user, reason, text } => {
            let room = desk.find_room(&room).await?;
            let about = match (seq, user) {
                (Some(seq), _) => About::Message(Seq(seq)),
                (None, user) => About::Person(desk.find_person(&user.unwrap_or_default(), Some(room)).await?),
            };
            match desk.ask(Command::Report(Report { room, about, reason, text })).await? {
                Reply::Reported(case) => say(&format!("Reported: case {case}")),
                _ => Err(unexpected()),
            }
        }
        Action::Appeal { case, text } => {
            desk.order(Command::Appeal(Appeal { case, text })).await?;
            say(&format!("Somebody will look at {case} again."))
        }
        Action::Audit(wanted) => audit::print(&mut desk, wanted).await,
        Action::Deed(deed) => deeds::act(&mut desk, deed).await,
    }
}

/// One line for each, and one more where it could not be done. What is not decided, because somebody else was faster,
/// keeps none of the others waiting.
async fn decide(desk: &Desk, cases: &[CaseId], decision: CaseDecision, because: &CaseText) -> anyhow::Result<()> {
    let mut failed = 0_usize;
    for case in cases {
        let step = CaseStep::Decide(decision, because.clone());
        match desk.order(Command::UpdateCase(UpdateCase { case: *case, step })).await {
            Ok(()) => {
                say(&format!("{case} is decided: {}", decision_name(decision)))?;
                tell_failure(desk, *case, decision).await?;
            }
            Err(error) if cases.len() == 1 => return Err(error),
            Err(error) => {
                failed += 1;
                say(&shown::one_line(&format!("{case} is not decided: {error:#}")))?;
            }
        }
    }
    if failed > 0 {
        bail!("{failed} of {} cases are not decided", cases.len());
    }
    Ok(())
}

/// A decision is recorded first and then done: why it could not be done stands in the case alone.
async fn tell_failure(desk: &Desk, case: CaseId, decision: CaseDecision) -> anyhow::Result<()> {
    // That it is decided is so, whatever becomes of this question.
    let Ok(Reply::Case(file)) = desk.ask(Command::Case(case)).await else { return Ok(()) };
    match file.events.last() {
        Some(event) if event.act == CaseAct::Fail => {
            let why = shown::one_line(event.text.as_str());
            say(&format!("{case}: {} could not be done: {why}", decision_name(decision)))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};
    use confab_protocol::command::CaseFilter;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &str) -> Result<Action, String> {
        let words = std::iter::once("mod").chain(line.split(' '));
        Line::try_parse_from(words).map(|line| line.args.action.unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn whom_it_is_about_is_not_who_asks() {
        Line::command().debug_assert();
        let Ok(Action::Audit(wanted)) = parse("--user alice audit --user bob") else { panic!("no audit") };
        assert_eq!(wanted.user.as_deref(), Some("bob"));
        let Ok(Action::Cases(wanted)) = parse("--user alice cases") else { panic!("no cases") };
        assert!(wanted.user.is_none() && wanted.state() == CaseFilter::Waiting);
        for (line, state) in [
            ("--user alice cases --mine", CaseFilter::Any),
            ("--user alice cases --mine --state waiting", CaseFilter::Waiting),
        ] {
            let Ok(Action::Cases(wanted)) = parse(line) else { panic!("no cases") };
            assert!(wanted.state() == state, "{line}");
        }
        let Ok(Action::Cases(wanted)) = parse("--user alice cases --user bob") else { panic!("no cases") };
        assert_eq!(wanted.user.as_deref(), Some("bob"));
        assert!(parse("audit --user bob").is_err(), "nobody asks");
    }

    #[test]
    fn records_are_asked_for_by_what_they_hold() {
        for right in [
            "--since 12h --until 2026-07-01",
            "--act ban --act server-ban --act let-go",
            "--verdict hold --verdict unavailable --shadow",
            "--all --json",
            "--enforced --limit 1",
        ] {
            assert!(parse(&format!("--user a audit {right}")).is_ok(), "{right}");
        }
        for wrong in ["--since yesterday", "--all --limit 5", "--shadow --enforced", "--limit 0"] {
            assert!(parse(&format!("--user a audit {wrong}")).is_err(), "{wrong}");
        }
        // Nothing is written in such a word: who looks for it is told which there are.
        for (wrong, right) in [("--act baned", "server-ban"), ("--act server", "let-go"), ("--verdict held", "hold")] {
            let told = parse(&format!("--user a audit {wrong}")).map(drop).unwrap_err();
            assert!(told.contains(right), "{wrong}: {told}");
        }
    }

    #[test]
    fn cases_are_asked_for_by_whom_and_when() {
        assert!(parse("--user a cases --room r --user b --since 7d --until 2026-07-01 --all --json").is_ok());
        assert!(parse("--user a cases --since yesterday").is_err());
    }

    #[test]
    fn a_report_is_about_one_thing() {
        const CASE: &str = "01980000-0000-7000-8000-000000000000";
        assert!(parse("--user a report --room r --seq 3 --reason self-harm please").is_ok());
        assert!(parse("--user a report --room r --user b --reason spam").is_ok());
        for wrong in [
            "report --room r --reason spam".to_owned(),
            "report --room r --seq 3 --user b --reason spam".to_owned(),
            "report --room r --seq 0 --reason spam".to_owned(),
            "report --room r --seq 3 --reason unspecified".to_owned(),
            format!("decide {CASE} sanction"),
            "decide drop".to_owned(),
            format!("decide {CASE} drop {CASE}"),
            "take 17".to_owned(),
        ] {
            assert!(parse(&format!("--user a {wrong}")).is_err(), "{wrong}");
        }
        for several in
            [format!("{CASE} drop"), format!("{CASE} {CASE} drop --because spam"), format!("{CASE} {CASE} drop")]
        {
            let Ok(Action::Decide { cases, decision, .. }) = parse(&format!("--user a decide {several}")) else {
                panic!("{several}")
            };
            assert_eq!((cases.len(), decision), (several.matches(CASE).count(), CaseDecision::Drop), "{several}");
        }
        assert!(parse(&format!("--user a let-go {CASE}")).is_ok());
    }
    #[test]
    fn a_deed_says_what_it_is_done_to() {
        const SOMEBODY: &str = "01980000-0000-7000-8000-000000000000";
        for right in [
            "delete --room r 4 5",
            "mute --room r bob --for 12h --because spam",
            "kick --room r bob",
            "ban --room r @bob",
            "shadow --room r bob --for 1d",
            "lift --room r bob --because sorry",
            "role --room r bob moderator",
            "slow --room r off",
            "pin --room r 4 --remove",
            "admit --room r 4",
            "invite --room r --uses 3 --for 1h",
            "server ban bob --room r --for 7d",
            "server role bob --room r admin",
            "server invite",
        ] {
            assert!(parse(&format!("--user a {right}")).is_ok(), "{right}");
        }
        assert!(parse(&format!("--user a server reset-password {SOMEBODY}")).is_ok());
        for wrong in [
            "delete --room r".to_owned(),
            "delete --room r 0".to_owned(),
            format!("delete --room r {}", ["7"; 101].join(" ")),
            "mute bob".to_owned(),
            "mute --room r bob --for ever".to_owned(),
            "kick --room r bob --for 1h".to_owned(),
            "role --room r bob muted".to_owned(),
            "slow --room r 7h".to_owned(),
            "server ban".to_owned(),
            "server role bob --room r owner".to_owned(),
            "server invite --uses 1001".to_owned(),
        ] {
            assert!(parse(&format!("--user a {wrong}")).is_err(), "{wrong}");
        }
    }
}
