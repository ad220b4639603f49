//! Cases as a table, or as one JSON object a line.

use std::io::IsTerminal;

use confab_protocol::command::{Case, CaseFilter, Command, ListCases, Reply};
use confab_protocol::limits::PAGE_CASES_MAX;
use confab_protocol::model::{CaseId, CaseKind, Millis};
use serde_json::{Value, json};

use super::desk::{Desk, unexpected};
use super::shown::{NONE, Names, json_line, table, when};
use super::words::{self, Moment};
use crate::cli::backup::teller;
use crate::cli::chat::say;
use crate::clock::{Clock, SystemClock};
use crate::core::cases::{decision_name, kind_name, reason_name, state_name};

/// Rows of one table, whose columns are as wide as what is in them; and of all that is printed unless all is asked for.
const ROWS_MAX: usize = 1_000;

const COLUMNS: usize = 10;
const HEAD: [&str; COLUMNS] =
    ["case", "changed", "state", "kind", "decision", "reports", "message", "about", "taken by", "room"];

// Which cases, and how. A doc comment here would be taken for what the command does.
#[derive(clap::Args)]
pub(super) struct Wanted {
    /// Of this room alone, by name or id.
    #[arg(long, value_name = "ROOM")]
    room: Option<String>,
    /// About this one alone: by id, or by the user name of a member of --room.
    #[arg(long)]
    pub(super) user: Option<String>,
    /// waiting (for a decision, the first or the second), open, taken, decided, appealed, closed or any. Without it: waiting,
    /// and with --mine any.
    #[arg(long, value_parser = words::filter)]
    state: Option<CaseFilter>,
    /// held, report, flag or sanction.
    #[arg(long, value_parser = words::kind)]
    kind: Option<CaseKind>,
    /// Instead of those that I moderate, those that I opened or that are about me.
    #[arg(long)]
    mine: bool,
    /// Begun so long ago and later, as 12h or 7d; or from a time on, in UTC: 2026-07-01 or 2026-07-01T12:00:00.
    #[arg(long, value_name = "TIME", value_parser = words::moment)]
    since: Option<Moment>,
    /// Begun before so long ago, or before a time; as --since.
    #[arg(long, value_name = "TIME", value_parser = words::moment)]
    until: Option<Moment>,
    /// However many there are, and not the newest 1,000.
    #[arg(long)]
    all: bool,
    /// Print JSON, for programs: a case a line.
    #[arg(long)]
    json: bool,
}

impl Wanted {
    /// What may be appealed against waits for nobody: of one's own all are looked at.
    pub(super) fn state(&self) -> CaseFilter {
        self.state.unwrap_or(if self.mine { CaseFilter::Any } else { CaseFilter::Waiting })
    }
}

/// Page by page, so that they may be as many as they are.
pub(super) async fn print(desk: &mut Desk, wanted: Wanted) -> anyhow::Result<()> {
    let state = wanted.state();
    let Wanted { room, user, kind, mine, since, until, all, json, .. } = wanted;
    let now = SystemClock::new().now();
    let room = desk.find_optional_room(room.as_deref()).await?;
    let about = match user {
        Some(user) => Some(desk.find_person(&user, room).await?),
        None => None,
    };
    let since = since.map_or(Millis(0), |since| since.at(now));
    // Ids go by when a case began, and this is the smallest one of that moment.
    let before = until.map_or(CaseId::NONE, |until| CaseId::new(until.at(now), 0));
    let mut list = ListCases { room, state, kind, mine, about, before, limit: PAGE_CASES_MAX };
    let (tell, is_watched) = (teller(), std::io::stdout().is_terminal());
    let (mut found, mut count) = (Vec::new(), 0_usize);
    loop {
        let ask = Command::ListCases(list);
        let Reply::Cases { cases, next } = desk.ask(ask).await? else { return Err(unexpected()) };
        let is_over = next.is_none() || next.created() < since;
        found.extend(cases.into_iter().filter(|case| case.id.created() >= since));
        let is_enough = !all && count + found.len() >= ROWS_MAX;
        if json || is_over || found.len() >= ROWS_MAX {
            count += found.len();
            show(desk, &found, json).await?;
            found.clear();
        }
        if is_over && count == 0 && !json {
            eprintln!("There are no such cases.");
        }
        // A page that is full may have been the last one.
        if is_enough && !is_over {
            eprintln!("These are the newest {count}. There may be more: ask for fewer, as with --room, or for --all.");
        }
        if is_enough || is_over {
            return Ok(());
        }
        // Who sees the cases needs no count of them.
        if !json || !is_watched {
            tell(&format!("{} cases were listed", count + found.len()));
        }
        list.before = next;
    }
}

async fn show(desk: &mut Desk, cases: &[Case], json: bool) -> anyhow::Result<()> {
    if json {
        return cases.iter().try_for_each(|case| say(&json_line(&describe(case))));
    }
    if cases.is_empty() {
        return Ok(());
    }
    desk.learn_people(cases.iter().flat_map(|case| [case.subject, case.assignee.unwrap_or_default()])).await?;
    desk.learn_rooms(cases.iter().map(|case| case.room)).await?;
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(cases.iter().map(|case| row(case, &desk.names)));
    table(&rows).iter().try_for_each(|line| say(line))
}

fn row(case: &Case, names: &Names) -> [String; COLUMNS] {
    [
        case.id.to_string(),
        when(case.changed),
        state_name(case.state).to_owned(),
        kind_name(case.kind).to_owned(),
        case.decision.map_or(NONE, decision_name).to_owned(),
        reported(case),
        case.seq.map_or_else(|| NONE.to_owned(), |seq| format!("#{}", seq.0)),
        names.person(case.subject),
        names.person(case.assignee.unwrap_or_default()),
        names.room(case.room),
    ]
}

/// How many reported it, and what for.
pub(super) fn reported(case: &Case) -> String {
    match (case.reports, case.reason) {
        (0, reason) => reason.map_or(NONE, reason_name).to_owned(),
        (count, None) => count.to_string(),
        (count, Some(reason)) => format!("{count} {}", reason_name(reason)),
    }
}

/// In the names of the schema.
pub(super) fn describe(case: &Case) -> Value {
    json!({
        "id": case.id.to_string(), "kind": kind_name(case.kind), "state": state_name(case.state),
        "decision": case.decision.map(decision_name), "room": case.room.to_string(),
        "subject": case.subject.to_string(), "seq": case.seq.map(|seq| seq.0), "openedMs": case.opened.0,
        "changedMs": case.changed.0, "reports": case.reports, "reason": case.reason.map(reason_name),
        "assignee": case.assignee.map(|user| user.to_string()), "appealable": case.appealable,
    })
}

#[cfg(test)]
mod tests {
    use confab_protocol::model::{CaseId, CaseKind, CaseState, Millis, ReportReason, RoomId, Seq, UserId};

    use super::*;

    #[test]
    fn a_row_says_what_there_is() {
        let mut case = Case {
            id: CaseId::from_u128(1),
            kind: CaseKind::Held,
            state: CaseState::Open,
            decision: None,
            room: RoomId::from_u128(2),
            subject: UserId::from_u128(3),
            seq: None,
            opened: Millis(0),
            changed: Millis(60_000),
            reports: 0,
            reason: None,
            assignee: None,
            appealable: false,
        };
        let mut names = Names::default();
        names.rooms.insert(case.room, "harbour\u{1b}".to_owned());
        let [id, changed, state, kind, decision, reports, message, about, taken, room] = row(&case, &names);
        assert_eq!((id.as_str(), changed.as_str()), (about.replace('3', "1").as_str(), "1970-01-01 00:01:00 UTC"));
        assert_eq!([state, kind, decision, reports, message, taken], ["open", "held", "-", "-", "-", "-"]);
        assert_eq!(room, "harbour\u{fffd}");
        (case.reports, case.reason, case.seq) = (2, Some(ReportReason::SelfHarm), Some(Seq(7)));
        assert_eq!(reported(&case), "2 self-harm");
        let described = describe(&case);
        assert_eq!((&described["seq"], &described["reason"]), (&json!(7), &json!("self-harm")));
        assert_eq!(described["decision"], Value::Null);
    }
}
