//! The core's words into those of the contract, and back. What a plugin says is cut to its bounds here.

use std::sync::Arc;

use confab_plugin::kept::name;
pub(super) use confab_plugin::kept::text as cut;
use confab_protocol::limits::BODY_BYTES_MAX;
use confab_protocol::model::{Body, RoomKind, RoomRole, ServerRole};
use confab_protocol::text::TextError;

use super::host::bindings::confab::plugin::{context, history, target, types};
use super::host::bindings::exports::confab::plugin::message;
use super::manifest::SERVER_ID;
use crate::core::context::RoomContext;
use crate::core::earlier::Earlier;
use crate::core::hook::{ActEvent, Mark, MessageEvent, TextKind, Verdict};
use crate::core::target::Target;

/// A few letters stand for whole phrases (U+FDFA for eighteen): a body of them is held, and costs nobody more.
const PLAIN_BYTES_MAX: usize = 2 * BODY_BYTES_MAX;

/// The forms of a body beside it; `None` where one is as the form before it.
pub(super) struct Forms {
    plain: Option<String>,
    skeleton: Option<String>,
}

impl Forms {
    /// `None`: its plain form is too long.
    pub(super) fn of(body: &str) -> Option<Self> {
        let plain = match confab_plugin::normal::plain(body) {
            std::borrow::Cow::Owned(plain) if plain.len() > PLAIN_BYTES_MAX => return None,
            std::borrow::Cow::Borrowed(_) => None,
            std::borrow::Cow::Owned(plain) => Some(plain),
        };
        let skeleton = match confab_plugin::normal::skeleton(plain.as_deref().unwrap_or(body)) {
            std::borrow::Cow::Borrowed(_) => None,
            std::borrow::Cow::Owned(skeleton) => Some(skeleton),
        };
        Some(Self { plain, skeleton })
    }
}

const fn halves(id: u128) -> types::Id {
    ((id >> 64) as u64, id as u64)
}

const fn role(role: ServerRole) -> types::Role {
    match role {
        ServerRole::Owner => types::Role::Owner,
        ServerRole::Admin => types::Role::Admin,
        ServerRole::Moderator => types::Role::Moderator,
        ServerRole::User => types::Role::User,
        ServerRole::Bot => types::Role::Bot,
    }
}

/// Muted and banned are no roles of those who write.
pub(super) const fn room_role(role: Option<RoomRole>) -> types::RoomRole {
    match role {
        Some(RoomRole::Owner) => types::RoomRole::Owner,
        Some(RoomRole::Admin) => types::RoomRole::Admin,
        Some(RoomRole::Moderator) => types::RoomRole::Moderator,
        Some(RoomRole::Member) => types::RoomRole::Member,
        Some(RoomRole::Guest) => types::RoomRole::Guest,
        Some(RoomRole::Muted | RoomRole::Banned) | None => types::RoomRole::None,
    }
}

pub(super) fn message<'a>(event: &MessageEvent<'a>, body: &'a str, forms: &'a Forms) -> message::Event<'a> {
    let plain = forms.plain.as_deref().unwrap_or(body);
    message::Event {
        kind: match event.kind {
            TextKind::New => message::Kind::New,
            TextKind::Edit => message::Kind::Edit,
            TextKind::Reaction => message::Kind::Reaction,
            TextKind::Room => message::Kind::Room,
            TextKind::DisplayName => message::Kind::DisplayName,
        },
        room: halves(event.room.as_u128()),
        author: halves(event.author.as_u128()),
        username: event.username,
        role: role(event.role),
        room_role: room_role(event.member.map(|member| member.role)),
        account_age_seconds: event.now.since(event.account_created) / 1000,
        member_seconds: event.member.map_or(0, |member| event.now.since(member.joined) / 1000),
        time_ms: event.now.0,
        body,
        plain,
        skeleton: forms.skeleton.as_deref().unwrap_or(plain),
    }
}

pub(super) fn earlier(said: &Earlier) -> history::Message {
    let Earlier { seq, author, body, time, edited } = said;
    let author = halves(author.as_u128());
    history::Message { seq: seq.0, author, body: (**body).to_owned(), time_ms: time.0, edited: *edited }
}

pub(super) fn room_settings(of: RoomContext) -> context::RoomSettings {
    let RoomContext { kind, slow_mode_ms, members, messages } = of;
    let kind = match kind {
        RoomKind::Channel => "open",
        RoomKind::Private => "private",
        RoomKind::Direct => "direct",
        // Nobody says anything there.
        RoomKind::SelfLog => "self",
    };
    context::RoomSettings { kind: kind.to_owned(), slow_mode_ms, members, messages }
}

pub(super) fn target((kind, of): &(TextKind, Target)) -> target::Target {
    let kind = match kind {
        TextKind::Edit => target::Kind::Edited,
        TextKind::Reaction => target::Kind::ReactedTo,
        // Names are about none.
        TextKind::New | TextKind::Room | TextKind::DisplayName => target::Kind::RepliedTo,
    };
    let Target { seq, author, body } = of;
    target::Target { seq: seq.0, author: halves(author.as_u128()), body: body.as_deref().map(str::to_owned), kind }
}

pub(super) fn person<'a>(event: &ActEvent<'a>) -> types::Person<'a> {
    types::Person {
        id: halves(event.who.as_u128()),
        username: event.username,
        role: role(event.role),
        account_age_seconds: event.now.since(event.account_created) / 1000,
    }
}

pub(super) const fn id(id: u128) -> types::Id {
    halves(id)
}

/// Who says it.
#[derive(Clone)]
pub(super) struct Speaker {
    pub(super) plugin: Arc<str>,
    /// SHA-256 of the component, in hex.
    pub(super) hash: Arc<str>,
    /// Whether what it says counts.
    pub(super) enforced: bool,
}

impl Speaker {
    pub(super) fn mark(&self, verdict: &'static str, rule: &str, note: String, shown: String) -> Mark {
        Mark {
            plugin: Arc::clone(&self.plugin),
            hash: Arc::clone(&self.hash),
            enforced: self.enforced,
            verdict,
            rule: name(rule),
            label: String::new(),
            score: 0,
            span: None,
            note,
            shown,
        }
    }

    pub(super) fn found(&self, verdict: &'static str, finding: types::Finding, shown: String) -> Mark {
        let form = |form| match form {
            types::Form::Body => "body",
            types::Form::Plain => "plain",
            types::Form::Skeleton => "skeleton",
        };
        let span = finding.where_.map(|span| (form(span.form), span.start, span.end));
        Mark { span, ..self.mark(verdict, &finding.rule, cut(finding.note), shown) }
    }

    fn flagged(&self, flagging: types::Flagging) -> Mark {
        let (label, score) = (name(&flagging.label), flagging.score.min(100));
        Mark { label, score, ..self.found("flag", flagging.finding, String::new()) }
    }

    /// What it decides of a body, and what is to be noted of it.
    pub(super) fn verdict(&self, body: &str, verdict: types::Verdict) -> (Verdict, Option<Mark>) {
        match verdict {
            types::Verdict::Allow => (Verdict::Allow, None),
            // It changes nothing: there is nothing to note of it, and its author is not told that it is altered.
            types::Verdict::Replace(text) if text == body => (Verdict::Allow, None),
            // One of nothing but space is nothing, which the author is told.
            types::Verdict::Replace(text) if Body::parse(&text).is_err_and(|it| it != TextError::Blank) => {
                let note = "the plugin's replacement is too long, or no text".to_owned();
                (Verdict::Hold { note: note.clone() }, Some(self.mark("hold", "too-long", note, String::new())))
            }
            types::Verdict::Replace(text) => {
                // The contract has no finding for it: the host sees where the other text is another.
                let (start, end) = changed(body, &text);
                let mark = self.mark("replace", "", String::new(), String::new());
                (Verdict::Replace(text), Some(Mark { span: Some(("body", start, end)), ..mark }))
            }
            types::Verdict::Flag(flagging) => (Verdict::Allow, Some(self.flagged(flagging))),
            types::Verdict::Hold(finding) => {
                let mark = self.found("hold", finding, String::new());
                (Verdict::Hold { note: mark.note.clone() }, Some(mark))
            }
            types::Verdict::Bounce(types::Refusal { reason, finding }) => {
                let mark = self.found("bounce", finding, cut(reason));
                (Verdict::Bounce { reason: mark.shown.clone() }, Some(mark))
            }
            types::Verdict::Reject(refusal) => self.rejected(refusal),
            types::Verdict::Shadow(finding) => {
                (Verdict::Shadow(None), Some(self.found("shadow", finding, String::new())))
            }
        }
    }

    fn rejected(&self, refusal: types::Refusal) -> (Verdict, Option<Mark>) {
        let types::Refusal { reason, finding } = refusal;
        let mark = self.found("reject", finding, cut(reason));
        (Verdict::Reject { reason: mark.shown.clone(), note: mark.note.clone() }, Some(mark))
    }

    pub(super) fn act_verdict(&self, verdict: types::ActVerdict) -> (Verdict, Option<Mark>) {
        match verdict {
            types::ActVerdict::Allow => (Verdict::Allow, None),
            types::ActVerdict::Flag(flagging) => (Verdict::Allow, Some(self.flagged(flagging))),
            types::ActVerdict::Reject(refusal) => self.rejected(refusal),
        }
    }
}

/// What the server says for itself, of a text that it could not ask a plugin about. No plugin is called so.
pub(super) fn by_server(verdict: &'static str, rule: &str, note: &str, enforced: bool) -> Mark {
    let server = Speaker { plugin: SERVER_ID.into(), hash: "".into(), enforced };
    server.mark(verdict, rule, note.to_owned(), String::new())
}

/// Where a text was replaced: its bytes between what it has in common with the new one at its beginning and at its end.
fn changed(before: &str, after: &str) -> (u32, u32) {
    let head: usize =
        before.chars().zip(after.chars()).take_while(|(old, new)| old == new).map(|(it, _)| it.len_utf8()).sum();
    let (before_rest, after_rest) = (before.get(head..).unwrap_or_default(), after.get(head..).unwrap_or_default());
    let pairs = before_rest.chars().rev().zip(after_rest.chars().rev());
    let tail: usize = pairs.take_while(|(old, new)| old == new).map(|(it, _)| it.len_utf8()).sum();
    (head as u32, (before.len() - tail) as u32)
}

#[cfg(test)]
mod tests {
    use confab_plugin::kept::{TEXT_BYTES_MAX, is_tame};
    use confab_protocol::model::CaseText;
    use confab_protocol::text::is_deceptive;

    use super::{Speaker, Verdict, changed, cut, types};

    #[test]
    fn another_text_that_is_the_same_is_none() {
        let speaker = Speaker { plugin: "x".into(), hash: "".into(), enforced: true };
        let said = |body: &str, text: &str| speaker.verdict(body, types::Verdict::Replace(text.to_owned()));
        assert_eq!(said("a word", "a word"), (Verdict::Allow, None));
        let (verdict, mark) = said("a word", "a Word");
        assert_eq!(verdict, Verdict::Replace("a Word".to_owned()));
        assert_eq!(mark.and_then(|it| it.span), Some(("body", 2, 3)));
    }

    #[test]
    fn what_a_plugin_notes_can_be_shown_whatever_it_quotes() {
        let noted = cut("says \u{202e}ecin\u{2069}, \u{200b}and \u{1b}[31m\n".to_owned());
        assert_eq!(noted, "says ecin, and [31m");
        assert!(CaseText::parse(&noted).is_ok());
        // The last letter does not fit.
        let long = cut(["x", &"\u{e9}".repeat(TEXT_BYTES_MAX)].concat());
        assert!(long.ends_with('\u{e9}') && long.len() == TEXT_BYTES_MAX - 1, "{} bytes", long.len());
        // The SDK knows nothing of the protocol, and says the same of each.
        let other = ('\0'..=char::MAX).find(|c| is_tame(*c) == (c.is_control() || is_deceptive(*c)));
        assert_eq!(other, None);
    }

    #[test]
    fn what_was_replaced_is_between_what_is_the_same() {
        for (before, after, expected) in [
            ("upper", "UPPER", (0, 5)),
            ("a bad word", "a *** word", (2, 5)),
            ("a\u{202e}b", "ab", (1, 4)),
            ("ab", "a\u{202e}b", (1, 1)),
            // The second of two alike is as good as the first, and is counted once.
            ("aa", "a", (1, 2)),
            ("a", "aa", (1, 1)),
            ("same", "same", (4, 4)),
            // Characters whose first bytes are the same, and whose last are.
            ("x\u{e9}y", "x\u{e8}y", (1, 3)),
            ("x\u{e9}y", "x\u{129}y", (1, 3)),
            ("x", "", (0, 1)),
        ] {
            assert_eq!(changed(before, after), expected, "{before:?} {after:?}");
        }
    }
}
