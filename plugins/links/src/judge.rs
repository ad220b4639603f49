//! What is done about the links of a text.

use std::ops::Range;

use confab_hosts::address;
use confab_hosts::known::{self, Ending};
use confab_hosts::scan::{Link, Links, may_have_links, past_slashes, path};
use confab_plugin::message::{Event, Kind};
use confab_plugin::normal::skeleton;
use confab_plugin::{Finding, Flagging, Form, Refusal, Role, RoomRole, Verdict};

use crate::alike::{Alike, Likeness};
use crate::config::{Action, Config, Exempt};
use crate::hosts::{Hosts, shown};
use crate::stock;

/// The login of GitLab's jobs, on any host.
const CI_LOGIN: &str = "gitlab-ci-token:";

/// Why something is done.
#[derive(Debug)]
struct Rule {
    name: &'static str,
    score: u8,
    /// For the author.
    reason: &'static str,
}

/// Which rules are for an author.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Scope {
    All,
    Deceit,
    None,
}

const DENIED: Rule =
    Rule { name: "links.denied", score: 90, reason: "links to that site are not posted here; leave the link out" };
const LOOKALIKE: Rule = Rule {
    name: "links.lookalike",
    score: 80,
    reason: "that host looks like another one; write the host itself, or leave the link out",
};
const NEAR: Rule = Rule {
    name: "links.near",
    score: 50,
    reason: "that host has the name of another one; write the host itself, or leave the link out",
};
const USERINFO: Rule = Rule {
    name: "links.userinfo",
    score: 70,
    reason: "that link names one host and leads to another; write it without what is before the @",
};
const IP: Rule =
    Rule { name: "links.ip", score: 40, reason: "links to bare addresses are not posted here; write the host's name" };
const INVITE: Rule =
    Rule { name: "links.invite", score: 50, reason: "invitations to other services are not posted here; leave it out" };
const SHORTENER: Rule =
    Rule { name: "links.shortener", score: 30, reason: "short links are not posted here; write where it leads" };
const NEWCOMER: Rule = Rule {
    name: "links.newcomer",
    score: 30,
    reason: "links come later, when you have been here longer; leave it out",
};
const OTHER: Rule =
    Rule { name: "links.other", score: 20, reason: "only links to some sites are posted here; leave that link out" };

/// About links that are not what they seem: for these no room is anybody's own.
const DECEITS: [&str; 3] = [LOOKALIKE.name, NEAR.name, USERINFO.name];

/// All that `init` made of the configuration.
#[derive(Clone, Debug)]
pub(crate) struct Judge {
    config: Config,
    allow: Hosts,
    deny: Hosts,
    shorteners: Hosts,
    alike: Alike,
}

struct Hit {
    action: Action,
    rule: &'static Rule,
    form: Form,
    range: Range<usize>,
}

impl Judge {
    /// # Errors
    /// An entry that is no host.
    pub(crate) fn new(config: Config) -> Result<Self, String> {
        let mut protected = Hosts::parse("protected", &config.protected)?;
        if config.stock_protected {
            protected.extend(Hosts::stock(stock::PROTECTED));
        }
        let mut shorteners = Hosts::parse("shorteners", &config.shorteners)?;
        shorteners.extend(Hosts::stock(stock::SHORTENERS));
        let (allow, deny) = (Hosts::parse("allow", &config.allow)?, Hosts::parse("deny", &config.deny)?);
        Ok(Self { config, allow, deny, shorteners, alike: Alike::new(protected) })
    }

    pub(crate) fn decide(&self, event: &Event) -> Verdict {
        let scope = scope(self.config.exempt_moderators, event);
        if scope == Scope::None || !may_have_links(&event.plain) {
            return Verdict::Allow;
        }
        let is_new = self.is_new(event);
        let mut worst = None;
        self.look(Links::of(&event.plain, &event.body, skeleton), Form::Plain, (scope, is_new), &mut worst);
        // What is encoded ends a host for browsers as it ends none for readers: `https://paypal.com%2f@evil.example`.
        if event.body.contains('%') {
            let body = event.body.to_ascii_lowercase();
            self.look(Links::of(&body, &event.body, skeleton), Form::Body, (scope, is_new), &mut worst);
        }
        worst.map_or(Verdict::Allow, verdict)
    }

    fn look(&self, links: Links<'_>, form: Form, author: (Scope, bool), worst: &mut Option<Hit>) {
        for link in links {
            let Some((action, rule)) = self.judge(&link, author) else { continue };
            if worst.as_ref().is_none_or(|worst| worst.action < action) {
                *worst = Some(Hit { action, rule, form, range: link.range });
            }
        }
    }

    /// The strictest rule for a link; `None`: there is nothing to do.
    fn judge(&self, link: &Link<'_>, (scope, is_new): (Scope, bool)) -> Option<(Action, &'static Rule)> {
        let config = &self.config;
        let address = if link.ending == Ending::Sure { address::parse(&link.host) } else { None };
        let numbers = address.map(|it| it.to_string());
        let host = match &numbers {
            Some(numbers) => Some(numbers.as_str().into()),
            None => shown(&link.host),
        };
        // What cannot be shown is nobody's name.
        let Some(host) = host else {
            return if link.ending == Ending::Unknown { None } else { acts(config.lookalike_action, &LOOKALIKE) };
        };
        let seen = skeleton(&host);
        let denied = self.deny.find(&host).or_else(|| if host.is_ascii() { None } else { self.deny.find(&seen) });
        let allowed = self.allow.find(&host);
        let is_all = scope == Scope::All;
        let is_denied = denied.is_some() && denied >= allowed;
        if is_denied && is_all {
            return acts(config.deny_action, &DENIED);
        }
        if allowed.is_some() && !is_denied {
            return None;
        }
        let is_home = address.is_some_and(|it| address::is_at_home(it) && address::is_usual(&link.host));
        let is_link = link.ending == Ending::Sure && !is_home;
        let is_numbers = address.is_some_and(|it| !(address::is_well_known(it) && address::is_usual(&link.host)));
        let likeness = self.alike.likeness(&host, &seen, link.ending);
        [
            (config.lookalike_action, &LOOKALIKE, likeness == Likeness::Imitation),
            (config.near_action, &NEAR, likeness == Likeness::Near),
            (config.userinfo_action, &USERINFO, !link.userinfo.is_empty() && self.misleads(link.userinfo, &host)),
            (config.ip_action, &IP, is_numbers && is_link),
            (config.invites_action, &INVITE, is_invite(&host, link.rest)),
            (config.shorteners_action, &SHORTENER, self.is_short(&host, link.rest)),
            (config.newcomers_action, &NEWCOMER, is_new && is_link),
            (config.others, &OTHER, is_link),
        ]
        .into_iter()
        .filter(|(action, rule, applies)| {
            *applies && *action != Action::Off && (is_all || DECEITS.contains(&rule.name))
        })
        // Of equally strict ones the first.
        .reduce(|worst, next| if next.0 > worst.0 { next } else { worst })
        .map(|(action, rule, _)| (action, rule))
    }

    /// Whether it is a host, or the name of one, that stands before the `@`; a login of one's own is not.
    fn misleads(&self, userinfo: &str, host: &str) -> bool {
        if userinfo.starts_with(CI_LOGIN) {
            return false;
        }
        // Who names the host that the link leads to tells no lie.
        let is_own = |part: &str| self.alike.protects(host) && host.split('.').any(|label| label == part);
        let is_part = |c: char| !(c.is_alphanumeric() || c == '.');
        let is_host = |part: &str| {
            let ending = part.rsplit_once('.').map_or(Ending::Unknown, |(_, last)| known::ending(last));
            ending > Ending::Unknown || part.starts_with("www.") || (self.alike.names(part) && !is_own(part))
        };
        userinfo.split(is_part).any(is_host)
    }

    fn is_short(&self, host: &str, rest: &str) -> bool {
        // The services themselves are talked about.
        path(rest).is_some_and(|path| path.starts_with(|c: char| c.is_alphanumeric())) && self.shorteners.has(host)
    }

    fn is_new(&self, event: &Event) -> bool {
        let is_in_room = event.room_role != RoomRole::None && event.kind != Kind::DisplayName;
        event.account_age_seconds < self.config.newcomers_account_seconds
            || (is_in_room && event.member_seconds < self.config.newcomers_member_seconds)
    }
}

fn acts(action: Action, rule: &'static Rule) -> Option<(Action, &'static Rule)> {
    (action != Action::Off).then_some((action, rule))
}

fn is_invite(host: &str, rest: &str) -> bool {
    let Some(path) = path(rest) else { return false };
    stock::INVITES.iter().any(|(service, begin)| {
        let is_there = host.strip_suffix(service).is_some_and(|below| below.is_empty() || below.ends_with('.'));
        let code = if is_there { behind(path, begin) } else { None };
        code.is_some_and(|code| code.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '!' | '#')))
    })
}

/// What follows on the beginning of a path; `None`: it begins otherwise.
fn behind<'a>(path: &'a str, begin: &str) -> Option<&'a str> {
    begin.split_inclusive('/').try_fold(path, |path, part| match part.strip_suffix('/') {
        Some(name) => past_slashes(path.strip_prefix(name)?),
        None => path.strip_prefix(part),
    })
}

/// A role in a room counts for what is said there. Names are read elsewhere, too, and a room is named by who owns it.
fn scope(exempt: Exempt, event: &Event) -> Scope {
    let is_said = matches!(event.kind, Kind::New | Kind::Edit | Kind::Reaction);
    let is_rooms = matches!(event.room_role, RoomRole::Owner | RoomRole::Admin | RoomRole::Moderator);
    match exempt {
        Exempt::Nobody => Scope::All,
        _ if matches!(event.role, Role::Owner | Role::Admin | Role::Moderator) => Scope::None,
        Exempt::Moderators if is_said && is_rooms && event.role != Role::Bot => Scope::Deceit,
        Exempt::Moderators | Exempt::Server => Scope::All,
    }
}

fn verdict(hit: Hit) -> Verdict {
    let Hit { action, rule, form, range } = hit;
    let finding = Finding::of(rule.name).at(form, range);
    let refusal = |finding| Refusal { reason: rule.reason.to_owned(), finding };
    match action {
        Action::Off => Verdict::Allow,
        Action::Flag => Verdict::Flag(Flagging { label: "link".to_owned(), score: rule.score, finding }),
        Action::Hold => Verdict::Hold(finding),
        Action::Bounce => Verdict::Bounce(refusal(finding)),
        Action::Reject => Verdict::Reject(refusal(finding)),
    }
}
