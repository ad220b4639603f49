//! Cases as a table, or as one JSON object a line.

use confab_protocol::command::{Case, Command, ListCases, Reply};
use confab_protocol::limits::PAGE_CASES_MAX;
use serde_json::{Value, json};

use super::desk::{Desk, unexpected};
use super::shown::{NONE, Names, json_line, table, when};
use crate::cli::chat::say;
use crate::core::cases::{decision_name, kind_name, reason_name, state_name};

/// Rows of one table: nobody reads more.
const ROWS_MAX: usize = 1_000;
/// Pages may have less than they could.
const PAGES_MAX: usize = 2 * ROWS_MAX / PAGE_CASES_MAX;

const COLUMNS: usize = 10;
const HEAD: [&str; COLUMNS] =
    ["case", "changed", "state", "kind", "decision", "reports", "message", "about", "taken by", "room"];

pub(super) async fn print(desk: &mut Desk, mut list: ListCases, json: bool) -> anyhow::Result<()> {
    let (mut cases, mut is_whole) = (Vec::new(), false);
    for _ in 0..PAGES_MAX {
        let ask = Command::ListCases(list);
        let Reply::Cases { cases: some, next } = desk.ask(ask).await? else { return Err(unexpected()) };
        cases.extend(some);
        is_whole = next.is_none() && cases.len() <= ROWS_MAX;
        if next.is_none() || cases.len() >= ROWS_MAX {
            break;
        }
        list.before = next;
    }
    cases.truncate(ROWS_MAX);
    if json {
        cases.iter().try_for_each(|case| say(&json_line(&describe(case))))?;
    } else if cases.is_empty() {
        eprintln!("There are no such cases.");
    } else {
        desk.learn_people(cases.iter().flat_map(|case| [case.subject, case.assignee.unwrap_or_default()])).await?;
        desk.learn_rooms(cases.iter().map(|case| case.room)).await?;
        let mut rows = vec![HEAD.map(str::to_owned)];
        rows.extend(cases.iter().map(|case| row(case, &desk.names)));
        table(&rows).iter().try_for_each(|line| say(line))?;
    }
    if !is_whole {
        eprintln!("These are the newest {}, and there are more: ask with --room, --state or --kind.", cases.len());
    }
    Ok(())
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
