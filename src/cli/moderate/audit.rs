//! The audit: a line for each record, for people by what they look for, and for programs with all that it holds.

use bytes::Bytes;
use confab_protocol::codec::decode_audit;
use confab_protocol::command::{AuditEntry, AuditRecord, Command, Finding, ListAudit, Reply};
use confab_protocol::limits::PAGE_ITEMS_MAX;
use confab_protocol::model::AuditId;
use serde_json::{Value, json};

use super::desk::{Desk, unexpected};
use super::shown::{NONE, Names, json_line, one_line, when};
use crate::cli::chat::say;

/// A record, or the bytes of one that cannot be read.
type Read = Result<AuditRecord, Bytes>;

fn read(entry: AuditEntry) -> (AuditId, Read) {
    let record = decode_audit(&entry.record);
    (entry.id, record.map_err(|_| entry.record))
}

/// Page by page, so that it may be as long as it is.
pub(super) async fn print(desk: &mut Desk, mut list: ListAudit, limit: u64, json: bool) -> anyhow::Result<()> {
    let mut left = usize::try_from(limit).unwrap_or(usize::MAX);
    loop {
        list.limit = left.min(PAGE_ITEMS_MAX);
        let ask = Command::ListAudit(list.clone());
        let Reply::Audit { records, next } = desk.ask(ask).await? else { return Err(unexpected()) };
        let records: Vec<(AuditId, Read)> = records.into_iter().take(left).map(read).collect();
        left -= records.len();
        if json {
            records.iter().try_for_each(|(id, record)| say(&json_line(&describe(*id, record))))?;
        } else {
            let readable = || records.iter().filter_map(|(_, record)| record.as_ref().ok());
            desk.learn_people(readable().flat_map(|record| [record.actor, record.user])).await?;
            desk.learn_rooms(readable().map(|record| record.room)).await?;
            records.iter().try_for_each(|(id, record)| say(&line(*id, record, &desk.names)))?;
        }
        if next.is_none() {
            return Ok(());
        }
        if left == 0 {
            // A page that is full may have been the last one.
            eprintln!("There may be older ones: ask for more with --limit.");
            return Ok(());
        }
        list.before = next;
    }
}

/// What people look for, tab by tab.
fn line(id: AuditId, record: &Read, names: &Names) -> String {
    let Ok(record) = record else { return format!("{NONE}\trecord {id} cannot be read") };
    let mut cells = vec![
        when(record.time),
        names.person(record.actor),
        or_none(one_line(&record.act)),
        names.room(record.room),
        names.person(record.user),
        record.seq.map_or_else(|| NONE.to_owned(), |seq| format!("#{}", seq.0)),
        or_none(what(record)),
    ];
    if !record.case.is_none() {
        cells.push(format!("case {}", record.case));
    }
    cells.join("\t")
}

fn what(record: &AuditRecord) -> String {
    let detail = one_line(&record.detail);
    let Some(Finding { plugin, rule, verdict, enforced, .. }) = &record.finding else { return detail };
    let found = [plugin, rule, verdict].map(|part| or_none(one_line(part))).join("/");
    let found = if *enforced { found } else { format!("{found} (shadow)") };
    if detail.is_empty() { found } else { format!("{found}, {detail}") }
}

fn or_none(cell: String) -> String {
    if cell.is_empty() { NONE.to_owned() } else { cell }
}

/// In the names of the schema; what is absent is null.
fn describe(id: AuditId, record: &Read) -> Value {
    let record = match record {
        Ok(record) => record,
        Err(bytes) => return json!({ "id": id.to_string(), "unreadable": hex(bytes) }),
    };
    json!({
        "id": id.to_string(), "timeMs": record.time.0, "actor": known(record.actor), "act": record.act,
        "room": known(record.room), "user": known(record.user), "seq": record.seq.map(|seq| seq.0),
        "case": known(record.case), "before": hex(&record.before), "after": hex(&record.after),
        "detail": record.detail, "finding": record.finding.as_ref().map(describe_finding),
    })
}

fn describe_finding(finding: &Finding) -> Value {
    let span = finding.span.as_ref().map(|(form, from, to)| json!({ "form": form, "from": from, "to": to }));
    json!({
        "plugin": finding.plugin, "sha256": finding.sha256, "hook": finding.hook, "verdict": finding.verdict,
        "enforced": finding.enforced, "rule": finding.rule, "label": finding.label, "score": finding.score,
        "span": span, "shown": finding.shown,
    })
}

/// An id that stands for none is none.
fn known<T: Default + PartialEq + ToString>(id: T) -> Option<String> {
    (id != T::default()).then(|| id.to_string())
}

fn hex(bytes: &[u8]) -> Option<String> {
    (!bytes.is_empty()).then(|| bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use confab_protocol::codec::encode_audit;
    use confab_protocol::model::{CaseId, Millis, RoomId, Seq, UserId};

    use super::*;

    fn record() -> AuditRecord {
        AuditRecord {
            time: Millis(1_000),
            actor: UserId::from_u128(1),
            act: "role".to_owned(),
            room: RoomId::from_u128(2),
            user: UserId::from_u128(3),
            detail: "member -> moderator\n\u{1b}[2J".to_owned(),
            after: Bytes::from_static(&[0, 255]),
            ..AuditRecord::default()
        }
    }

    fn through(record: &AuditRecord) -> Read {
        let (id, read) = read(AuditEntry { id: AuditId::from_u128(9), record: encode_audit(record) });
        assert_eq!(id, AuditId::from_u128(9));
        read
    }

    #[test]
    fn a_record_is_one_line() {
        let line_of = |record: &AuditRecord| line(AuditId::from_u128(9), &through(record), &Names::default());
        let id = |number: u128| UserId::from_u128(number).to_string();
        let plain = format!(
            "1970-01-01 00:00:01 UTC\t{}\trole\t{}\t{}\t-\tmember -> moderator \u{fffd}[2J",
            id(1),
            id(2),
            id(3)
        );
        assert_eq!(line_of(&record()), plain);
        let finding = Finding { plugin: "links".to_owned(), verdict: "hold".to_owned(), ..Finding::default() };
        let found = AuditRecord {
            actor: UserId::NONE,
            seq: Some(Seq(4)),
            case: CaseId::from_u128(5),
            detail: String::new(),
            finding: Some(finding),
            ..record()
        };
        let told = line_of(&found);
        assert!(told.ends_with(&format!("\t#4\tlinks/-/hold (shadow)\tcase {}", id(5))), "{told}");
        let unreadable = line(AuditId::from_u128(9), &Err(Bytes::from_static(b"x")), &Names::default());
        assert_eq!(unreadable, format!("-\trecord {} cannot be read", id(9)));
    }

    #[test]
    fn an_export_holds_all() {
        let finding = Finding { score: 87, span: Some(("plain".to_owned(), 3, 9)), ..Finding::default() };
        let full = AuditRecord { finding: Some(finding), ..record() };
        let described = describe(AuditId::from_u128(9), &through(&full));
        assert_eq!((&described["before"], &described["after"]), (&Value::Null, &json!("00ff")));
        assert_eq!((&described["case"], &described["timeMs"]), (&Value::Null, &json!(1_000)));
        assert_eq!(described["finding"]["span"], json!({ "form": "plain", "from": 3, "to": 9 }));
        assert_eq!(described["finding"]["enforced"], json!(false));
        let unreadable = describe(AuditId::from_u128(9), &Err(Bytes::from_static(b"x")));
        assert_eq!(unreadable["unreadable"], json!("78"));
    }
}
