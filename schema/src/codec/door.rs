//! Who is let in, what those say who run the server, and how somebody is shown: both ways.

use super::account;
use super::amend::{read_write, write_write};
use super::read::{body, some};
use super::values::{bad_name, utf8};
use crate::chat_capnp as wire;
use crate::command::{Admit, Command, Notice};
use crate::model::{DisplayName, Seq};
use crate::reject::Reject;

pub(super) fn read(which: wire::request::WhichReader<'_>) -> Result<Command, Reject> {
    use wire::request::Which;
    Ok(match which {
        Which::Knock(write) => Command::Knock(read_write(write)?),
        Which::Admit(admit) => {
            let admit = some(admit)?;
            Command::Admit(Admit { write: read_write(admit.get_write())?, seq: Seq(admit.get_seq()) })
        }
        Which::UpdateProfile(profile) => {
            let name = DisplayName::parse(utf8(some(profile)?.get_display_name())?);
            Command::UpdateProfile(name.map_err(bad_name("display name"))?)
        }
        Which::Notice(notice) => {
            let notice = some(notice)?;
            Command::Notice(Notice { write: read_write(notice.get_write())?, body: body(notice.get_body())? })
        }
        which => return account::read(which),
    })
}

pub(super) fn write(out: wire::request::Builder<'_>, command: &Command) {
    match command {
        Command::Knock(write) => write_write(out.init_knock(), write),
        Command::Admit(admit) => {
            let mut out = out.init_admit();
            out.set_seq(admit.seq.0);
            write_write(out.init_write(), &admit.write);
        }
        Command::UpdateProfile(name) => out.init_update_profile().set_display_name(name.as_str()),
        Command::Notice(notice) => {
            let mut out = out.init_notice();
            out.set_body(notice.body.as_str());
            write_write(out.init_write(), &notice.write);
        }
        _ => {}
    }
}
