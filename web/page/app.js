// The page: forms, a socket, a timer. What is said between client and server is the wasm session's affair.
// Everything that people wrote goes into text nodes, never into markup.
import init, { Chat } from "/assets/confab.js";
import { accountPage, bindAccount, closeAccount } from "/assets/account.js";
import { bindCases, casesPage, endCases, reportButton } from "/assets/cases.js";
import { enter, leave, mayBeLoggedIn, refresh, reset, takeToken } from "/assets/login.js";

const $ = (id) => document.getElementById(id);
const names = new Map(); // user id -> display name
const typists = new Map(); // user id -> the timer that ends it
const RETRY_MS = 5000;
let chat, socket, timer, renewal, room, access, drafts = 0, here = new Set(), hereCount = 0, me, typedAt = 0, resetToken;

const page = {
  ...accountPage(soon),
  ...casesPage(soon, nameOf),
  connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const mine = new WebSocket(`${scheme}://${location.host}/ws`, "confab.v1");
    socket = mine;
    mine.binaryType = "arraybuffer";
    mine.onopen = () => soon(() => mine === socket && chat.connected());
    mine.onmessage = (event) => soon(() => mine === socket && chat.frame(new Uint8Array(event.data)));
    mine.onclose = (event) => soon(() => mine === socket && closed(event.code, event.reason || "the connection was lost"));
  },
  transmit: (frame) => socket && socket.readyState === WebSocket.OPEN && socket.send(frame),
  disconnect() { const old = socket; socket = undefined; if (old) old.close(); },
  wakeIn(millis) { clearTimeout(timer); timer = setTimeout(() => chat && chat.wake(), Math.max(millis, 1)); },
  status(online, text) { $("status").textContent = text; document.body.dataset.online = online; },
  renewIn(millis) { clearTimeout(renewal); renewal = setTimeout(renew, millis); },
  stopped(text) { showDoor(text); },
  entered(id, name) {
    room = id;
    // A reload leads back here.
    sessionStorage.setItem("room", name);
    $("room-title").textContent = name;
    $("messages").replaceChildren();
    $("trouble").textContent = $("told").textContent = "";
    for (const user of [...typists.keys()]) page.typing(room, user, 0);
    page.hereAnew(id, 0);
  },
  typing(id, user, forMs) {
    if (id !== room || user === me) return;
    clearTimeout(typists.get(user));
    if (forMs > 0) typists.set(user, setTimeout(() => page.typing(id, user, 0), forMs)); else typists.delete(user);
    showPeople();
  },
  hereAnew(id, count) {
    if (id !== room) return;
    page.count(id, count);
  },
  here(id, user, isShown) {
    if (id !== room) return;
    // Where people are counted there is no list.
    if (here.size === 0 && hereCount > 0 && !isShown) return;
    if (isShown) here.add(user); else here.delete(user);
    hereCount = here.size;
    showPeople();
  },
  count(id, count) {
    if (id !== room) return;
    here = new Set();
    hereCount = count;
    showPeople();
  },
  entry(id, seq, time, author, kind, text) {
    if (kind === "message") page.typing(id, author, 0);
    if (id !== room || document.querySelector(`#messages li[data-seq="${seq}"]`)) return;
    const line = document.createElement("li");
    line.dataset.seq = seq;
    line.className = kind;
    const when = document.createElement("time");
    when.textContent = new Date(time).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    const who = document.createElement("span");
    who.className = "author";
    who.dataset.user = author;
    who.textContent = nameOf(author);
    const body = document.createElement("span");
    body.className = "body";
    body.dir = "auto";
    body.textContent = text;
    line.append(when, who, body);
    if (kind === "message" && author !== me) line.append(reportButton(id, seq, body));
    // Entries come in order; a page of history may come after the first live ones.
    const after = [...$("messages").children].find((other) => Number(other.dataset.seq) > seq);
    $("messages").insertBefore(line, after ?? null);
    line.scrollIntoView({ block: "end" });
  },
  changed(id, seq, text) {
    const body = id === room && document.querySelector(`#messages li[data-seq="${seq}"] .body`);
    if (!body) return;
    body.textContent = text;
    body.parentElement.dataset.edited = true;
  },
  removed(id, seq) {
    if (id === room) document.querySelector(`#messages li[data-seq="${seq}"]`)?.remove();
  },
  name(user, name) {
    names.set(user, name);
    showPeople();
    for (const who of document.querySelectorAll(".author")) {
      if (who.dataset.user === user) who.textContent = name;
    }
  },
  failed(what, text) { $("trouble").textContent = text; },
  acknowledged(draft, text) {
    const line = $(`draft-${draft}`);
    if (!line) return;
    if (text) line.textContent = `${line.textContent} (${text})`; else line.remove();
  },
};

function nameOf(user) { return names.get(user) ?? "…"; }

// Names of others as text; at most so many that a line holds them.
function showPeople() {
  const listed = (users) => {
    const shown = [...users].slice(0, 8).map(nameOf);
    return shown.join(", ") + (users.size > 8 ? " …" : "");
  };
  $("here").textContent = hereCount === 0 ? "" : `${hereCount} here` + (here.size > 0 ? `: ${listed(here)}` : "");
  $("typing").textContent = typists.size === 0 ? "" : `${listed(new Set(typists.keys()))} ${typists.size > 1 ? "are" : "is"} typing …`;
}

// The session calls the page while it works; what the page tells it must wait until it is done.
function soon(work) { queueMicrotask(() => chat && work(chat)); }

// Close codes 4200 to 4203 ask for other credentials: the cookie may have some.
async function closed(code, reason) {
  const mine = socket;
  if (code >= 4200 && code <= 4203) {
    code = 0;
    await renew(reason);
  }
  if (chat && mine === socket) chat.disconnected(code >= 4000 ? code : 0, reason);
}

// Another access token, before the old one expires or after the server refused it (which has its reason).
async function renew(reason) {
  clearTimeout(renewal);
  const mine = chat;
  const { session, problem, isFinal } = await refresh();
  if (!mine || mine !== chat) return;
  if (session?.userId === me) { access = session.accessToken; chat.renew(access); return; }
  if (session) { showDoor("this browser was logged in to another account"); return; }
  if (isFinal) showDoor(reason ?? problem); else renewal = setTimeout(renew, RETRY_MS);
}

async function account(name, extra) {
  say("");
  const answer = await enter(name, { username: $("username").value, password: $("password").value, ...extra });
  if (answer.session) return start(answer.session);
  say(answer.problem);
  // Registration is closed but to who was invited.
  if (answer.code === 2004) $("invited").open = true;
}

async function start(session) {
  access = session.accessToken;
  me = session.userId;
  try { await init({ module_or_path: "/assets/confab_bg.wasm" }); } catch { showDoor("the server does not answer"); return; }
  $("password").value = "";
  $("invite").value = "";
  // For the browser's store of passwords: whose the changed one is.
  $("account-name").defaultValue = session.username;
  $("door").hidden = true;
  $("room").hidden = false;
  chat = new Chat(page, access);
  chat.wake();
  chat.enter($("room-name").value);
}

// What stands at the door: a problem, or news.
function say(problem, news = "") {
  $("problem").textContent = problem;
  $("news").textContent = news;
}

function showReset(isShown) {
  $("reset").hidden = !isShown;
  $("login").hidden = isShown;
}

function showDoor(text) {
  chat = undefined;
  room = undefined;
  access = undefined;
  clearTimeout(renewal);
  closeAccount();
  endCases();
  sessionStorage.removeItem("room");
  names.clear();
  for (const timer of typists.values()) clearTimeout(timer);
  typists.clear();
  here = new Set();
  hereCount = 0;
  showPeople();
  $("drafts").replaceChildren();
  $("messages").replaceChildren();
  clearTimeout(timer);
  page.disconnect();
  $("room").hidden = true;
  $("door").hidden = false;
  say(text);
  $("status").textContent = "not connected";
}

// Logged in still, by the cookie; or somebody comes with a link.
async function arrive() {
  const token = takeToken();
  $("room-name").value = sessionStorage.getItem("room") ?? $("room-name").value;
  if (token.reset) {
    showReset(true);
    resetToken = token.reset;
  } else if (token.invite) {
    $("invite").value = token.invite;
    $("invited").open = true;
  } else if (mayBeLoggedIn()) {
    $("door").hidden = true;
    const { session, problem } = await refresh();
    if (session) await start(session); else showDoor(problem);
  }
  document.body.dataset.ready = true;
}

$("login").addEventListener("submit", (event) => { event.preventDefault(); account("login"); });
$("do-register").addEventListener("click", () => {
  if (!$("login").reportValidity()) return;
  account("register", { ownerToken: $("owner-token").value.trim(), invite: $("invite").value.trim() });
});
$("reset").addEventListener("submit", async (event) => {
  event.preventDefault();
  say("");
  const { session, problem } = await reset(resetToken, $("reset-password").value);
  if (!session) { say(problem); return; }
  $("reset").reset();
  showReset(false);
  say("", "The password is set: log in with it.");
});
$("no-reset").addEventListener("click", () => location.reload());
// A link of the kind, opened where the page is already.
addEventListener("hashchange", () => { if (/^#(invite|reset)=/.test(location.hash)) location.reload(); });
$("enter").addEventListener("submit", (event) => { event.preventDefault(); chat.enter($("room-name").value.trim()); });
$("leave").addEventListener("click", async () => {
  const left = leave(access);
  showDoor("");
  const { problem, isFinal } = await left;
  if (problem && !isFinal) say(`${problem}: this browser may still be logged in`); else say("", "Logged out.");
});
$("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value;
  if (!text.trim()) return;
  const line = document.createElement("li");
  line.id = `draft-${++drafts}`;
  line.textContent = text;
  $("drafts").append(line);
  $("text").value = "";
  typedAt = 0;
  chat.say(room ?? "", text, drafts);
});
$("text").addEventListener("input", () => {
  const isWriting = $("text").value.trim() !== "";
  // Said again before it is over for the others; a message that comes ends it there.
  if (isWriting && Date.now() - typedAt > 4000) { typedAt = Date.now(); chat.typing(false); }
  if (!isWriting && typedAt) { typedAt = 0; chat.typing(true); }
});
$("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); $("say").requestSubmit(); }
});
bindAccount(soon);
bindCases(soon);
arrive();
