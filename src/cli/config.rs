//! `confab config init | check | show`.

use std::path::Path;

use clap::Subcommand;

use crate::config::Config;
use crate::{StartError, assets, plugin};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Print a file with every key and its default.
    Init,
    /// Say whether the configuration can be used.
    Check,
    /// Print what holds after file and environment.
    Show,
}

pub(super) fn run(file: Option<&Path>, args: Args) -> anyhow::Result<()> {
    match args.action {
        Action::Init => print!("{}", Config::TEMPLATE),
        Action::Check => {
            let config = Config::load(file)?;
            plugin::check(&config.plugins, assets::PLUGINS, &config.data_dir).map_err(StartError::Plugin)?;
            println!("the configuration is good; whether the plugins load, a start or a reload tries");
        }
        Action::Show => print!("{}", toml::to_string(&Config::load(file)?)?),
    }
    Ok(())
}
