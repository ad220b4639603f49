//! Refresh tokens of browsers, in a cookie: what it is set as, who may send it, and when it goes.

use serde_json::{Value, json};

use super::http::{Answer, JSON, ask, bare_server, request};
use crate::support::TestServer;
use crate::support::people::PASSWORD;

const OWN: &str = "origin: http://localhost\r\n";
const NAME: &str = "__Host-confab-refresh";
const COOKIE_BODY: &str = "{}";

async fn post(server: &TestServer, path: &str, headers: &str, body: &str) -> Answer {
    ask(server.addresses.http, request("POST", &format!("/api/v1/{path}"), headers, body)).await
}

fn json(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("no JSON: {}", answer.body))
}

fn account(name: &str) -> String {
    json!({ "username": name, "password": PASSWORD, "cookie": true }).to_string()
}

/// The token that an answer sets; its attributes are looked at as well.
fn token(answer: &Answer) -> String {
    let cookies: Vec<&str> = answer.head.lines().filter(|line| line.starts_with("set-cookie:")).collect();
    let [cookie] = cookies[..] else { panic!("{} cookies: {}", cookies.len(), answer.head) };
    let mut parts = cookie.trim_start_matches("set-cookie:").trim().split("; ");
    let token = parts.next().unwrap().strip_prefix(&format!("{NAME}=")).unwrap().to_owned();
    let mut attributes: Vec<&str> = parts.collect();
    attributes.sort_unstable();
    let [http_only, max_age, path, same_site, secure] = attributes[..] else { panic!("{attributes:?}") };
    assert_eq!([http_only, path, same_site, secure], ["HttpOnly", "Path=/", "SameSite=Strict", "Secure"]);
    let seconds: u64 = max_age.strip_prefix("Max-Age=").unwrap().parse().unwrap();
    let week = 7 * 24 * 3600;
    let is_cleared = token.is_empty() && seconds == 0;
    assert!(is_cleared || (!token.is_empty() && (week - 60..=week).contains(&seconds)), "{cookie}");
    token
}

fn cookie(token: &str) -> String {
    format!("{JSON}{OWN}cookie: theme=dark; {NAME}={token}\r\n")
}

/// Registers as the page does: the cookie's token and the access token.
async fn register(server: &TestServer, name: &str) -> (String, String) {
    let answer = post(server, "register", &format!("{JSON}{OWN}"), &account(name)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    (token(&answer), json(&answer)["accessToken"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_in_the_cookie_or_in_the_answer_and_is_spent_once() {
    let server = bare_server().await;
    let registered = post(&server, "register", &format!("{JSON}{OWN}"), &account("alice")).await;
    let first = token(&registered);
    let answer = json(&registered);
    assert!(answer["accessToken"].is_string() && answer["refreshExpiresMs"].is_u64(), "{answer}");
    assert!(!registered.body.contains(&first) && answer.get("refreshToken").is_none(), "{answer}");
    assert_eq!(registered.header("cache-control"), Some("no-store"));

    let refreshed = post(&server, "refresh", &cookie(&first), COOKIE_BODY).await;
    assert_eq!(refreshed.status, 200, "{}", refreshed.body);
    let second = token(&refreshed);
    assert_ne!(first, second);
    assert!(json(&refreshed).get("refreshToken").is_none());
    assert_eq!(json(&refreshed)["deviceId"], answer["deviceId"], "the same login goes on");

    // A program asks for no cookie, and gets none.
    let program = json!({ "username": "alice", "password": PASSWORD }).to_string();
    let login = post(&server, "login", JSON, &program).await;
    assert_eq!(login.header("set-cookie"), None);
    let mine = json(&login)["refreshToken"].as_str().unwrap().to_owned();
    let body = json!({ "refreshToken": mine }).to_string();
    let refreshed = post(&server, "refresh", &cookie(&second), &body).await;
    assert_eq!((refreshed.status, refreshed.header("set-cookie")), (200, None), "that of the body counts");
    assert!(json(&refreshed)["refreshToken"].is_string());
    assert_eq!(post(&server, "refresh", &cookie(&second), COOKIE_BODY).await.status, 200, "it was not touched");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_servers_own_pages_send_it() {
    let server = bare_server().await;
    let (refresh_token, access_token) = register(&server, "alice").await;
    let sent = format!("cookie: {NAME}={refresh_token}\r\n");
    let bearer = format!("authorization: Bearer {access_token}\r\n");
    let strangers = [
        "",
        "origin: null\r\n",
        "origin: https://evil.example\r\n",
        "origin: http://localhost.evil.example\r\n",
        "origin: http://localhost:81\r\n",
        "origin: http://localhost\r\norigin: https://evil.example\r\n",
        "sec-fetch-site: same-site\r\n",
        "sec-fetch-site: none\r\n",
        "sec-fetch-site: cross-site\r\n",
        "sec-fetch-site: same-origin\r\norigin: https://evil.example\r\n",
    ];
    for stranger in strangers {
        let headers = format!("{JSON}{stranger}");
        for (path, headers, body) in [
            ("refresh", format!("{headers}{sent}"), COOKIE_BODY),
            ("logout", format!("{headers}{sent}"), COOKIE_BODY),
            ("logout", format!("{headers}{sent}{bearer}"), COOKIE_BODY),
            ("login", headers.clone(), &account("alice")),
            ("register", headers.clone(), &account("mallory")),
        ] {
            let answer = post(&server, path, &headers, body).await;
            assert_eq!(answer.status, 403, "{path} {headers}");
            assert_eq!(answer.header("set-cookie"), None, "{path} {headers}");
        }
    }
    // What a form of a stranger's page can say.
    for kind in ["", "content-type: text/plain\r\n", "content-type: application/x-www-form-urlencoded\r\n"] {
        for path in ["refresh", "logout"] {
            assert_eq!(
                post(&server, path, &format!("{kind}{OWN}{sent}"), COOKIE_BODY).await.status,
                415,
                "{path} {kind}"
            );
        }
    }
    // Nothing of it spent the token or ended the login.
    let same_origin = format!("{JSON}sec-fetch-site: same-origin\r\n{sent}");
    assert_eq!(post(&server, "refresh", &same_origin, COOKIE_BODY).await.status, 200);
    let none = post(&server, "refresh", &format!("{JSON}{OWN}"), COOKIE_BODY).await;
    assert_eq!((none.status, none.header("set-cookie")), (401, None), "there is no cookie");
}

#[tokio::test(flavor = "multi_thread")]
async fn logging_out_clears_it_also_when_the_access_token_has_expired() {
    let server = bare_server().await;
    let (refresh_token, access_token) = register(&server, "alice").await;
    let bearer = format!("authorization: Bearer {access_token}\r\n");
    let left = post(&server, "logout", &format!("{}{bearer}", cookie(&refresh_token)), COOKIE_BODY).await;
    assert_eq!((left.status, token(&left).as_str()), (204, ""));
    assert_eq!(post(&server, "logout", &format!("{JSON}{bearer}"), COOKIE_BODY).await.status, 401, "it has ended");
    let refused = post(&server, "refresh", &cookie(&refresh_token), COOKIE_BODY).await;
    assert_eq!((refused.status, token(&refused).as_str()), (401, ""), "a cookie that is good for nothing is cleared");

    let (refresh_token, access_token) = register(&server, "bob").await;
    let expired = format!("{}authorization: Bearer a.b.c\r\n", cookie(&refresh_token));
    let left = post(&server, "logout", &expired, COOKIE_BODY).await;
    assert_eq!((left.status, token(&left).as_str()), (204, ""), "the cookie alone is enough");
    let bearer = format!("{JSON}authorization: Bearer {access_token}\r\n");
    assert_eq!(post(&server, "logout", &bearer, COOKIE_BODY).await.status, 401, "the login has ended");

    let nothing = post(&server, "logout", &cookie("nothing"), COOKIE_BODY).await;
    assert_eq!((nothing.status, token(&nothing).as_str()), (401, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_cookie_ends_the_login_for_both() {
    let server = bare_server().await;
    let (first, access_token) = register(&server, "alice").await;
    let second = token(&post(&server, "refresh", &cookie(&first), COOKIE_BODY).await);
    let third = token(&post(&server, "refresh", &cookie(&second), COOKIE_BODY).await);
    // Within the grace, but the next one was spent already.
    let stolen = post(&server, "refresh", &cookie(&first), COOKIE_BODY).await;
    assert_eq!((stolen.status, token(&stolen).as_str()), (401, ""));
    let refused = post(&server, "refresh", &cookie(&third), COOKIE_BODY).await;
    assert_eq!((refused.status, token(&refused).as_str()), (401, ""));
    let bearer = format!("{JSON}authorization: Bearer {access_token}\r\n");
    assert_eq!(post(&server, "logout", &bearer, COOKIE_BODY).await.status, 401);
    assert_eq!(server.metric(r#"confab_logins_total{outcome="refresh_reused"}"#).await, 1.0);
}

/// A limit says nothing of the cookie: it stays. And whoever tries what is no token keeps no neighbour from renewing.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_passes_leaves_it() {
    let server = TestServer::start_with(|config| {
        config.plugins.chain.clear();
        config.limits.strangers_per_minute = 1;
    })
    .await;
    let (refresh_token, _) = register(&server, "alice").await;
    let guess = "A".repeat(refresh_token.len());
    let tried = async || post(&server, "refresh", &cookie(&guess), COOKIE_BODY).await;
    // Ten in a minute.
    for _ in 0..10 {
        assert_eq!(tried().await.status, 401);
    }
    let limited = tried().await;
    assert_eq!((limited.status, limited.header("set-cookie")), (429, None));
    assert_eq!(post(&server, "refresh", &cookie(&refresh_token), COOKIE_BODY).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_is_for_pages_that_are_allowed_and_tokens_that_are_good() {
    let server = bare_server().await;
    let body = json!({ "token": "nothing", "password": "another horse" }).to_string();
    assert_eq!(post(&server, "reset", &format!("{JSON}origin: https://evil.example\r\n"), &body).await.status, 403);
    assert_eq!(post(&server, "reset", OWN, &body).await.status, 415);
    let refused = post(&server, "reset", &format!("{JSON}{OWN}"), &body).await;
    assert_eq!((refused.status, &json(&refused)["code"]), (403, &Value::from(2008)), "{}", refused.body);
}
