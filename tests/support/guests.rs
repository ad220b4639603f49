//! Plugins without a server: the components that were built, in a folder, in the lab or loaded; and what they are asked.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use confab::clock::{Clock, SystemClock};
use confab::config::Plugins;
use confab::core::hook::{MessageEvent, TextKind};
use confab::metrics::Metrics;
use confab::plugin::PluginSet;
use confab::plugin::lab::Lab;
use confab_protocol::model::{Millis, RoomId, ServerRole, UserId};

/// A file that `cargo xtask plugins` or `cargo xtask test-plugins` built.
pub fn built(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/assets").join(path);
    assert!(path.exists(), "{} is missing: run `cargo xtask plugins` and `cargo xtask test-plugins`", path.display());
    path
}

/// A folder with these, each with its manifest and named as `folder/id` of what was built.
pub fn copied(components: &[&str]) -> Arc<tempfile::TempDir> {
    let folder = tempfile::tempdir().unwrap();
    for component in components {
        copy(component, folder.path());
    }
    Arc::new(folder)
}

/// One more of them.
pub fn copy(component: &str, folder: &Path) {
    for extension in ["wasm", "toml"] {
        let file = built(&format!("{component}.{extension}"));
        std::fs::copy(&file, folder.join(file.file_name().unwrap())).unwrap();
    }
}

/// As authors open one, or as a server does.
pub type Open = fn(&str, &[u8], &[u8]) -> Result<Lab, String>;

/// One of those that were built, as its author opens it.
pub fn lab(component: &str) -> Lab {
    opened(Lab::open, component)
}

/// The same, opened otherwise.
pub fn opened(open: Open, component: &str) -> Lab {
    let read = |extension: &str| std::fs::read(built(&format!("{component}.{extension}"))).unwrap();
    open(component.rsplit('/').next().unwrap(), &read("wasm"), &read("toml")).unwrap()
}

/// A chain as a server loads it, or why it does not.
pub fn load(plugins: &Plugins) -> Result<PluginSet, String> {
    load_with(plugins, None, &Metrics::new())
}

/// The same, beside what is installed and kept there, and counted here.
pub fn load_with(plugins: &Plugins, data_dir: Option<&Path>, metrics: &Metrics) -> Result<PluginSet, String> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    PluginSet::load(plugins, confab::assets::PLUGINS, data_dir, &clock, metrics).map_err(|error| error.to_string())
}

/// A new message of somebody, of whom and of whose room nothing is known.
pub fn message_event(body: &str) -> MessageEvent<'_> {
    MessageEvent {
        kind: TextKind::New,
        room: RoomId::from_u128(1),
        author: UserId::from_u128(2),
        username: "author",
        role: ServerRole::User,
        account_created: Millis(1),
        member: None,
        now: Millis(1_770_000_000_000),
        body,
        earlier: None,
        context: None,
        about: None,
    }
}
