//! Secrets that are planted where they belong must not turn up anywhere else: not in a log, however talkative, not in
//! metrics or refusals, and passwords and tokens not in the database either; what people say only there, and not even
//! there when it is sealed.

mod journey;
mod places;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use confab_protocol::command::Secret;

use self::journey::{CLIENT, Canaries, Journey, Kind};
use self::places::{KEY_FOLDERS, Places};
use crate::support::TRANSPORTS;
use crate::support::postgres::Cluster;
use crate::support::process::{Finished, Place, eventually, run};
use crate::support::raw::Target;

/// What an operator may write who wants to see everything, but for the compilers of plugins, which see no secret and would
/// write gigabytes. Libraries that print what passes through them are asked by their innermost names.
const TALKATIVE: &str = "trace,cranelift_codegen=info,cranelift_frontend=info,regalloc2=info,wasmtime=info,\
    wasmtime_environ=info,wasmtime_cranelift=info,wasmtime_internal_cranelift=info,wasmtime_internal_environ=info,\
    tungstenite::protocol=trace,tungstenite::protocol::frame=trace,tokio_tungstenite=trace,hyper::proto::h1::io=trace,\
    rustls::server=trace,tokio_postgres::query=trace,tokio_postgres::prepare=trace";
/// Bytes of the pieces of a key that are looked for.
const PIECE_BYTES: usize = 16;
/// Lines of configuration that let a whole journey pass.
const LIMITS: &str = "limits.login_tries = 1000\n";

/// A server with what it printed, and the operator's commands beside it.
struct Stage {
    place: Place,
    filter: Option<&'static str>,
    canaries: Canaries,
    printed: Vec<Finished>,
}

impl Stage {
    /// `filter`: none is the default of the server, not that of tests.
    fn new(keys: &str, filter: Option<&'static str>) -> Self {
        let place = Place::with(&format!("{LIMITS}{keys}"));
        Self { place, filter, canaries: Canaries::default(), printed: Vec::new() }
    }

    fn filter(&self) -> String {
        self.filter.map_or_else(|| confab::config::Config::default().log.filter, str::to_owned)
    }

    fn operator(&mut self, arguments: &[&str]) -> String {
        let mut command = self.place.command(arguments);
        let done = run(command.env("CONFAB__LOG__FILTER", self.filter()), "");
        assert_eq!(done.code, Some(0), "{done:?}");
        let printed = done.out.trim().to_owned();
        self.printed.push(done);
        printed
    }

    /// The whole of it: over both transports, over HTTP, and what an operator does.
    async fn plant(&mut self) {
        let owner_token = self.place.out().split_whitespace().find(|word| word.len() == 24).unwrap().to_owned();
        self.canaries.secret("owner token", &owner_token);
        self.operator(&["bot", "create", "robot"]);
        let key = self.operator(&["bot", "key", "robot"]);
        self.canaries.secret("API key", key.trim_start_matches("confab_"));
        let target = Target::new(self.place.http, self.place.quic, &self.place.data_dir);
        let password = self.canaries.password("password of the owner");
        for (transport, owner_token) in TRANSPORTS.into_iter().zip([Some(owner_token.as_str()), None]) {
            let (password, key) = (password.clone(), Secret::new(key.clone()));
            let canaries = &mut self.canaries;
            Journey { target: &target, transport, canaries, password, key }.go(owner_token).await;
        }
        self.plant_by_http();
        for (what, arguments) in [
            ("minted token", &["token", "mint", "carol"][..]),
            ("operator's reset ticket", &["user", "reset-password", "carol"]),
            ("operator's invitation", &["user", "invite"]),
        ] {
            let printed = self.operator(arguments);
            let secret = printed.split_whitespace().max_by_key(|word| word.len()).unwrap();
            self.canaries.access_token(what, secret);
        }
        self.operator(&["user", "sessions", "carol"]);
        self.operator(&["token", "keys", "rotate"]);
    }

    fn plant_by_http(&mut self) {
        let canaries = &mut self.canaries;
        let text = |secret: Secret| secret.expose().to_owned();
        let [right, wrong, unknown, token] =
            ["password by HTTP", "wrong password by HTTP", "key by HTTP", "token by HTTP"]
                .map(|what| text(canaries.password(what)));
        let name = canaries.sow(Kind::Name, "device by HTTP");
        let body = |password: &str| format!(r#"{{"username":"carol","password":"{password}","device":"{name}"}}"#);
        let good = post(&self.place, "register", "", &body(&right));
        let tokens = |answer: &str| -> [String; 2] {
            let (_, body) = answer.split_once("\r\n\r\n").unwrap();
            let json: serde_json::Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}"));
            ["accessToken", "refreshToken"].map(|key| json[key].as_str().unwrap().to_owned())
        };
        let [access, refresh] = tokens(&good);
        let again = tokens(&post(&self.place, "login", "", &body(&right)));
        let last = tokens(&post(&self.place, "refresh", "", &format!(r#"{{"refreshToken":"{refresh}"}}"#)));
        for tokens in [&[access.clone(), refresh.clone()], &again, &last] {
            canaries.access_token("access token by HTTP", &tokens[0]);
            canaries.secret("refresh token by HTTP", &tokens[1]);
        }
        let bearer = |token: &str| format!("authorization: Bearer {token}\r\n");
        for (path, headers, body) in [
            ("register", "", body(&right)),
            ("login", "", body(&wrong)),
            ("login", "", format!(r#"{{"username":"carol","{unknown}":1}}"#)),
            ("login", "", format!(r#"{{"password":"{right}"#)),
            ("login", "", format!(r#"{{"username":"{unknown}","password":"{right}","deviceId":"{wrong}"}}"#)),
            ("refresh", "", format!(r#"{{"refreshToken":"{token}"}}"#)),
            ("logout", &bearer(&token), String::new()),
            ("logout", &bearer(&[&access, "AAAA"].concat()), String::new()),
            (&token, &format!("cookie: session={token}\r\n"), token.clone()),
        ] {
            canaries.answers.push(post(&self.place, path, headers, &body));
        }
        for path in [format!("/ws?token={access}"), format!("/assets/{token}"), format!("/{token}")] {
            canaries
                .answers
                .push(http(&self.place, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")));
        }
        post(&self.place, "logout", &bearer(&last[0]), "");
    }

    /// The bytes of every private key of the server, whole and in pieces.
    fn plant_keys(&mut self) {
        let mut files: Vec<PathBuf> = Vec::new();
        for folder in KEY_FOLDERS {
            let entries = std::fs::read_dir(self.place.data_dir.join(folder)).unwrap().flatten();
            files.extend(entries.map(|entry| entry.path()).filter(|path| !is_public(path)));
        }
        assert!(files.len() >= 4, "tokens, passwords, resets, TLS: {files:?}");
        for path in files {
            let (bytes, name) = (std::fs::read(&path).unwrap(), path.display().to_string());
            // A key is told by any large part of it.
            for piece in bytes.chunks_exact(PIECE_BYTES) {
                self.canaries.secret(&format!("a piece of {name}"), piece);
            }
        }
    }

    /// Looks for every canary in everything that is written and is no store.
    fn search(&self, planted_in_log: &[&str]) {
        let mut places = Places::default();
        let folder = self.place.folder.path();
        places.add("log", std::fs::read(folder.join("err")).unwrap());
        places.add("metrics", self.place.ops_get("/metrics").expect("metrics").1);
        for path in ["/healthz", "/readyz"] {
            places.add(path, self.place.ops_get(path).expect(path).1);
        }
        places.add("what commands log", self.printed.iter().map(|done| done.err.as_str()).collect::<String>());
        places.add("refusals", self.canaries.answers.join("\n"));
        let mut printed = Places::default();
        printed.add("standard output", self.place.out());
        // The search finds what is there, in each of them.
        planted_in_log.iter().for_each(|marker| places.assert_finds("log", marker));
        places.assert_finds("metrics", "confab_requests_total");
        places.assert_finds("refusals", "this invitation is not good");
        places.assert_finds("/readyz", "plugins ok");
        printed.assert_finds("standard output", "owns the server");
        let mut found = Vec::new();
        for (_, what, canary) in &self.canaries.planted {
            let in_one = |place| format!("{what} in {place}");
            found.extend(places.find(canary).into_iter().map(in_one));
            // Its place is there, and there alone.
            if what != "owner token" {
                found.extend(printed.find(canary).into_iter().map(in_one));
            }
        }
        assert!(found.is_empty(), "{} of {}: {found:#?}", found.len(), self.canaries.planted.len());
        let documented = documented_commands();
        assert!(documented == self.canaries.commands, "planted in {:?} of {documented:?}", self.canaries.commands);
    }

    /// Looks for what must not be in the store.
    fn search_store(&self, store: &Places, kinds: &[Kind]) {
        let canaries = self.canaries.planted.iter().filter(|(kind, ..)| kinds.contains(kind));
        let found: Vec<String> = canaries
            .flat_map(|(_, what, canary)| store.find(canary).into_iter().map(move |place| format!("{what} in {place}")))
            .collect();
        assert!(found.is_empty(), "{found:#?}");
        let (_, _, name) = self.canaries.planted.iter().find(|(_, what, _)| what == "topic").unwrap();
        assert!(!store.find(name).is_empty(), "the search finds what is there");
    }

    fn said(&self, what: &str) -> &[u8] {
        &self.canaries.planted.iter().find(|(_, other, _)| other == what).unwrap().2
    }
}

fn is_public(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_string_lossy();
    name.contains("cert") || name.contains("fingerprint") || name.contains("owner-token")
}

/// Those that docs/PERMISSIONS.md lists, which is made from what the server knows.
fn documented_commands() -> BTreeSet<String> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/PERMISSIONS.md")).unwrap();
    let (_, table) = text.split_once("| command |").unwrap();
    table.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned())).collect()
}

fn http(place: &Place, request: &str) -> String {
    let mut stream = TcpStream::connect(place.http).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn post(place: &Place, path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    let head = format!("POST /api/v1/{path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}");
    http(place, &format!("{head}content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"))
}

/// The plugins of the stage: the stock one, and one that logs and fails as messages tell it.
fn plugins() -> (std::sync::Arc<tempfile::TempDir>, String) {
    let folder = crate::plugin::folder();
    let keys = format!(
        "plugins.dir = {:?}\nplugins.chain = [\"sanitize\", \"hostile\"]\nplugins.grant.hostile = [\"log\", \"kv\"]\n",
        folder.path()
    );
    (folder, keys)
}

#[tokio::test(flavor = "multi_thread")]
async fn planted_secrets_stay_where_they_are() {
    let (_plugins, keys) = plugins();
    let mut stage = Stage::new(&keys, Some(TALKATIVE));
    let _server = stage.place.serve_by(stage.place.command(&["serve"]).env("CONFAB__LOG__FILTER", TALKATIVE));
    stage.plant().await;
    stage.plant_keys();
    stage.search(&[CLIENT, "storm", "a plugin failed", "TRACE"]);
    let mut store = Places::default();
    store.add_folder(&stage.place.data_dir);
    store.assert_finds("confab.db", "member-quic");
    assert!(!store.find(stage.said("body of a bot")).is_empty(), "what is not sealed is in the store");
    stage.search_store(&store, &[Kind::Secret]);
}

/// As it is shipped, with what people say sealed.
#[tokio::test(flavor = "multi_thread")]
async fn planted_secrets_and_words_stay_where_they_are_in_a_sealed_store() {
    let keys = tempfile::tempdir().unwrap();
    let path = keys.path().join("seal-keys");
    let mut stage = Stage::new(&format!("store.seal_keys = {path:?}\nstore.sealed_search = \"hashed\""), None);
    stage.operator(&["seal", "new-key"]);
    let filter = stage.filter();
    let _server = stage.place.serve_by(stage.place.command(&["serve"]).env("CONFAB__LOG__FILTER", filter));
    stage.plant().await;
    stage.plant_keys();
    for word in std::fs::read_to_string(&path).unwrap().split_whitespace().filter(|word| word.len() >= PIECE_BYTES) {
        stage.canaries.secret("key of the seal", word);
    }
    stage.search(&["plugin loaded"]);
    let mut store = Places::default();
    store.add_folder(&stage.place.data_dir);
    stage.search_store(&store, &[Kind::Secret, Kind::Said]);
}

/// The client library of the database prints what it is given, when it is asked to; and the database logs, too.
#[tokio::test(flavor = "multi_thread")]
async fn planted_secrets_stay_where_they_are_with_a_database() {
    let (_plugins, keys) = plugins();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    let mut stage = Stage::new(&format!("{keys}store.password_file = {file:?}"), Some(TALKATIVE));
    let (password, wrong) = (stage.canaries.password("database's"), stage.canaries.password("wrong database's"));
    let secret = password.expose().to_owned();
    let (url, name) = tokio::task::spawn_blocking(move || database_with(&secret)).await.unwrap();
    let config = stage.place.config_file();
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(config, format!("{text}store.url = {url:?}\n")).unwrap();

    // That the password matters is heard with the first reload of who may come.
    std::fs::write(&file, wrong.expose()).unwrap();
    let refused = eventually("the database wants its password", || {
        let mut command = stage.place.command(&["migrate"]);
        let done = run(command.env("CONFAB__LOG__FILTER", TALKATIVE), "");
        (done.code != Some(0)).then_some(done)
    });
    assert!(refused.err.contains("password"), "{refused:?}");
    stage.printed.push(refused);
    std::fs::write(&file, format!("{}\n", password.expose())).unwrap();
    let _server = stage.place.serve_by(stage.place.command(&["serve"]).env("CONFAB__LOG__FILTER", TALKATIVE));
    stage.plant().await;
    stage.plant_keys();
    stage.search(&[CLIENT, "storm", "TRACE"]);
    let mut store = Places::default();
    let dump = tokio::task::spawn_blocking(move || Cluster::shared().dump(&name)).await.unwrap();
    store.add("dump", dump);
    let log = Cluster::shared().data_dir().with_file_name("log");
    store.add("log of the database", std::fs::read(log).unwrap());
    store.assert_finds("log of the database", "database system is ready");
    assert!(!store.find(stage.said("body of a bot")).is_empty(), "what is not sealed is in the store");
    stage.search_store(&store, &[Kind::Secret]);
}

/// A database for a user who needs this password, and its name.
fn database_with(password: &str) -> (String, String) {
    let cluster = Cluster::shared();
    let name = cluster.fresh_database();
    cluster.sql("postgres", &format!("CREATE ROLE canary LOGIN SUPERUSER PASSWORD '{password}'"));
    let file = cluster.data_dir().join("pg_hba.conf");
    let rules = std::fs::read_to_string(&file).unwrap();
    std::fs::write(file, format!("host all canary 127.0.0.1/32 scram-sha-256\n{rules}")).unwrap();
    cluster.sql("postgres", "SELECT pg_reload_conf()");
    (cluster.url(&name).replacen("confab@", "canary@", 1), name)
}
