//! `confab emergency`: how much the server lets happen, up and down by one command.

use clap::ArgAction;
use confab_protocol::model::UserId;

use crate::clock::SystemClock;
use crate::config::Config;
use crate::core::standing::Level;
use crate::open_existing_store;

#[derive(clap::Args)]
pub(super) struct Args {
    /// 0: everything; 1: nobody registers; 2: and accounts younger than a day only read; 3: and nobody writes but those
    /// who run the server. Without it the level is printed.
    #[arg(action = ArgAction::Set, value_parser = clap::value_parser!(u8).range(0..=3))]
    level: Option<u8>,
}

pub(super) fn run(config: &Config, args: Args) -> anyhow::Result<()> {
    super::runtime()?.block_on(async {
        let store = open_existing_store(config).await?;
        if let Some(level) = args.level {
            let record = super::account::record(&SystemClock::new(), "emergency", UserId::NONE, "");
            store.set_level(Level::from_number(level), record).await?;
        }
        let level = store.controls(i64::MAX.cast_unsigned()).await?.level;
        println!("{}: {}", level as u8, level.text());
        store.close().await;
        Ok(())
    })
}
