//! `confab audit`: what hashes in the audit tell, for those who run the server. Reading it is `confab mod audit`.

use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Subcommand;
use confab_protocol::codec::decode_audit;
use confab_protocol::command::ListAudit;
use confab_protocol::model::{AuditId, UserId};

use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::core::auth::Auth;
use crate::core::store::Store;
use crate::metrics::Metrics;
use crate::{StartError, open_existing_store};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Say whether a text on standard input is one that a record keeps a hash of: what was deleted, held, refused or
    /// posted instead. It fails where it is another, and where nobody can tell.
    Confirm {
        /// The record's id, as `confab mod audit --json` prints it.
        record: AuditId,
    },
}

pub(super) fn run(config: &Config, args: Args) -> anyhow::Result<()> {
    let Action::Confirm { record } = args.action;
    let text = std::io::read_to_string(std::io::stdin())?;
    super::runtime()?.block_on(async {
        let store = open_existing_store(config).await?;
        // To make another would tell falsehoods, and be in the way of the right one.
        let pepper = config.data_dir.join("keys").join("pepper");
        anyhow::ensure!(pepper.is_file(), "{} is missing: without it nobody can tell", pepper.display());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let auth = Auth::open(config, &clock, &Metrics::new()).map_err(StartError::Key)?;
        let told = confirm(&*store, &auth, record, &text).await;
        store.close().await;
        println!("{}", told?);
        Ok(())
    })
}

async fn confirm(store: &dyn Store, auth: &Auth, id: AuditId, text: &str) -> anyhow::Result<&'static str> {
    // The newest before the next one.
    let before = AuditId::from_u128(id.as_u128().saturating_add(1));
    let (room, user, case, plugin) = (None, None, None, None);
    let listed = ListAudit { room, user, case, plugin, before, limit: 1 };
    let found = store.list_audit(listed, UserId::NONE).await?.into_iter().find(|entry| entry.id == id);
    let found = found.with_context(|| format!("there is no record {id}"))?;
    let record = decode_audit(&found.record).with_context(|| format!("record {id} cannot be read"))?;
    if record.user.is_none() || record.before.is_empty() && record.after.is_empty() {
        bail!("record {id} has no hash of a text");
    }
    let author = store.find_user(record.user).await?;
    let Some(key) = author.and_then(|author| author.audit_key) else {
        bail!("the account that said it was erased: nobody can tell any more");
    };
    // What ends the last line of a file need not be of the text.
    let texts = [Some(text), text.strip_suffix('\n')];
    let hashes: Vec<_> = texts.into_iter().flatten().map(|text| auth.audit_hash(key, id, text)).collect();
    match (hashes.contains(&record.before), hashes.contains(&record.after)) {
        (true, _) => Ok("It is the text as it was before."),
        (false, true) => Ok("It is the text as it was afterwards."),
        (false, false) if record.act == "delete" && !record.case.is_none() => {
            bail!("it is another text, or the record is older than such hashes: nobody can tell")
        }
        (false, false) => bail!("it is another text, or was hashed with another keys/pepper"),
    }
}
