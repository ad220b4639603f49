//! A case with what happened to it and what was said.

use confab_protocol::codec::decode_entry;
use confab_protocol::command::{Case, CaseEvent, CaseFile, Command, Evidence, Reply};
use confab_protocol::model::{CaseId, EntryContent, Message, UserId};
use serde_json::{Map, Value, json};

use super::desk::{Desk, unexpected};
use super::list::{describe, reported};
use super::shown::{NONE, Names, json_line, lines_under, when};
use super::words::act_name;
use crate::cli::chat::say;
use crate::core::cases::{decision_name, kind_name, state_name};

/// Before the second and later lines of what somebody wrote.
const INDENT: &str = "        ";

/// A piece of evidence as it can be read.
struct Said {
    /// None: nobody knows.
    author: UserId,
    /// Or what there is instead.
    words: Result<Message, &'static str>,
}

impl Said {
    fn read(piece: &Evidence) -> Self {
        let Ok(entry) = decode_entry(&piece.entry.payload) else {
            return Self { author: UserId::NONE, words: Err("cannot be read") };
        };
        let words = match entry.content {
            EntryContent::Message(message) => Ok(message),
            EntryContent::Tombstone { by_moderator: true } => Err("deleted by a moderator"),
            EntryContent::Tombstone { by_moderator: false } => Err("deleted by its author"),
            _ => Err("not a message"),
        };
        Self { author: entry.author, words }
    }
}

pub(super) async fn print(desk: &mut Desk, case: CaseId, json: bool) -> anyhow::Result<()> {
    let Reply::Case(file) = desk.ask(Command::Case(case)).await? else { return Err(unexpected()) };
    let CaseFile { case, events, evidence } = *file;
    let said: Vec<Said> = evidence.iter().map(Said::read).collect();
    let people = [case.subject, case.assignee.unwrap_or_default()]
        .into_iter()
        .chain(events.iter().filter_map(|event| event.actor))
        .chain(said.iter().map(|said| said.author));
    desk.learn_people(people).await?;
    let names = &desk.names;
    if json {
        let evidence: Vec<Value> =
            evidence.iter().zip(&said).map(|(piece, said)| describe_piece(piece, said)).collect();
        return say(&json_line(&json!({
            "case": describe(&case), "events": events.iter().map(describe_event).collect::<Vec<_>>(),
            "evidence": evidence, "usernames": usernames(names),
        })));
    }
    desk.learn_rooms(std::iter::once(case.room)).await?;
    let names = &desk.names;
    head(&case, names).iter().try_for_each(|line| say(line))?;
    say("what happened:")?;
    events.iter().try_for_each(|event| say(&event_line(event, names)))?;
    if !evidence.is_empty() {
        say("what was said:")?;
    }
    evidence.iter().zip(&said).try_for_each(|(piece, said)| say(&piece_line(piece, said, names)))
}

fn head(case: &Case, names: &Names) -> Vec<String> {
    let message = case.seq.map_or_else(|| NONE.to_owned(), |seq| format!("#{}", seq.0));
    let mut lines = vec![
        format!("case {}: {}, {}", case.id, kind_name(case.kind), state_name(case.state)),
        format!("  about     {}", with_id(names.in_full(case.subject), &case.subject.to_string())),
        format!("  room      {}", with_id(names.room(case.room), &case.room.to_string())),
        format!("  message   {message}"),
        format!("  reports   {}", reported(case)),
        format!("  opened    {}", when(case.opened)),
        format!("  changed   {}", when(case.changed)),
        format!("  taken by  {}", names.person(case.assignee.unwrap_or_default())),
        format!("  decision  {}", case.decision.map_or(NONE, decision_name)),
    ];
    if case.appealable {
        lines.push(format!("  You may ask for another look: confab mod appeal {} TEXT", case.id));
    }
    lines
}

/// Names can be given away; the filters of `confab mod audit` take ids.
fn with_id(name: String, id: &str) -> String {
    if name.contains(id) { name } else { format!("{name}  {id}") }
}

fn event_line(event: &CaseEvent, names: &Names) -> String {
    let decision = event.decision.map_or_else(String::new, |decision| format!(" {}", decision_name(decision)));
    let text = match event.text.as_str() {
        "" => String::new(),
        text => format!(": {}", lines_under(text, INDENT)),
    };
    let who = names.person(event.actor.unwrap_or_default());
    format!("  {}  {who}  {}{decision}{text}", when(event.time), act_name(event.act))
}

/// A colon stands before others' words alone: nobody can say that they were deleted.
fn piece_line(piece: &Evidence, said: &Said, names: &Names) -> String {
    let mark = if piece.subject { '>' } else { ' ' };
    let place = match piece.entry.seq.0 {
        0 => "held".to_owned(),
        seq => format!("#{seq}"),
    };
    let edited = if piece.entry.rev > 0 && said.words.is_ok() { " edited" } else { "" };
    let what = match &said.words {
        Ok(message) => format!(": {}", lines_under(message.body.as_str(), INDENT)),
        Err(instead) => format!(" -- {instead}"),
    };
    format!("{mark} {}  {place}{edited}  {}{what}", when(piece.entry.time), names.in_full(said.author))
}

fn describe_event(event: &CaseEvent) -> Value {
    json!({
        "timeMs": event.time.0, "actor": event.actor.map(|user| user.to_string()), "act": act_name(event.act),
        "decision": event.decision.map(decision_name), "text": event.text.as_str(),
    })
}

fn describe_piece(piece: &Evidence, said: &Said) -> Value {
    let message = said.words.as_ref().ok();
    json!({
        "seq": piece.entry.seq.0, "timeMs": piece.entry.time.0, "rev": piece.entry.rev, "subject": piece.subject,
        "author": (!said.author.is_none()).then(|| said.author.to_string()),
        "body": message.map(|message| message.body.as_str()),
        "replyTo": message.and_then(|message| message.reply_to).map(|seq| seq.0),
        "instead": said.words.as_ref().err(),
    })
}

/// By id, of those who stand in the case.
fn usernames(names: &Names) -> Map<String, Value> {
    names.people.iter().map(|(user, member)| (user.to_string(), json!(member.username))).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use confab_protocol::codec::encode_entry;
    use confab_protocol::model::{Body, CaseAct, CaseDecision, CaseText, ClientId, Entry, Envelope, Millis, Seq};

    use super::*;

    const AUTHOR: UserId = UserId::from_u128(5);

    fn piece(seq: u64, payload: Bytes, subject: bool) -> Evidence {
        let entry = Envelope { seq: Seq(seq), time: Millis(1_000), rev: 0, payload, rewritten: None };
        Evidence { entry, subject }
    }

    fn payload(content: EntryContent) -> Bytes {
        encode_entry(&Entry { author: AUTHOR, client_id: ClientId::NONE, content })
    }

    fn line(piece: &Evidence) -> String {
        piece_line(piece, &Said::read(piece), &Names::default())
    }

    #[test]
    fn evidence_says_what_can_be_read_and_what_not() {
        let body = Body::parse("one\n> two\u{9b}").unwrap();
        let message = payload(EntryContent::Message(body.into()));
        let time = "1970-01-01 00:00:01 UTC";
        assert_eq!(
            line(&piece(0, message.clone(), true)),
            format!("> {time}  held  {AUTHOR}: one\n{INDENT}> two\u{fffd}")
        );
        let stone = payload(EntryContent::Tombstone { by_moderator: true });
        assert_eq!(line(&piece(7, stone, false)), format!("  {time}  #7  {AUTHOR} -- deleted by a moderator"));
        let nothing = piece(8, Bytes::from_static(b"sealed"), false);
        assert_eq!(line(&nothing), format!("  {time}  #8  - -- cannot be read"));
        let described = describe_piece(&nothing, &Said::read(&nothing));
        assert_eq!((&described["body"], &described["author"]), (&Value::Null, &Value::Null));
        assert_eq!(described["instead"], json!("cannot be read"));
        let edited = Envelope { rev: 1, ..piece(9, message, false).entry };
        assert!(line(&Evidence { entry: edited, subject: false }).contains("  #9 edited  "));
    }

    #[test]
    fn an_event_is_one_line_unless_somebody_wrote_more() {
        let mut event = CaseEvent {
            time: Millis(0),
            actor: None,
            act: CaseAct::Decide,
            decision: Some(CaseDecision::Remove),
            text: CaseText::default(),
        };
        assert_eq!(event_line(&event, &Names::default()), "  1970-01-01 00:00:00 UTC  -  decide remove");
        event.text = CaseText::parse("it was\nspam").unwrap();
        assert!(event_line(&event, &Names::default()).ends_with("decide remove: it was\n        spam"));
    }
}
