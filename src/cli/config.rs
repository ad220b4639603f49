//! `confab config init | check | show`.

use std::path::Path;

use clap::Subcommand;

use crate::config::Config;

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
            Config::load(file)?;
            println!("the configuration is good");
        }
        Action::Show => print!("{}", toml::to_string(&Config::load(file)?)?),
    }
    Ok(())
}
