// The dialog of one's account: logins, password, and what those do with other accounts who run the server.
import { tokenLink } from "/assets/login.js";

const $ = (id) => document.getElementById(id);
const when = (millis) => new Date(millis).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
const DONE = { logins: "Ended.", password: "The password is changed; your other logins have ended.", others: "Done." };

function say(text) { $("account-answer").textContent = text; }

function showLink(link) {
  $("link").hidden = !link;
  $("link-text").value = link;
}

// What the session tells; `ask` hands work to it.
export function accountPage(ask) {
  return {
    identified(user, role) {
      const isAdmin = role === "owner" || role === "admin";
      const isStaff = isAdmin || role === "moderator";
      for (const form of document.querySelectorAll("#account form.staff")) form.hidden = !isStaff;
      for (const option of document.querySelectorAll("#deed .admin")) option.hidden = option.disabled = !isAdmin;
      $("deed").value = isAdmin ? "reset" : "mute";
    },
    loginsAnew() {
      // Who stood in the list does not fall out of the dialog.
      if ($("logins").contains(document.activeElement)) $("end-others").focus();
      $("logins").replaceChildren();
    },
    login(device, name, created, seen, kind) {
      const line = document.createElement("li");
      line.dataset.device = device;
      line.dataset.kind = kind;
      const what = document.createElement("span");
      what.className = "name";
      what.textContent = name || "without a name";
      const times = document.createElement("small");
      times.textContent = `since ${when(created)}, last seen ${when(seen)}`;
      line.append(what, { current: " (this one)", key: " (API key)" }[kind] ?? "", times);
      if (kind !== "current") {
        const end = document.createElement("button");
        end.type = "button";
        end.textContent = "End";
        end.setAttribute("aria-label", `End ${name}, since ${when(created)}`);
        end.addEventListener("click", () => { say(""); ask((chat) => chat.endLogin(device)); });
        line.append(end);
      }
      $("logins").append(line);
    },
    done(form, token, expires) {
      say(token ? `Hand over this link; it is good until ${when(expires)}.` : DONE[form]);
      showLink(token && tokenLink(form === "invite" ? "invite" : "reset", token));
      if (form === "password") { $("change-password").reset(); ask((chat) => chat.logins()); }
    },
    refused(form, text) { say(text); showLink(""); },
  };
}

export function closeAccount() {
  for (const form of document.querySelectorAll("#account form")) form.reset();
  $("logins").replaceChildren();
  say("");
  showLink("");
  $("account").close();
}

export function bindAccount(ask) {
  const onSubmit = (id, work) => $(id).addEventListener("submit", (event) => {
    event.preventDefault();
    say("");
    showLink("");
    ask(work);
  });
  $("open-account").addEventListener("click", () => { $("account").showModal(); ask((chat) => chat.logins()); });
  $("close-account").addEventListener("click", closeAccount);
  $("account").addEventListener("cancel", closeAccount);
  $("end-others").addEventListener("click", () => { say(""); ask((chat) => chat.endOtherLogins()); });
  onSubmit("change-password", (chat) => chat.changePassword($("current-password").value, $("new-password").value));
  onSubmit("invite-account", (chat) => chat.inviteAccount($("invite-uses").valueAsNumber, $("invite-hours").valueAsNumber));
  onSubmit("others", (chat) => chat.steward($("others-name").value, $("deed").value, $("others-hours").valueAsNumber));
  $("copy-link").addEventListener("click", async () => {
    $("link-text").select();
    try { await navigator.clipboard.writeText($("link-text").value); say("Copied."); } catch { say("Copy what is marked."); }
  });
}
