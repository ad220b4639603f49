//! The audit: a line for each record, for people by what they look for, and for programs with all that it holds.

use std::io::IsTerminal;

use bytes::Bytes;
use clap::builder::PossibleValuesParser;
use confab_protocol::codec::decode_audit;
use confab_protocol::command::{AuditEntry, AuditRecord, Command, Finding, ListAudit, Reply};
use confab_protocol::limits::PAGE_ITEMS_MAX;
use confab_protocol::model::{AuditId, CaseId, CaseText, Millis, RoomId};
use serde_json::{Value, json};

use super::desk::{Desk, unexpected};
use super::shown::{NONE, Names, json_line, one_line, when};
use super::words::{self, Moment};
use crate::cli::backup::teller;
use crate::cli::chat::say;
use crate::clock::{Clock, SystemClock};
use crate::core::vocabulary;

/// A record, or the bytes of one that cannot be read.
type Read = Result<AuditRecord, Bytes>;

/// A record with what a plugin noted of it, as long as that is kept.
type Shown = (AuditId, Read, CaseText);

fn read(entry: AuditEntry) -> Shown {
    let record = decode_audit(&entry.record);
    (entry.id, record.map_err(|_| entry.record), entry.note)
}

fn one_of(words: &'static [&'static str]) -> PossibleValuesParser {
    PossibleValuesParser::new(words.iter().copied())
}

// Which records, and how. A doc comment here would be taken for what the command does.
#[derive(clap::Args)]
pub(super) struct Wanted {
    /// Of this room alone, by name or id.
    #[arg(long, value_name = "ROOM")]
    room: Option<String>,
    /// What this one did, or was done to them: by id, or by the user name of a member of --room.
    #[arg(long)]
    pub(super) user: Option<String>,
    /// What belongs to this case.
    #[arg(long, value_parser = words::case)]
    case: Option<CaseId>,
    /// What this plugin found.
    #[arg(long, value_name = "ID")]
    plugin: Option<String>,
    /// Of so long ago and later, as 12h or 7d; or from a time on, in UTC: 2026-07-01 or 2026-07-01T12:00:00.
    #[arg(long, value_name = "TIME", value_parser = words::moment)]
    since: Option<Moment>,
    /// From before so long ago, or before a time; as --since.
    #[arg(long, value_name = "TIME", value_parser = words::moment)]
    until: Option<Moment>,
    /// What was done in this word, as delete, server-ban or decide. Given more than once, in any of them.
    #[arg(long, value_name = "WORD", value_parser = one_of(vocabulary::ACTS))]
    act: Vec<String>,
    /// What plugins found that said so, as hold or reject. Given more than once, any of it.
    #[arg(long, value_name = "WORD", value_parser = one_of(vocabulary::VERDICTS))]
    verdict: Vec<String>,
    /// What plugins found, and only said what they would do.
    #[arg(long, conflicts_with = "enforced")]
    shadow: bool,
    /// What plugins found, and did what they said.
    #[arg(long)]
    enforced: bool,
    /// So many records.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// Instead, however many there are.
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Print all that the records hold as JSON, a record a line.
    #[arg(long)]
    json: bool,
}

/// What the server cannot be asked for, looked for in what it answers.
#[derive(Default)]
struct Sieve {
    acts: Vec<String>,
    verdicts: Vec<String>,
    /// None: whether or not a plugin found anything.
    enforced: Option<bool>,
}

impl Sieve {
    fn lets_all_through(&self) -> bool {
        self.acts.is_empty() && self.verdicts.is_empty() && self.enforced.is_none()
    }

    /// What a record holds that cannot be read nobody knows: it is shown rather than left out.
    fn lets_through(&self, record: &Read) -> bool {
        let Ok(record) = record else { return true };
        let finding = record.finding.as_ref();
        is_among(&self.acts, Some(record.act.as_str()))
            && is_among(&self.verdicts, finding.map(|finding| finding.verdict.as_str()))
            && self.enforced.is_none_or(|enforced| finding.is_some_and(|finding| finding.enforced == enforced))
    }
}

/// Without words, anything is.
fn is_among(words: &[String], word: Option<&str>) -> bool {
    words.is_empty() || word.is_some_and(|word| words.iter().any(|one| one == word))
}

/// Page by page, so that it may be as long as it is.
pub(super) async fn print(desk: &mut Desk, wanted: Wanted) -> anyhow::Result<()> {
    let Wanted { room, user, case, plugin, since, until, act, verdict, shadow, enforced, limit, all, json } = wanted;
    let now = SystemClock::new().now();
    let mut room = desk.find_optional_room(room.as_deref()).await?;
    // Who moderates a room may ask for that room's records alone, and a case says which room it is of.
    if let (None, Some(case)) = (room, case) {
        room = room_of(desk, case).await;
    }
    let user = match user {
        Some(user) => Some(desk.find_person(&user, room).await?),
        None => None,
    };
    let since = since.map_or(Millis(0), |since| since.at(now));
    // Ids go by time, and this is the smallest one of that moment.
    let before = until.map_or(AuditId::NONE, |until| AuditId::new(until.at(now), 0));
    let mut list = ListAudit { room, user, case, plugin, before, limit: PAGE_ITEMS_MAX };
    let sieve = Sieve { acts: act, verdicts: verdict, enforced: (shadow || enforced).then_some(enforced) };
    let mut left = if all { usize::MAX } else { usize::try_from(limit).unwrap_or(usize::MAX) };
    let (tell, is_watched, mut looked_at) = (teller(), std::io::stdout().is_terminal(), 0_usize);
    let mut is_empty = true;
    loop {
        if sieve.lets_all_through() {
            list.limit = left.min(PAGE_ITEMS_MAX);
        }
        let ask = Command::ListAudit(list.clone());
        let Reply::Audit { records, next } = desk.ask(ask).await? else { return Err(unexpected()) };
        looked_at += records.len();
        let is_over = next.is_none() || next.created() < since;
        let young = records.into_iter().filter(|entry| entry.id.created() >= since).map(read);
        let found: Vec<Shown> = young.filter(|(_, record, _)| sieve.lets_through(record)).take(left).collect();
        left -= found.len();
        is_empty &= found.is_empty();
        show(desk, &found, json).await?;
        if is_over && is_empty && !json {
            eprintln!("There is nothing of that in the audit.");
        }
        // A page that is full may have been the last one.
        if left == 0 && !is_over {
            eprintln!("There may be older ones: ask for more with --limit or --all.");
        }
        if left == 0 || is_over {
            return Ok(());
        }
        // Who sees the records needs no count of them.
        if found.is_empty() || !is_watched {
            tell(&format!("{looked_at} records were looked at"));
        }
        list.before = next;
    }
}

/// None where the case is not shown: what the server then says of the audit is the answer.
async fn room_of(desk: &Desk, case: CaseId) -> Option<RoomId> {
    match desk.ask(Command::Case(case)).await {
        Ok(Reply::Case(file)) => Some(file.case.room).filter(|room| !room.is_none()),
        _ => None,
    }
}

async fn show(desk: &mut Desk, records: &[Shown], json: bool) -> anyhow::Result<()> {
    if json {
        return records.iter().try_for_each(|(id, record, note)| say(&json_line(&describe(*id, record, note))));
    }
    let readable = || records.iter().filter_map(|(_, record, _)| record.as_ref().ok());
    desk.learn_people(readable().flat_map(|record| [record.actor, record.user])).await?;
    desk.learn_rooms(readable().map(|record| record.room)).await?;
    records.iter().try_for_each(|(id, record, note)| say(&line(*id, record, note, &desk.names)))
}

/// What people look for, tab by tab.
fn line(id: AuditId, record: &Read, note: &CaseText, names: &Names) -> String {
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
    if !note.as_str().is_empty() {
        cells.push(format!("noted: {}", one_line(note.as_str())));
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
fn describe(id: AuditId, record: &Read, note: &CaseText) -> Value {
    let record = match record {
        Ok(record) => record,
        Err(bytes) => return json!({ "id": id.to_string(), "unreadable": hex(bytes) }),
    };
    json!({
        "id": id.to_string(), "timeMs": record.time.0, "actor": known(record.actor), "act": record.act,
        "room": known(record.room), "user": known(record.user), "seq": record.seq.map(|seq| seq.0),
        "case": known(record.case), "before": hex(&record.before), "after": hex(&record.after),
        "detail": record.detail, "finding": record.finding.as_ref().map(describe_finding),
        "note": (!note.as_str().is_empty()).then(|| note.as_str()),
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
    use confab_protocol::model::{Seq, UserId};

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
        let note = CaseText::default();
        let (id, read, note) = read(AuditEntry { id: AuditId::from_u128(9), record: encode_audit(record), note });
        assert_eq!((id, note), (AuditId::from_u128(9), CaseText::default()));
        read
    }

    #[test]
    fn a_record_is_one_line() {
        let noted = |record: &AuditRecord, note: &str| {
            line(AuditId::from_u128(9), &through(record), &CaseText::parse(note).unwrap(), &Names::default())
        };
        let line_of = |record: &AuditRecord| noted(record, "");
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
        let told = noted(&found, "as a word,\nand again");
        assert!(told.ends_with(&format!("\tcase {}\tnoted: as a word, and again", id(5))), "{told}");
        let (broken, none) = (Err(Bytes::from_static(b"x")), CaseText::default());
        let unreadable = line(AuditId::from_u128(9), &broken, &none, &Names::default());
        assert_eq!(unreadable, format!("-\trecord {} cannot be read", id(9)));
    }

    #[test]
    fn a_sieve_lets_through_what_was_asked_for() {
        let finding = Finding { verdict: "hold".to_owned(), enforced: true, ..Finding::default() };
        let found = AuditRecord { act: "verdict".to_owned(), finding: Some(finding), ..record() };
        let [plain, found, unreadable] = [through(&record()), through(&found), Err(Bytes::from_static(b"x"))];
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<String>>();
        let of = |acts: &[&str], verdicts: &[&str], enforced| {
            let sieve = Sieve { acts: words(acts), verdicts: words(verdicts), enforced };
            [&plain, &found, &unreadable].map(|record| sieve.lets_through(record))
        };
        assert!(Sieve::default().lets_all_through());
        assert_eq!(of(&[], &[], None), [true, true, true]);
        assert_eq!(of(&["role", "ban"], &[], None), [true, false, true]);
        assert_eq!(of(&["verdict"], &["hold"], None), [false, true, true]);
        assert_eq!(of(&[], &["reject"], None), [false, false, true]);
        assert_eq!(of(&[], &[], Some(true)), [false, true, true]);
        assert_eq!(of(&[], &[], Some(false)), [false, false, true]);
    }

    #[test]
    fn an_export_holds_all() {
        let finding = Finding { score: 87, span: Some(("plain".to_owned(), 3, 9)), ..Finding::default() };
        let full = AuditRecord { finding: Some(finding), ..record() };
        let note = CaseText::parse("as a word").unwrap();
        let described = describe(AuditId::from_u128(9), &through(&full), &note);
        assert_eq!(described["note"], json!("as a word"));
        assert_eq!((&described["before"], &described["after"]), (&Value::Null, &json!("00ff")));
        assert_eq!((&described["case"], &described["timeMs"]), (&Value::Null, &json!(1_000)));
        assert_eq!(described["finding"]["span"], json!({ "form": "plain", "from": 3, "to": 9 }));
        assert_eq!(described["finding"]["enforced"], json!(false));
        let unreadable = describe(AuditId::from_u128(9), &Err(Bytes::from_static(b"x")), &note);
        assert_eq!(unreadable["unreadable"], json!("78"));
    }
}
