// Logging in, over HTTP. The refresh token is in a cookie that no script reads; the access token is in memory only.

// Says that there may be such a cookie: a browser that never logged in asks for nothing.
const HINT = "logged in";

export const mayBeLoggedIn = () => localStorage.getItem(HINT) !== null;

// A session (or {}), or a problem; one that is final is not tried again.
async function call(name, body, access) {
  const headers = { "content-type": "application/json" };
  if (access) headers.authorization = `Bearer ${access}`;
  try {
    const response = await fetch(`/api/v1/${name}`, { method: "POST", headers, body: JSON.stringify(body) });
    if (response.status === 204) return { session: {} };
    const answer = await response.json();
    if (response.ok) return { session: answer };
    return { problem: answer.detail, code: answer.code, isFinal: [401, 403].includes(response.status) };
  } catch {
    return { problem: "the server does not answer" };
  }
}

// `login` or `register`.
export async function enter(name, body) {
  // The same device each time: a user may have ten.
  const known = `device of ${body.username.toLowerCase()}`;
  if (name === "login" && localStorage.getItem(known)) body.deviceId = localStorage.getItem(known);
  const answer = await call(name, { ...body, device: "browser", cookie: true });
  if (answer.session) {
    localStorage.setItem(known, answer.session.deviceId);
    localStorage.setItem(HINT, "");
  }
  return answer;
}

// One tab at a time, so that each of them spends the cookie that the one before it got.
export async function refresh() {
  const ask = () => call("refresh", {});
  const answer = navigator.locks ? await navigator.locks.request("confab refresh", ask) : await ask();
  if (answer.isFinal) localStorage.removeItem(HINT);
  return answer;
}

// With an access token that has expired the cookie alone ends the login.
export async function leave(access) {
  const answer = await call("logout", {}, access);
  if (answer.session || answer.isFinal) localStorage.removeItem(HINT);
  return answer;
}

export const reset = (token, password) => call("reset", { token, password });

// A token in the link that led here, as `#invite=` or `#reset=`: no server and no log sees it, nor does the history keep it.
export function takeToken() {
  const [, kind, token] = location.hash.match(/^#(invite|reset)=([\w-]+)$/) ?? [];
  if (kind) history.replaceState(null, "", location.pathname);
  return kind ? { [kind]: token } : {};
}

export const tokenLink = (kind, token) => `${location.origin}/#${kind}=${token}`;
