// The page: forms, a socket, a timer. What is said between client and server is the wasm session's affair.
// Everything that people wrote goes into text nodes, never into markup.
import init, { Chat } from "/assets/confab.js";

const $ = (id) => document.getElementById(id);
const names = new Map(); // user id -> display name
const typists = new Map(); // user id -> the timer that ends it
let chat, socket, timer, room, access, drafts = 0, here = new Set(), hereCount = 0, me, typedAt = 0;

const page = {
  connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const mine = new WebSocket(`${scheme}://${location.host}/ws`, "confab.v1");
    socket = mine;
    mine.binaryType = "arraybuffer";
    mine.onopen = () => soon(() => mine === socket && chat.connected());
    mine.onmessage = (event) => soon(() => mine === socket && chat.frame(new Uint8Array(event.data)));
    mine.onclose = (event) => soon(() => mine === socket && chat.disconnected(event.code >= 4000 ? event.code : 0, event.reason || "the connection was lost"));
  },
  transmit: (frame) => socket && socket.readyState === WebSocket.OPEN && socket.send(frame),
  disconnect() { const old = socket; socket = undefined; if (old) old.close(); },
  wakeIn(millis) { clearTimeout(timer); timer = setTimeout(() => chat && chat.wake(), Math.max(millis, 1)); },
  status(online, text) { $("status").textContent = text; document.body.dataset.online = online; },
  session(token) { access = token; },
  stopped(text) { showDoor(text); },
  entered(id, name) {
    room = id;
    $("room-title").textContent = name;
    $("messages").replaceChildren();
    $("trouble").textContent = "";
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
    who.textContent = names.get(author) ?? "…";
    const body = document.createElement("span");
    body.className = "body";
    body.dir = "auto";
    body.textContent = text;
    line.append(when, who, body);
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
    for (const who of document.querySelectorAll("#messages .author")) {
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

// Names of others as text; at most so many that a line holds them.
function showPeople() {
  const listed = (users) => {
    const shown = [...users].slice(0, 8).map((user) => names.get(user) ?? "…");
    return shown.join(", ") + (users.size > 8 ? " …" : "");
  };
  $("here").textContent = hereCount === 0 ? "" : `${hereCount} here` + (here.size > 0 ? `: ${listed(here)}` : "");
  $("typing").textContent = typists.size === 0 ? "" : `${listed(new Set(typists.keys()))} ${typists.size > 1 ? "are" : "is"} typing …`;
}

// The session calls the page while it works; what the page tells it must wait until it is done.
function soon(work) { queueMicrotask(() => chat && work()); }

async function account(call, extra) {
  $("problem").textContent = "";
  const body = { username: $("username").value, password: $("password").value, device: "browser", ...extra };
  // The same device each time: a user may have ten.
  const known = `device of ${body.username.toLowerCase()}`;
  if (call === "login" && localStorage.getItem(known)) body.deviceId = localStorage.getItem(known);
  try {
    const response = await fetch(`/api/v1/${call}`, {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
    });
    const answer = await response.json();
    if (!response.ok) { $("problem").textContent = answer.detail; return; }
    access = answer.accessToken;
    me = answer.userId;
    localStorage.setItem(known, answer.deviceId);
    await start(answer);
  } catch {
    $("problem").textContent = "the server does not answer";
  }
}

async function start(session) {
  await init({ module_or_path: "/assets/confab_bg.wasm" });
  $("password").value = "";
  $("door").hidden = true;
  $("room").hidden = false;
  chat = new Chat(page, session.accessToken, session.refreshToken);
  chat.wake();
  chat.enter($("room-name").value);
}

function showDoor(text) {
  chat = undefined;
  room = undefined;
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
  $("problem").textContent = text;
  $("status").textContent = "not connected";
}

$("login").addEventListener("submit", (event) => { event.preventDefault(); account("login"); });
$("do-register").addEventListener("click", () => {
  if (!$("login").reportValidity()) return;
  const token = $("owner-token").value.trim();
  account("register", token ? { ownerToken: token } : {});
});
$("enter").addEventListener("submit", (event) => { event.preventDefault(); chat.enter($("room-name").value.trim()); });
$("leave").addEventListener("click", () => {
  fetch("/api/v1/logout", { method: "POST", headers: { authorization: `Bearer ${access}` } });
  showDoor("");
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
document.body.dataset.ready = true;
