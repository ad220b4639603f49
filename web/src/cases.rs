//! Reports of what others said, and the cases that come of them: those that wait for me as a moderator, and my own. News
//! of them stand in my own log, which is followed beside the room. What may be decided about a case is said here; the page
//! shows it, and the server has the last word.

use confab_protocol::codec::decode_entry;
use confab_protocol::command::{
    About, Appeal, Case, CaseEvent, CaseFile, CaseFilter, CaseStep, Command, EntriesPush, Evidence, History, ListCases,
    Reply, Report, UpdateCase,
};
use confab_protocol::model::{
    CaseAct, CaseDecision, CaseId, CaseKind, CaseState, CaseText, Cursor, EntryContent, Incarnation, ReportReason,
    RoomId, SelfNote, Seq, UserId,
};
use confab_protocol::reject::Reject;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::{Chat, Page, now};

#[wasm_bindgen]
extern "C" {
    /// How far this browser's user has seen their own log; negative: they were never here.
    #[wasm_bindgen(method, js_name = ownLogSeen)]
    fn own_log_seen(this: &Page, room: &str) -> f64;
    /// The log is known up to here.
    #[wasm_bindgen(method, js_name = ownLog)]
    fn own_log(this: &Page, seq: f64);
    /// Something happened to a case; without an id, perhaps to some that are not known.
    #[wasm_bindgen(method, js_name = caseNews)]
    fn case_news(this: &Page, case: &str);
    /// Why a report was refused; empty: it was not.
    #[wasm_bindgen(method)]
    fn reported(this: &Page, problem: &str);
    /// A list to begin with: of my own cases, or of those that wait.
    #[wasm_bindgen(method, js_name = casesAnew)]
    fn cases_anew(this: &Page, mine: bool);
    #[wasm_bindgen(method, js_name = caseLine)]
    fn case_line(this: &Page, case: &str, subject: &str, changed: f64, title: &str);
    /// The list is there; older ones come before `next`, if there are any.
    #[wasm_bindgen(method, js_name = casesEnd)]
    fn cases_end(this: &Page, next: &str);
    /// A case to look at. `decisions`: the names of those that can be taken, with spaces between.
    #[wasm_bindgen(method, js_name = caseAnew)]
    fn case_anew(this: &Page, case: &str, subject: &str, title: &str, decisions: &str, appealable: bool);
    /// Something that happened to it; nobody, if `actor` is not named.
    #[wasm_bindgen(method, js_name = caseEvent)]
    fn case_event(this: &Page, time: f64, actor: &str, what: &str, text: &str);
    /// Something that was said; the case is about it, or it stood nearby.
    #[wasm_bindgen(method)]
    fn evidence(this: &Page, time: f64, author: &str, text: &str, subject: bool);
    /// What was asked of a case is done: `decide` or `appeal`.
    #[wasm_bindgen(method, js_name = caseDone)]
    fn case_done(this: &Page, what: &str);
    #[wasm_bindgen(method, js_name = caseRefused)]
    fn case_refused(this: &Page, text: &str);
}

/// Reasons as the page's form names them.
const REASONS: [(&str, ReportReason); 8] = [
    ("spam", ReportReason::Spam),
    ("harassment", ReportReason::Harassment),
    ("hate", ReportReason::Hate),
    ("violence", ReportReason::Violence),
    ("sexual", ReportReason::Sexual),
    ("self-harm", ReportReason::SelfHarm),
    ("illegal", ReportReason::Illegal),
    ("other", ReportReason::Other),
];

/// What a reply is for.
pub(crate) enum Asked {
    /// Where my own log ends.
    OwnLog,
    Report,
    List {
        mine: bool,
        before: CaseId,
    },
    Case {
        /// It is looked at as one that I moderate.
        moderated: bool,
    },
    Decide,
    Appeal,
}

#[wasm_bindgen]
impl Chat {
    /// Reports a message to those who moderate its room.
    pub fn report(&mut self, room: &str, seq: f64, reason: &str, text: &str) {
        let reason = REASONS.iter().find(|(name, _)| *name == reason);
        let (Ok(room), Some((_, reason))) = (room.parse::<RoomId>(), reason) else { return };
        match CaseText::parse(text) {
            Ok(text) => {
                let about = About::Message(Seq(seq as u64));
                self.ask_case(Command::Report(Report { room, about, reason: *reason, text }), Asked::Report);
            }
            Err(error) => self.page.reported(&format!("the text {error}")),
        }
    }

    /// Lists what waits for me, or my own where that is nothing, or if I say so. `before`: goes on after this one.
    pub fn cases(&mut self, mine: bool, before: &str) {
        self.list(mine, before.parse().unwrap_or(CaseId::NONE));
        self.drain();
    }

    /// Shows a case; `moderated`: it is one of those that wait for me.
    #[wasm_bindgen(js_name = showCase)]
    pub fn show_case(&mut self, case: &str, moderated: bool) {
        let Ok(case) = case.parse::<CaseId>() else { return };
        self.ask_case(Command::Case(case), Asked::Case { moderated });
    }

    /// What becomes of a case, and why.
    pub fn decide(&mut self, case: &str, decision: &str, text: &str) {
        let (Ok(case), Some(decision)) = (case.parse::<CaseId>(), parse_decision(decision)) else { return };
        match CaseText::parse(text) {
            Ok(text) => {
                let step = CaseStep::Decide(decision, text);
                self.ask_case(Command::UpdateCase(UpdateCase { case, step }), Asked::Decide);
            }
            Err(error) => self.page.case_refused(&format!("the text {error}")),
        }
    }

    /// Asks for another look at what was decided about me.
    pub fn appeal(&mut self, case: &str, text: &str) {
        let Ok(case) = case.parse::<CaseId>() else { return };
        match CaseText::parse(text) {
            Ok(text) => self.ask_case(Command::Appeal(Appeal { case, text }), Asked::Appeal),
            Err(error) => self.page.case_refused(&format!("the text {error}")),
        }
    }

    fn ask_case(&mut self, command: Command, asked: Asked) {
        self.ask(command, crate::Asked::Cases(asked));
        self.drain();
    }

    fn list(&mut self, mine: bool, before: CaseId) {
        let state = if mine { CaseFilter::Any } else { CaseFilter::Waiting };
        let list = ListCases { room: None, state, kind: None, mine, about: None, before, limit: 0 };
        self.ask(Command::ListCases(list), crate::Asked::Cases(Asked::List { mine, before }));
    }

    pub(crate) fn handle_cases(&mut self, asked: Asked, result: Result<Reply, Reject>) {
        match (asked, result) {
            (Asked::OwnLog, Ok(Reply::Page(page))) => {
                self.page.own_log(page.head.0 as f64);
                let cursor = Cursor { room: page.room, incarnation: page.incarnation, seq: page.head };
                self.session.follow(now(), cursor);
            }
            // Nothing is marked then; who looks sees all the same.
            (Asked::OwnLog, _) => {}
            (Asked::Report, Ok(_)) => self.page.reported(""),
            (Asked::Report, Err(reject)) => self.page.reported(&reject.detail),
            (Asked::List { mine: false, before }, result) if before.is_none() && !has_cases(&result) => {
                self.list(true, before);
            }
            (Asked::List { mine, before }, Ok(Reply::Cases { cases, next })) => {
                if before.is_none() {
                    self.page.cases_anew(mine);
                }
                for case in &cases {
                    let (id, subject) = (case.id.to_string(), case.subject.to_string());
                    self.page.case_line(&id, &subject, case.changed.0 as f64, &title(case));
                }
                self.page.cases_end(&if next.is_none() { String::new() } else { next.to_string() });
                self.learn(cases.iter().map(|case| case.subject).collect());
            }
            (Asked::Case { moderated }, Ok(Reply::Case(file))) => self.open_case(&file, moderated),
            (Asked::Decide, Ok(_)) => self.page.case_done("decide"),
            (Asked::Appeal, Ok(_)) => self.page.case_done("appeal"),
            (_, Err(reject)) => self.page.case_refused(&reject.detail),
            // A later version's.
            (_, Ok(_)) => {}
        }
    }

    fn open_case(&mut self, file: &CaseFile, moderated: bool) {
        let CaseFile { case, events, evidence } = file;
        let decisions = if moderated { decisions(case) } else { "" };
        let (id, subject) = (case.id.to_string(), case.subject.to_string());
        self.page.case_anew(&id, &subject, &title(case), decisions, case.appealable);
        let mut people: Vec<UserId> = vec![case.subject];
        for CaseEvent { time, actor, act, decision, text } in events {
            let name = actor.map_or_else(String::new, |actor| actor.to_string());
            self.page.case_event(time.0 as f64, &name, act_words(*act, *decision), text.as_str());
            people.extend(actor);
        }
        for Evidence { entry, subject } in evidence {
            let Ok(said) = decode_entry(&entry.payload) else { continue };
            let EntryContent::Message(message) = &said.content else { continue };
            self.page.evidence(entry.time.0 as f64, &said.author.to_string(), message.body.as_str(), *subject);
            people.push(said.author);
        }
        self.learn(people);
    }

    /// Follows my own log from where I last looked, or from its end on; the session itself does so after a reconnect.
    pub(crate) fn follow_own_log(&mut self, room: RoomId) {
        if self.own_log.replace(room) == Some(room) {
            return;
        }
        let seen = self.page.own_log_seen(&room.to_string());
        if seen >= 0.0 {
            self.session.follow(now(), Cursor { room, incarnation: Incarnation(0), seq: Seq(seen as u64) });
        } else {
            self.ask(Command::History(History::before(room, Seq(0), 1)), crate::Asked::Cases(Asked::OwnLog));
        }
    }

    pub(crate) fn handle_own_log(&self, push: &EntriesPush) {
        for entry in push.entries.iter().filter_map(|envelope| decode_entry(&envelope.payload).ok()) {
            if let EntryContent::SelfNote(SelfNote::Case { case, .. }) = entry.content {
                self.page.case_news(&case.to_string());
            }
        }
        if let Some(last) = push.entries.last() {
            self.page.own_log(last.seq.0 as f64);
        }
    }

    /// Nobody reads what was skipped to know whether cases were among it.
    pub(crate) fn handle_own_log_gap(&self, head: Seq) {
        self.page.case_news("");
        self.page.own_log(head.0 as f64);
    }
}

fn has_cases(result: &Result<Reply, Reject>) -> bool {
    matches!(result, Ok(Reply::Cases { cases, .. }) if !cases.is_empty())
}

/// What a moderator may decide of a case as it is. Somebody who was reported has no message to be removed.
const fn decisions(case: &Case) -> &'static str {
    match (case.state, case.kind) {
        (CaseState::Appealed, _) => "uphold reverse",
        (CaseState::Open | CaseState::Taken, CaseKind::Held) => "release drop",
        (CaseState::Open | CaseState::Taken, CaseKind::Report | CaseKind::Flag) if case.seq.is_some() => {
            "dismiss remove"
        }
        (CaseState::Open | CaseState::Taken, CaseKind::Report | CaseKind::Flag) => "dismiss",
        (CaseState::Open | CaseState::Taken, CaseKind::Sanction) | (CaseState::Decided | CaseState::Closed, _) => "",
    }
}

fn parse_decision(name: &str) -> Option<CaseDecision> {
    Some(match name {
        "dismiss" => CaseDecision::Dismiss,
        "release" => CaseDecision::Release,
        "drop" => CaseDecision::Drop,
        "remove" => CaseDecision::Remove,
        "uphold" => CaseDecision::Uphold,
        "reverse" => CaseDecision::Reverse,
        _ => return None,
    })
}

const fn decision_words(decision: Option<CaseDecision>) -> &'static str {
    match decision {
        Some(CaseDecision::Dismiss) => "nothing is wrong",
        Some(CaseDecision::Release) => "posted",
        Some(CaseDecision::Drop) => "not posted",
        Some(CaseDecision::Remove) => "removed",
        Some(CaseDecision::Sanction) => "in force",
        Some(CaseDecision::Uphold) => "upheld after an appeal",
        Some(CaseDecision::Reverse) => "reversed after an appeal",
        None => "decided",
    }
}

const fn act_words(act: CaseAct, decision: Option<CaseDecision>) -> &'static str {
    match act {
        CaseAct::Open => "opened it",
        CaseAct::Report => "reported it",
        CaseAct::Take => "looks into it",
        CaseAct::LetGo => "does not look into it any more",
        CaseAct::Note => "noted for moderators",
        CaseAct::Decide => decision_words(decision),
        CaseAct::Appeal => "appealed",
        CaseAct::Fail => "it could not be done",
    }
}

/// How it began and where it stands, in a line.
fn title(case: &Case) -> String {
    let kind = match case.kind {
        CaseKind::Held => "Held back",
        CaseKind::Report => "Reported",
        CaseKind::Flag => "Found by a plugin",
        CaseKind::Sanction => "Sanction",
    };
    let reason = REASONS.iter().find(|(_, reason)| Some(*reason) == case.reason);
    let reason = reason.map_or_else(String::new, |(name, _)| format!(": {name}"));
    let reports = if case.reports > 1 { format!(" ({} reports)", case.reports) } else { String::new() };
    let stands = match case.state {
        CaseState::Open => "waits",
        CaseState::Taken => "somebody looks into it",
        CaseState::Appealed => "appealed",
        CaseState::Decided | CaseState::Closed => decision_words(case.decision),
    };
    format!("{kind}{reason}{reports}, {stands}")
}
