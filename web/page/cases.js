// Reports of what others said, and the cases that come of them: what waits for a moderator, and what is one's own. All of
// it was written by somebody, and goes into text nodes.

const $ = (id) => document.getElementById(id);
const when = (millis) => new Date(millis).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
const DONE = { decide: "Decided.", appeal: "Your appeal waits for a moderator." };
const WHICH = { true: "Your own: what you reported, and what is about you.", false: "These wait for a decision." };
const news = new Set(); // cases of which something was heard since the list was last looked at
let about, shown, next, isMine = false, wantsMine = false, isAsked = false, focused, ownLog, known;

function say(text) { $("cases-answer").textContent = text; }

function mark() {
  $("open-cases").textContent = news.size > 0 ? `Cases (${news.size})` : "Cases";
  $("open-cases").classList.toggle("news", news.size > 0);
}

// After a reload the log is read on from where there was no news.
function keepSeen() { if (news.size === 0 && known !== undefined) localStorage.setItem(`own log ${ownLog}`, known); }

function showList() {
  shown = undefined;
  isAsked = false;
  $("case").hidden = true;
  $("all-cases").hidden = false;
}

// What the session tells; `ask` hands work to it, `nameOf` knows people.
export function casesPage(ask, nameOf) {
  const person = (user) => {
    const who = document.createElement("span");
    who.className = "author";
    // A moderator is not named to whom they judge, and a plugin is nobody.
    if (user) who.dataset.user = user;
    who.textContent = user ? nameOf(user) : "Moderation";
    return who;
  };
  const line = (time, ...parts) => {
    const item = document.createElement("li");
    const at = document.createElement("time");
    at.textContent = when(time);
    item.append(at, ...parts);
    return item;
  };
  const quote = (text) => {
    const body = document.createElement("span");
    body.className = "body";
    body.dir = "auto";
    body.textContent = text;
    return body;
  };
  return {
    ownLogSeen(room) {
      ownLog = room;
      const seen = Number(localStorage.getItem(`own log ${room}`) ?? -1);
      known = seen >= 0 ? seen : undefined;
      return seen;
    },
    ownLog(seq) {
      known = seq;
      keepSeen();
    },
    caseNews(id) {
      // Who looks at the list sees it there.
      if ($("cases").open) { ask((chat) => chat.cases(wantsMine, "")); return; }
      news.add(id);
      mark();
    },
    reported(problem) {
      isAsked = false;
      $("report-answer").textContent = problem;
      if (problem) return;
      $("report").close();
      $("told").textContent = "Thank you: the moderators have it.";
    },
    casesAnew(mine) {
      isMine = mine;
      // Who stood in the list stays there, and does not fall out of the dialog.
      focused = document.activeElement?.closest("#case-list li")?.dataset.case;
      if (focused) $("close-cases").focus();
      $("case-list").replaceChildren();
      $("cases-which").textContent = WHICH[mine];
      $("other-cases").textContent = wantsMine ? "What waits for a decision" : "Your own cases";
      $("other-cases").hidden = mine && !wantsMine;
    },
    caseLine(id, subject, changed, title) {
      const open = document.createElement("button");
      open.type = "button";
      open.textContent = title;
      open.addEventListener("click", () => { say(""); ask((chat) => chat.showCase(id, !isMine)); });
      const item = line(changed, open, " about ", person(subject));
      item.dataset.case = id;
      $("case-list").append(item);
      if (id === focused) open.focus();
    },
    casesEnd(before) {
      next = before;
      $("more-cases").hidden = !before;
      if (!$("case-list").firstChild) $("cases-which").textContent = "There are no cases.";
    },
    caseAnew(id, subject, title, decisions, isAppealable) {
      shown = id;
      isAsked = false;
      $("all-cases").hidden = true;
      $("case").hidden = false;
      $("case-title").replaceChildren(title, ", about ", person(subject));
      const names = decisions.split(" ");
      for (const button of document.querySelectorAll("#decide button")) button.hidden = !names.includes(button.value);
      $("decide").hidden = !decisions;
      $("appeal").hidden = !isAppealable;
      for (const form of [$("decide"), $("appeal")]) form.reset();
      $("evidence").replaceChildren();
      $("case-events").replaceChildren();
      $("case-title").focus();
    },
    caseEvent(time, actor, what, text) {
      $("case-events").append(line(time, person(actor), ` ${what} `, quote(text)));
    },
    evidence(time, author, text, isSubject) {
      const item = line(time, person(author), " ", quote(text));
      if (isSubject) item.setAttribute("aria-current", "true");
      $("evidence").append(item);
    },
    caseDone(what) {
      showList();
      say(DONE[what]);
      $("close-cases").focus();
      ask((chat) => chat.cases(wantsMine, ""));
    },
    caseRefused(text) {
      isAsked = false;
      say(text);
    },
  };
}

// The action of a message of somebody else's.
export function reportButton(room, seq, body) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "report";
  button.textContent = "Report";
  body.id = `said-${seq}`;
  button.setAttribute("aria-describedby", body.id);
  button.addEventListener("click", () => {
    about = { room, seq };
    $("told").textContent = "";
    $("report-said").textContent = body.textContent;
    $("report").showModal();
  });
  return button;
}

// Nothing of it stays for who comes next.
export function endCases() {
  $("report").close();
  $("cases").close();
  $("told").textContent = "";
  news.clear();
  mark();
}

export function bindCases(ask) {
  // Asked once, however often somebody clicks before the answer.
  const onSubmit = (id, work) => $(id).addEventListener("submit", (event) => {
    event.preventDefault();
    if (isAsked) return;
    isAsked = true;
    say("");
    $("report-answer").textContent = "";
    const name = event.submitter?.value;
    ask((chat) => work(chat, name));
  });
  onSubmit("report-form", (chat) => chat.report(about.room, about.seq, $("report-reason").value, $("report-text").value));
  onSubmit("decide", (chat, decision) => chat.decide(shown, decision, $("decide-text").value));
  onSubmit("appeal", (chat) => chat.appeal(shown, $("appeal-text").value));
  $("no-report").addEventListener("click", () => $("report").close());
  $("report").addEventListener("close", () => {
    isAsked = false;
    $("report-form").reset();
    $("report-said").textContent = $("report-answer").textContent = "";
  });
  $("open-cases").addEventListener("click", () => {
    wantsMine = false;
    news.clear();
    mark();
    keepSeen();
    $("cases").showModal();
    ask((chat) => chat.cases(false, ""));
  });
  $("other-cases").addEventListener("click", () => {
    say("");
    wantsMine = !wantsMine;
    ask((chat) => chat.cases(wantsMine, ""));
  });
  $("more-cases").addEventListener("click", () => ask((chat) => chat.cases(isMine, next)));
  $("back-to-cases").addEventListener("click", () => {
    const was = shown;
    showList();
    say("");
    ($("case-list").querySelector(`[data-case="${was}"] button`) ?? $("close-cases")).focus();
  });
  $("close-cases").addEventListener("click", () => $("cases").close());
  $("cases").addEventListener("close", () => {
    showList();
    say("");
    for (const list of ["case-list", "evidence", "case-events", "case-title"]) $(list).replaceChildren();
  });
}
