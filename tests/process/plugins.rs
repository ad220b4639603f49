//! An installed plugin from its first day to its last, by `confab plugin` beside a server that reloads; and that each
//! command answers programs with JSON.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use confab::plugin::installed::Home;
use confab_client::{Error, Room};
use serde_json::{Value, json};

use super::reload::set;
use crate::plugin::built;
use crate::support::Transport;
use crate::support::people::Person;
use crate::support::process::{Finished, Place, run};

const KEY: (&str, &str) = ("plugins.config.guard", "{}");

/// `confab plugin --json <arguments>`.
fn plugin(place: &Place, arguments: &[&str]) -> Finished {
    run(place.command(&["plugin", "--json"]).args(arguments), "")
}

/// The one object that it prints.
fn object(place: &Place, arguments: &[&str]) -> Value {
    let out = plugin(place, arguments).assert_good();
    assert_eq!(out.lines().count(), 1, "{out}");
    let object: Value = serde_json::from_str(&out).unwrap();
    assert!(object.is_object(), "{object}");
    object
}

/// What counts of the one that is installed.
fn listed(place: &Place) -> Value {
    let list = object(place, &["list"]);
    assert_eq!((&list["chain"], list["installed"].as_array().unwrap().len()), (&json!([]), 1), "{list}");
    list["installed"][0].clone()
}

/// A component as its author would hand it over: another one, under the id of the guard.
fn component(place: &Place, version: &str, path: &str, id: &str) -> PathBuf {
    let folder = place.folder.path().join(version);
    std::fs::create_dir(&folder).unwrap();
    let (wasm, manifest) = (built(&format!("{path}.wasm")), built(&format!("{path}.toml")));
    std::fs::copy(wasm, folder.join("guard.wasm")).unwrap();
    let (manifest, id) = (std::fs::read_to_string(manifest).unwrap(), format!("id = \"{id}\""));
    assert!(manifest.contains(&id), "{manifest}");
    std::fs::write(folder.join("guard.toml"), manifest.replace(&id, "id = \"guard\"")).unwrap();
    folder.join("guard.wasm")
}

/// The guest that does as it is told, and wants `log` and `kv`; and the stock one, which wants `kv` alone.
fn versions(place: &Place) -> [PathBuf; 2] {
    [component(place, "first", "test-plugins/hostile", "hostile"), component(place, "second", "plugins/flood", "flood")]
}

fn install(place: &Place, component: &Path, options: &[&str]) -> Value {
    let path = component.to_str().unwrap();
    object(place, &[&["install", path][..], options].concat())
}

/// Of which versions there are files in the folder of a plugin.
fn kept(folder: &Path) -> BTreeSet<String> {
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    files.collect()
}

/// What the files of a version that is shown are kept under.
fn version(shown: &Value) -> String {
    shown["files"].as_str().unwrap().to_owned()
}

/// Whether it may be said, which the first version decides by the text.
async fn passes(author: &Person, room: &Room, text: &str) -> bool {
    match author.client.say(room.id, text).await {
        Ok(_) => true,
        Err(Error::Rejected(_)) => false,
        Err(other) => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installed_plugin_from_its_first_day_to_its_last() {
    let place = Place::with("plugins.chain = []");
    let [first, second] = versions(&place);
    let server = place.serve();
    let author = place.register(Transport::WebSocket, "author").await;
    let room = author.enter("lobby").await;
    let is_refused = async |text: &str| !passes(&author, &room, text).await;

    let v1 = install(&place, &first, &["--grant", "log,kv"]);
    assert_eq!((&v1["id"], &v1["mode"], &v1["grant"]), (&json!("guard"), &json!("shadow"), &json!(["log", "kv"])));
    assert_eq!((v1["sha256"].as_str().unwrap().len(), &v1["earlier"]), (64, &json!([])));
    assert_eq!(listed(&place), v1);
    place.reload(&server);
    assert!(!is_refused("reject").await, "in shadow mode it decides nothing");

    plugin(&place, &["grant", "guard", "kv"]).assert_refused(1, &["nothing was changed", "capability log"]);
    assert_eq!(listed(&place), v1);
    let granted = object(&place, &["grant", "guard", "kv,log"]);
    assert_eq!(granted["grant"], json!(["kv", "log"]));
    let enforced = object(&place, &["promote", "guard"]);
    assert_eq!((&enforced["mode"], &enforced["grant"]), (&json!("enforce"), &granted["grant"]));
    place.reload(&server);
    assert!(is_refused("reject").await);

    // Another version was seen by nobody yet; it is granted something else.
    let v2 = install(&place, &second, &["--grant", "kv"]);
    assert_eq!((&v2["mode"], &v2["grant"]), (&json!("shadow"), &json!(["kv"])));
    assert_ne!(v2["sha256"], v1["sha256"]);
    assert_eq!((&v2["earlier"][0]["sha256"], &v2["earlier"][0]["mode"]), (&v1["sha256"], &json!("enforce")));
    place.reload(&server);
    assert!(!is_refused("reject").await);
    assert_eq!(object(&place, &["promote", "guard"])["mode"], "enforce");
    place.reload(&server);

    assert_eq!(object(&place, &["rollback", "guard"]), enforced, "hash, grant and mode are as they were");
    assert_eq!(listed(&place), enforced);
    place.reload(&server);
    assert!(is_refused("reject").await);
    plugin(&place, &["rollback", "guard"]).assert_refused(1, &["no version before"]);

    assert_eq!(object(&place, &["shadow", "guard"])["mode"], "shadow");
    set(&place, &[KEY]);
    place.reload(&server);
    assert!(!is_refused("bounce").await);
    assert_eq!(object(&place, &["off", "guard"])["mode"], "off");
    place.reload(&server);
    assert!(!is_refused("bounce").await);

    plugin(&place, &["remove", "guard"]).assert_refused(1, &[KEY.0]);
    assert_eq!(listed(&place)["mode"], "off");
    place.rewrite(&format!("{} = {}\n", KEY.0, KEY.1), "");
    let removed = object(&place, &["remove", "guard"]);
    assert_eq!((&removed["id"], &removed["removed"]), (&json!("guard"), &json!(true)));
    assert_eq!(object(&place, &["list"])["installed"], json!([]));
    place.reload(&server);
    assert!(!is_refused("nobody is asked").await);
}

/// The same component with another manifest is another version, and one that is refused has touched nothing.
#[test]
fn what_is_refused_leaves_what_counts_as_it_is() {
    let place = Place::with("plugins.chain = []");
    let [first, _] = versions(&place);
    install(&place, &first, &["--grant", "log,kv"]);
    let before = object(&place, &["promote", "guard"]);
    let manifest = first.with_extension("toml");
    let good = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, good.replace("\"message\", ", "")).unwrap();
    let path = first.to_str().unwrap();
    plugin(&place, &["install", path]).assert_refused(1, &["nothing was changed", "hook message"]);
    assert_eq!(listed(&place), before);
    let _server = place.serve();

    std::fs::write(&manifest, good.replace("0.1.0", "0.1.1")).unwrap();
    let after = install(&place, &first, &[]);
    assert_eq!((&after["sha256"], &after["grant"]), (&before["sha256"], &before["grant"]));
    assert_eq!((&after["mode"], &after["earlier"][0]["files"]), (&json!("shadow"), &before["files"]));
    assert_eq!(install(&place, &first, &[]), after, "it is there already");
    assert_eq!(object(&place, &["rollback", "guard"]), before);
}

/// Whatever a component is refused for, nothing of it stays.
#[test]
fn what_is_refused_leaves_no_files() {
    let place = Place::with("plugins.chain = []");
    let [first, second] = versions(&place);
    let (folder, path) = (place.data_dir.join("plugins/guard"), second.to_str().unwrap());
    set(&place, &[("plugins.config.guard", r#"{ nobody = "knows it" }"#)]);
    plugin(&place, &["install", path, "--grant", "kv"]).assert_refused(1, &["nothing was changed", "configuration"]);
    assert!(!folder.exists());

    set(&place, &[KEY]);
    let before = install(&place, &first, &["--grant", "log,kv"]);
    set(&place, &[("plugins.mode.guard", "\"enforce\"")]);
    plugin(&place, &["install", path]).assert_refused(1, &["plugins.mode.guard"]);
    assert_eq!(kept(&folder), BTreeSet::from([version(&before)]));
    set(&place, &[("plugins.mode.guard", "\"shadow\"")]);
    let after = install(&place, &second, &["--grant", "kv"]);
    // What is refused and can be gone back to is there already.
    set(&place, &[("plugins.mode.guard", "\"enforce\"")]);
    let path = first.to_str().unwrap();
    plugin(&place, &["install", path, "--grant", "log,kv"]).assert_refused(1, &["plugins.mode.guard"]);
    assert_eq!(kept(&folder), BTreeSet::from([version(&before), version(&after)]));
}

/// The files of a version go with the change after which nobody can go back to it, and what a killed command left goes too.
#[test]
fn what_nobody_can_go_back_to_leaves_no_files() {
    let place = Place::with("plugins.chain = []");
    let [first, second] = versions(&place);
    let folder = place.data_dir.join("plugins/guard");
    let before = install(&place, &first, &["--grant", "log,kv"]);
    let after = install(&place, &second, &["--grant", "kv"]);
    std::fs::create_dir(folder.join("0".repeat(64))).unwrap();
    object(&place, &["grant", "guard", "kv"]);
    assert_eq!(kept(&folder), BTreeSet::from([version(&before), version(&after)]));
    object(&place, &["rollback", "guard"]);
    assert_eq!(kept(&folder), BTreeSet::from([version(&before)]));
    object(&place, &["off", "guard"]);
    object(&place, &["remove", "guard"]);
    assert_eq!(kept(&folder), BTreeSet::from([version(&before)]), "as it says");
}

/// A server would not start without it.
#[test]
fn what_the_chain_names_is_not_taken_out() {
    let place = Place::with("plugins.chain = [\"guard\", \"sanitize\"]");
    let [first, _] = versions(&place);
    install(&place, &first, &["--grant", "log,kv"]);
    let shown = run(&mut place.command(&["plugin", "list"]), "").assert_good();
    let ids: Vec<&str> = shown.lines().filter_map(|line| line.split('\t').next()).collect();
    assert_eq!(ids, ["guard", "sanitize"], "in the order in which they are asked");
    plugin(&place, &["remove", "guard"]).assert_refused(1, &["take guard in plugins.chain out"]);
    object(&place, &["off", "guard"]);
    let _server = place.serve();
}

/// Golden files are tried with the memory that the plugin will have.
#[test]
fn golden_files_are_tried_with_the_limits_of_the_server() {
    let place = Place::with("plugins.chain = []");
    let [first, _] = versions(&place);
    let goldens = first.with_extension("goldens");
    std::fs::create_dir(&goldens).unwrap();
    std::fs::write(goldens.join("meals.jsonl"), "{\"body\": \"feast\"}\n").unwrap();
    let path = first.to_str().unwrap();
    let help = run(&mut place.command(&["plugin", "install", "--help"]), "").assert_good();
    assert!(help.contains("<id>.goldens/"), "they stand where it says: {help}");
    plugin(&place, &["install", path, "--grant", "log,kv"]).assert_refused(1, &["golden", "meals.jsonl:1"]);
    set(&place, &[("plugins.memory_mib", "64")]);
    install(&place, &first, &["--grant", "log,kv"]);
}

#[test]
fn what_is_off_stays_off() {
    let place = Place::with("plugins.chain = []");
    let [first, second] = versions(&place);
    install(&place, &first, &["--grant", "log,kv"]);
    object(&place, &["off", "guard"]);
    let words = run(&mut place.command(&["plugin", "install", second.to_str().unwrap()]), "").assert_good();
    assert!(words.contains("is installed: off") && words.contains("confab plugin shadow guard"), "{words}");
    assert_eq!(listed(&place)["mode"], "off");
    assert_eq!(object(&place, &["rollback", "guard"])["mode"], "off");
}

/// A server that reloads at any time reads a list that was tried.
#[test]
fn a_list_that_is_refused_is_never_written() {
    let place = Place::with("plugins.chain = []");
    let [first, _] = versions(&place);
    install(&place, &first, &["--grant", "log,kv"]);
    let (list, link) = (place.data_dir.join("plugins/installed.toml"), place.folder.path().join("before.toml"));
    // Each list that is written is a file of its own; this one has two names, for as long as it is the list.
    std::fs::hard_link(&list, &link).unwrap();
    plugin(&place, &["grant", "guard", "kv"]).assert_refused(1, &["nothing was changed", "capability log"]);
    assert_eq!(std::fs::metadata(&list).unwrap().ino(), std::fs::metadata(&link).unwrap().ino());
    object(&place, &["off", "guard"]);
    assert_ne!(std::fs::metadata(&list).unwrap().ino(), std::fs::metadata(&link).unwrap().ino());
}

#[test]
fn one_command_at_a_time_changes_the_list() {
    let place = Place::with("plugins.chain = []");
    let [first, second] = versions(&place);
    let before = install(&place, &first, &["--grant", "log,kv"]);
    let lock = Home::of(&place.data_dir).lock().unwrap();
    let path = second.to_str().unwrap();
    for command in [
        &["install", path, "--grant", "kv"][..],
        &["grant", "guard", "kv,log,metrics"],
        &["promote", "guard"],
        &["off", "guard"],
        &["rollback", "guard"],
        &["remove", "guard"],
    ] {
        plugin(&place, command).assert_refused(1, &["another command changes the installed plugins"]);
    }
    assert_eq!(listed(&place), before, "to look at it takes no lock");
    lock.unlock().unwrap();
    assert_eq!(object(&place, &["promote", "guard"])["mode"], "enforce");
}

#[test]
fn who_is_told_to_keep_the_mode_keeps_it() {
    let place = Place::with("plugins.chain = []");
    let [first, second] = versions(&place);
    install(&place, &first, &["--grant", "log,kv"]);
    object(&place, &["promote", "guard"]);
    let path = second.to_str().unwrap();
    let words = run(&mut place.command(&["plugin", "install", "--keep-mode", path]), "").assert_good();
    assert!(words.contains("enforce, as before; `confab plugin rollback guard` goes back"), "{words}");
    let first = ["plugin", "install", "--grant", "log,kv", first.to_str().unwrap()];
    let words = run(&mut place.command(&first), "").assert_good();
    assert!(words.contains("is installed: shadow") && words.contains("decides no more"), "{words}");

    // Where the configuration says how it is meant, no list says otherwise.
    set(&place, &[("plugins.mode.guard", "\"enforce\"")]);
    plugin(&place, &["install", path]).assert_refused(1, &["plugins.mode.guard", "--keep-mode"]);
    plugin(&place, &["off", "guard"]).assert_refused(1, &["plugins.mode.guard"]);
    assert_eq!(install(&place, &second, &["--keep-mode"])["mode"], "enforce");
    set(&place, &[("plugins.mode.guard", "\"off\"")]);
    assert_eq!(listed(&place)["mode"], "off");
    let _server = place.serve();
}

/// A later version does not get by itself what was granted to one that needed it.
#[test]
fn a_grant_ends_with_the_version_that_calls_for_it() {
    let place = Place::with("plugins.chain = []");
    let [first, second] = versions(&place);
    install(&place, &first, &["--grant", "log,kv"]);
    assert_eq!(install(&place, &second, &[])["grant"], json!(["kv"]), "less than the one before: it calls for no more");
    let before = listed(&place);
    let path = first.to_str().unwrap();
    plugin(&place, &["install", path]).assert_refused(1, &["wants the capability log", "--grant log"]);
    assert_eq!(listed(&place), before);
    assert_eq!(object(&place, &["rollback", "guard"])["grant"], json!(["log", "kv"]), "it comes back with its version");
}

#[test]
fn only_what_there_is_can_be_granted() {
    let place = Place::with("plugins.chain = []");
    let [first, second] = versions(&place);
    let path = second.to_str().unwrap();
    plugin(&place, &["install", path, "--grant", "kv,file"]).assert_refused(1, &["no capability \"file\"", "history"]);
    plugin(&place, &["install", path, "--grant", "kv,"]).assert_refused(1, &["no capability \"\""]);
    plugin(&place, &["install", path, "--grant", ""]).assert_refused(1, &["wants the capability kv"]);
    let before = install(&place, &second, &["--grant", "kv"]);
    plugin(&place, &["grant", "guard", "kv,Log"]).assert_refused(1, &["no capability \"Log\""]);
    plugin(&place, &["grant", "guard", ""]).assert_refused(1, &["nothing was changed", "capability kv"]);
    // Nor what there is and this one does not declare.
    let words = ["guard", "does not declare the capability actions", "it declares kv"];
    plugin(&place, &["grant", "guard", "kv,actions"]).assert_refused(1, &words);
    plugin(&place, &["install", path, "--grant", "kv,actions"]).assert_refused(1, &words);
    // What is granted nothing says so; this one would have been granted `kv`.
    let path = first.to_str().unwrap();
    plugin(&place, &["install", path, "--grant", ""]).assert_refused(1, &["wants the capability"]);
    assert_eq!(listed(&place), before);
    object(&place, &["off", "guard"]);
    // Who only wants to look at it takes nothing away.
    assert_eq!((plugin(&place, &["grant", "guard"]).code, &listed(&place)["grant"]), (Some(2), &json!(["kv"])));
    assert_eq!(object(&place, &["grant", "guard", ""])["grant"], json!([]));
}

/// Whoever reads the document knows all that can be said.
#[test]
fn each_option_stands_in_the_document() {
    let (place, document) = (Place::new(), include_str!("../../docs/PLUGINS.md"));
    let mut commands =
        vec!["new", "build", "test", "bench", "wit", "inspect", "replay", "automod", "install", "list", "grant"];
    commands.extend(["promote", "shadow", "off", "rollback", "remove", "top"]);
    for command in commands {
        let help = run(&mut place.command(&["plugin", command, "--help"]), "").assert_good();
        for option in help.lines().filter_map(|line| line.trim_start().strip_prefix("--")) {
            let name = option.split(' ').next().unwrap_or_default();
            assert!(
                document.contains(&format!("`--{name}")) || document.contains(&format!(" --{name}")),
                "{command}: {option}"
            );
        }
    }
}

/// Else who grants what is missing takes back what was there.
#[test]
fn what_it_wants_is_named_whole() {
    let place = Place::with("plugins.chain = []");
    let [first, _] = versions(&place);
    let path = first.to_str().unwrap();
    for (grant, words) in [
        ("", ["wants the capability log", "--grant log,kv"]),
        ("log", ["wants the capability kv", "--grant kv,log"]),
        ("kv", ["wants the capability log", "--grant log,kv"]),
    ] {
        plugin(&place, &["install", path, "--grant", grant]).assert_refused(1, &words);
    }
    set(&place, &[("plugins.grant.guard", "[\"kv\"]")]);
    let words = ["wants the capability log", "plugins.grant.guard = [\"log\", \"kv\"] in the configuration"];
    plugin(&place, &["install", path]).assert_refused(1, &words);
}

/// What goes wrong on somebody's first day is told with what to do.
#[test]
fn who_begins_is_told_what_to_do() {
    let place = Place::with("plugins.chain = [\"sanitize\"]");
    let path = |name: &str| place.folder.path().join(name).to_str().unwrap().to_owned();
    let refused = |arguments: &[&str], words: &[&str]| plugin(&place, arguments).assert_refused(1, words);
    for id in ["Loud", "server"] {
        refused(&["new", &path(id)], &["no id of a plugin"]);
    }
    for id in ["confab-plugin", "log"] {
        refused(&["new", &path(id)], &["a crate that the SDK is made with", "another name"]);
    }
    let quiet = path("quiet");
    for command in ["build", "test", "bench"] {
        refused(&[command, &quiet], &["quiet is no folder of a plugin", "`confab plugin new"]);
    }
    object(&place, &["new", &quiet]);
    refused(&["new", &quiet], &["is there already", "another name"]);
    refused(&["bench", &quiet], &["quiet/target/quiet.wasm", "`confab plugin build`"]);
    std::fs::remove_dir_all(path("quiet/goldens")).unwrap();
    for command in ["test", "bench"] {
        refused(&[command, &quiet], &["quiet/goldens is missing", "first.jsonl"]);
    }
    std::fs::remove_file(path("quiet/Cargo.toml")).unwrap();
    refused(&["build", &quiet], &["quiet/Cargo.toml is missing", "`confab plugin inspect`"]);

    let (flood, manifest) = (path("flood.wasm"), path("flood.toml"));
    for command in ["inspect", "install", "replay"] {
        refused(&[command, &quiet], &["quiet is a folder", "`confab plugin build "]);
        refused(&[command, &flood], &["flood.wasm", "`confab plugin build`"]);
    }
    std::fs::copy(built("plugins/flood.wasm"), &flood).unwrap();
    refused(&["inspect", &flood], &["flood.toml", "the manifest beside the component"]);
    let good = std::fs::read_to_string(built("plugins/flood.toml")).unwrap();
    std::fs::write(&manifest, good.replace("hooks =", "hook =")).unwrap();
    refused(&["inspect", &flood], &["unknown field `hook`", "`hooks`"]);
    std::fs::write(&manifest, good).unwrap();
    let words = ["confab.db", "`confab serve` makes it", "--config"];
    plugin(&place, &["replay", &flood]).assert_refused(69, &words);
    refused(&["replay", &flood, "--settings", "/dev/zero"], &["/dev/zero", "too long"]);

    refused(&["top"], &["no server answers", "listen.ops", "`confab serve`", "--config"]);
    for command in ["promote", "shadow", "off", "rollback", "remove"] {
        refused(&[command, "sanitize"], &["plugins.chain", "plugins.mode.sanitize"]);
        refused(&[command, "nobody"], &["nobody is not installed", "`confab plugin list`"]);
    }
}

#[test]
fn a_new_plugin_is_told_to_programs() {
    let place = Place::new();
    let folder = place.folder.path().join("quiet");
    let path = folder.to_str().unwrap();
    assert_eq!(object(&place, &["new", path]), json!({ "id": "quiet", "folder": path }));
    assert!(folder.join("plugin.toml").exists());
}

/// What its author wrote moves nothing on the operator's terminal.
#[test]
fn what_an_author_wrote_is_shown_and_not_obeyed() {
    let place = Place::new();
    let component = component(&place, "first", "test-plugins/hostile", "hostile");
    let manifest = component.with_extension("toml");
    let good = std::fs::read_to_string(&manifest).unwrap();
    let inspect = |from: &str, to: &str| {
        assert!(good.contains(from), "{good}");
        std::fs::write(&manifest, good.replace(from, to)).unwrap();
        run(place.command(&["plugin", "inspect"]).arg(&component), "")
    };
    for version in ["1\\u001b[2J", "1\\u202e"] {
        let refused = inspect("version = \"0.1.0\"", &format!("version = \"{version}\""));
        refused.assert_refused(1, &["version in the manifest"]);
        assert!(!refused.err.contains(['\u{1b}', '\u{202e}']), "{refused:?}");
    }
    let shown = inspect("on_error = \"hold\"", "class = \"interpreted\"\non_error = \"closed\"").assert_good();
    assert!(shown.contains("  class          interpreted\n") && shown.contains("  on error       closed\n"), "{shown}");
    let refused = inspect("id = \"guard\"", "id = \"\\u001b[2J\"");
    assert_ne!(refused.code, Some(0));
    assert!(refused.err.contains("id in the manifest") && !refused.err.contains('\u{1b}'), "{refused:?}");
}
