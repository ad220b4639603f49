//! `confab migrate`: the schema first and the servers later, for those who run several or want to see it done.

use crate::config::Config;
use crate::{open_store, telemetry};

pub(super) fn run(config: &Config) -> anyhow::Result<()> {
    telemetry::init(&config.log);
    super::runtime()?.block_on(async {
        open_store(config).await?.close().await;
        println!("The schema is up to date.");
        Ok(())
    })
}
