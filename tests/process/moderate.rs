//! `confab mod`: from a report to its end in the terminal, over both transports.

use confab_protocol::codec::decode_audit;
use confab_protocol::command::{
    About, AuditRecord, CaseStep, Command, Delete, Edit, ListAudit, Reply, Report, UpdateCase, Write,
};
use confab_protocol::model::{AuditId, Body, CaseDecision, CaseText, ReportReason, Seq};

use crate::support::Transport;
use crate::support::people::PASSWORD;
use crate::support::process::{Place, run};
use crate::support::raw::client_id;

fn confab(place: &Place, what: &str, user: &str, arguments: &[&str]) -> std::process::Command {
    let mut command = place.command(&[what]);
    command.args(arguments.iter().take_while(|it| it.starts_with("--quic") || it.starts_with("--register")));
    command.args(["--user", user]);
    command.args(arguments.iter().skip_while(|it| it.starts_with("--quic") || it.starts_with("--register")));
    command.env("CONFAB_PASSWORD", PASSWORD);
    command
}

#[test]
fn a_report_goes_to_its_end() {
    // Everybody logs in for each command, and not in one session as moderators do.
    let place = Place::with("limits.login_tries = 1000");
    let _server = place.serve();
    let talk = |user, words: &str| {
        run(&mut confab(&place, "chat", user, &["--register", "harbour"]), &format!("{words}\n/quit\n")).assert_good();
    };
    talk("alice", "welcome");
    talk("bob", "cheap \u{1b}[2Jwatches");
    talk("carol", "good morning");
    let ask = |user, arguments: &[&str]| run(&mut confab(&place, "mod", user, arguments), "");
    let good = |user, arguments: &[&str]| ask(user, arguments).assert_good();

    // The room's making, alice's word, bob's coming, bob's word.
    let report = ["report", "--room", "harbour", "--seq", "4", "--reason", "spam", "every day\nthe same"];
    let told = good("carol", &report);
    let case = told.split_whitespace().find(|word| word.len() == 36).unwrap_or_else(|| panic!("no case in {told}"));
    let list = good("alice", &["--quic", "cases", "--room", "harbour"]);
    assert!(list.contains(case) && list.contains("report") && list.contains("open"), "{list}");
    assert!(!good("bob", &["cases"]).contains(case), "whoever it is about knows nothing");
    ask("bob", &["show", case]).assert_refused(1, &["3011"]);
    ask("carol", &["cases", "--room", "harbour"]).assert_refused(1, &["2006"]);

    good("alice", &["take", case]);
    good("alice", &["note", case, "the second time"]);
    let shown = good("alice", &["show", case]);
    for words in ["every day", "the same", "the second time", "cheap ", "watches", "welcome", "good morning", "carol"] {
        assert!(shown.contains(words), "{words} is missing: {shown}");
    }
    assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
    ask("alice", &["decide", case, "release"]).assert_refused(1, &["5003"]);
    good("alice", &["decide", case, "remove", "--because", "no advertising"]);
    let out = run(&mut confab(&place, "chat", "carol", &["harbour"]), "").assert_good();
    assert!(!out.contains("watches"), "{out}");
    assert!(good("bob", &["show", case]).contains("no advertising"));
    good("bob", &["appeal", case, "they are good watches"]);
    // Who is alone decides again.
    good("alice", &["decide", case, "uphold"]);
    let closed = good("alice", &["cases", "--state", "closed", "--json"]);
    let closed: serde_json::Value = serde_json::from_str(closed.lines().next().unwrap()).unwrap();
    assert_eq!((closed["id"].as_str(), closed["decision"].as_str()), (Some(case), Some("uphold")));

    let audit = good("alice", &["audit", "--room", "harbour"]);
    for act in ["report", "take", "note", "decide", "delete", "appeal"] {
        assert!(audit.lines().any(|line| line.contains(act)), "{act} is missing: {audit}");
    }
    for words in ["watches", "advertising", "every day", "second time"] {
        assert!(!audit.contains(words), "{words} is in the audit: {audit}");
    }
    // Who moderates one room need not name it for what belongs to a case.
    let of_case = good("alice", &["audit", "--case", case]);
    assert!(of_case.contains("decide"), "{of_case}");
    ask("bob", &["audit", "--case", case]).assert_refused(1, &["2006"]);
    let nothing = ask("alice", &["audit", "--room", "harbour", "--act", "server-ban"]);
    assert!(nothing.err.contains("There is nothing of that in the audit."), "{nothing:?}");
    assert!(nothing.assert_good().is_empty());
    let lines = good("alice", &["audit", "--room", "harbour", "--json"]);
    let is_json = |line: &str| serde_json::from_str::<serde_json::Value>(line).is_ok();
    assert!(!lines.is_empty() && lines.lines().all(is_json), "{lines}");
    // In one session, where what is wrong stops nothing.
    let lines = format!("cases --state any\nnonsense\nshow '{case}'\nnote 7 \"x\nquit\nnever read\n");
    let session = run(&mut confab(&place, "mod", "alice", &[]), &lines);
    assert_eq!(session.code, Some(1), "{session:?}");
    assert!(session.out.contains("the second time"), "{session:?}");
    for words in ["nonsense", "a quote is not closed", "2 of the commands failed"] {
        assert!(session.err.contains(words), "{words} is missing: {session:?}");
    }
    ask("bob", &["audit", "--room", "harbour"]).assert_refused(1, &["2006"]);
    // Several at once, where one that is closed keeps no other waiting.
    let report = |about: &[&str]| {
        let told = good("bob", &[&["report", "--room", "harbour", "--reason", "other"][..], about].concat());
        told.split_whitespace().find(|word| word.len() == 36).map(str::to_owned).unwrap()
    };
    let (one, other) = (report(&["--seq", "6"]), report(&["--user", "carol"]));
    let several = ask("alice", &["decide", &one, case, &other, "dismiss"]);
    several.assert_refused(1, &["1 of 3 cases"]);
    let lines: Vec<&str> = several.out.lines().collect();
    assert_eq!(lines.len(), 3, "{several:?}");
    assert_eq!([lines[0], lines[2]], [&one, &other].map(|case| format!("{case} is decided: dismiss")));
    assert!(lines[1].starts_with(&format!("{case} is not decided: ")) && lines[1].contains("5003"), "{several:?}");
    assert!(!good("alice", &["cases"]).contains(&one), "nothing waits");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_is_confirmed_until_its_author_is_erased() {
    let folder = crate::plugin::folder();
    let place = Place::with(&format!(
        "plugins.dir = {:?}\nplugins.chain = [\"hostile\"]\nplugins.grant.hostile = [\"log\", \"kv\"]",
        folder.path()
    ));
    let _server = place.serve();
    let alice = place.register(Transport::Quic, "alice").await;
    let hall = alice.enter("hall").await.id;
    let bob = place.register(Transport::WebSocket, "bob").await;
    bob.enter("hall").await;
    let first = bob.client.say(hall, "cheap watches").await.unwrap().seq;
    let second = bob.client.say(hall, "cheaper watches").await.unwrap().seq;
    bob.client.say(hall, "upper").await.unwrap();
    bob.client.say(hall, "reject").await.unwrap_err();
    let ask = async |command| alice.client.request(command).await.unwrap();
    let write = Write { room: hall, client_id: client_id(), resend: false };
    ask(Command::Delete(Delete { write, seqs: vec![first] })).await;
    let (about, reason, text) = (About::Message(second), ReportReason::Spam, CaseText::default());
    let reported = ask(Command::Report(Report { room: hall, about, reason, text })).await;
    let Reply::Reported(case) = reported else { panic!("{reported:?}") };
    let step = CaseStep::Decide(CaseDecision::Remove, CaseText::default());
    ask(Command::UpdateCase(UpdateCase { case, step })).await;

    let (user, case, plugin) = (None, None, None);
    let list = ListAudit { room: Some(hall), user, case, plugin, before: AuditId::NONE, limit: 0 };
    let Reply::Audit { records, .. } = ask(Command::ListAudit(list)).await else { panic!() };
    let records: Vec<(AuditId, AuditRecord)> =
        records.iter().map(|entry| (entry.id, decode_audit(&entry.record).unwrap())).collect();
    let id_of = |what: &str, is_it: &dyn Fn(&AuditRecord) -> bool| {
        let found = records.iter().find(|(_, record)| is_it(record));
        found.unwrap_or_else(|| panic!("no record of what was {what}: {records:?}")).0
    };
    let deleted = |seq: Seq| id_of("deleted", &|it| it.act == "delete" && it.seq == Some(seq));
    let judged = |verdict: &str| id_of(verdict, &|it| it.finding.as_ref().is_some_and(|it| it.verdict == verdict));
    let texts = [
        (deleted(first), "cheap watches"),
        (deleted(second), "cheaper watches"),
        (judged("replace"), "upper"),
        (judged("replace"), "UPPER"),
        (judged("reject"), "reject"),
    ];
    let confirm = |id: AuditId, text: &str| run(&mut place.command(&["audit", "confirm", &id.to_string()]), text);
    for (id, text) in texts {
        confirm(id, text).assert_good();
        confirm(id, &format!("{text}\n")).assert_good();
        confirm(id, "cheap clocks").assert_refused(1, &["it is another text"]);
    }
    confirm(deleted(first), "cheaper watches").assert_refused(1, &["it is another text"]);
    let report = id_of("reported", &|it| it.act == "report");
    confirm(report, "cheaper watches").assert_refused(1, &["has no hash of a text"]);
    confirm(AuditId::from_u128(7), "cheap watches").assert_refused(1, &["there is no record"]);
    let (pepper, away) = (place.data_dir.join("keys/pepper"), place.data_dir.join("pepper"));
    std::fs::rename(&pepper, &away).unwrap();
    confirm(deleted(first), "cheap watches").assert_refused(1, &["pepper is missing"]);
    assert!(!pepper.exists(), "none is made in its place");
    std::fs::rename(&away, &pepper).unwrap();
    // With all of the database, and all keys of the server.
    run(&mut place.command(&["user", "erase", "bob", "--yes"]), "").assert_good();
    for (id, text) in texts {
        confirm(id, text).assert_refused(1, &["nobody can tell any more"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_decided_and_not_done_is_told() {
    let folder = crate::plugin::folder();
    let place = Place::with(&format!(
        "plugins.dir = {:?}\nplugins.chain = [\"hostile\"]\nplugins.grant.hostile = [\"log\", \"kv\"]",
        folder.path()
    ));
    let _server = place.serve();
    let alice = place.register(Transport::Quic, "alice").await;
    let hall = alice.enter("hall").await.id;
    let bob = place.register(Transport::WebSocket, "bob").await;
    bob.enter("hall").await;
    let seq = bob.client.say(hall, "hello").await.unwrap().seq;
    let edit = async |text: &str| {
        let write = Write { room: hall, client_id: client_id(), resend: false };
        let edit = Edit { write, seq, body: Body::parse(text).unwrap() };
        bob.client.request(Command::Edit(edit)).await.unwrap()
    };
    let Reply::Held(case) = edit("hold").await else { panic!("it was not held") };
    assert!(matches!(edit("better words").await, Reply::Appended(_)));
    let case = case.to_string();
    let told = run(&mut confab(&place, "mod", "alice", &["decide", &case, "release"]), "").assert_good();
    assert!(told.contains("is decided: release") && told.contains("it was edited since"), "{told}");
    // Who said it is told which case it is.
    let told = run(&mut confab(&place, "chat", "bob", &["hall"]), "hold\n/quit\n").assert_good();
    assert!(told.contains("-- not sent: kept for review: case "), "{told}");
}
