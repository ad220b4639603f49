//! Single values between wire and model: ids, texts, small enums.

use capnp::text;

use super::FrameError;
use crate::chat_capnp as wire;
use crate::command::PresenceStatus;
use crate::model::{
    CaseAct, CaseDecision, CaseKind, CaseState, ClientId, Cursor, DeviceId, Incarnation, MembershipChange,
    ReportReason, RoomId, RoomKind, RoomRole, SanctionKind, Seq, ServerRole, UserId, Visibility,
};
use crate::reject::{Reject, RejectCode};
use crate::rights::RoomRights;
use crate::text::TextError;

/// Ids share one wire form.
pub(super) trait Id: Copy {
    fn halves(self) -> (u64, u64);
    fn join(high: u64, low: u64) -> Self;
}

macro_rules! ids {
    ($($name:ty),+) => {$(
        impl Id for $name {
            fn halves(self) -> (u64, u64) {
                let value = self.as_u128();
                ((value >> 64) as u64, value as u64)
            }
            fn join(high: u64, low: u64) -> Self {
                Self::from_u128(u128::from(high) << 64 | u128::from(low))
            }
        }
    )+};
}

ids!(UserId, DeviceId, RoomId, ClientId, crate::model::SessionId, crate::model::CaseId, crate::model::AuditId);

pub(super) fn read_id<T: Id>(id: wire::id::Reader<'_>) -> T {
    T::join(id.get_high(), id.get_low())
}

pub(super) fn write_id<T: Id>(mut id: wire::id::Builder<'_>, value: T) {
    let (high, low) = value.halves();
    id.set_high(high);
    id.set_low(low);
}

pub(super) fn read_cursor(cursor: wire::cursor::Reader<'_>) -> Result<Cursor, capnp::Error> {
    Ok(Cursor {
        room: read_id(cursor.get_room()?),
        incarnation: Incarnation(cursor.get_incarnation()),
        seq: Seq(cursor.get_seq()),
    })
}

pub(super) fn write_cursor(mut cursor: wire::cursor::Builder<'_>, value: &Cursor) {
    write_id(cursor.reborrow().init_room(), value.room);
    cursor.set_incarnation(value.incarnation.0);
    cursor.set_seq(value.seq.0);
}

/// A seq of 0 is none.
pub(super) fn optional_seq(seq: u64) -> Option<Seq> {
    (seq != 0).then_some(Seq(seq))
}

/// UTF-8 or a reject of the request.
pub(super) fn utf8(text: capnp::Result<text::Reader<'_>>) -> Result<&str, Reject> {
    text.map_err(|_| malformed())?.to_str().map_err(|_| Reject::new(RejectCode::Malformed, "a text is not UTF-8"))
}

/// Text from the server: what is not UTF-8 is not of the protocol.
pub(super) fn server_text(text: capnp::Result<text::Reader<'_>>) -> Result<String, FrameError> {
    Ok(text?.to_str().map_err(|_| FrameError::Invalid)?.to_owned())
}

pub(super) fn malformed() -> Reject {
    RejectCode::Malformed.into()
}

/// A text type refused; names share one code.
pub(super) fn bad_name(what: &'static str) -> impl Fn(TextError) -> Reject {
    move |error| Reject::new(RejectCode::NameInvalid, format!("the {what} {error}"))
}

pub(super) fn write_rights(mut out: wire::room_rights::Builder<'_>, rights: RoomRights) {
    out.set_post(room_role_to(rights.post));
    out.set_react(room_role_to(rights.react));
    out.set_invite(room_role_to(rights.invite));
    out.set_pin(room_role_to(rights.pin));
}

/// What is not said is the default.
pub(super) fn read_rights(rights: wire::room_rights::Reader<'_>) -> RoomRights {
    let default = RoomRights::default();
    RoomRights {
        post: read_room_role(rights.get_post()).unwrap_or(default.post),
        react: read_room_role(rights.get_react()).unwrap_or(default.react),
        invite: read_room_role(rights.get_invite()).unwrap_or(default.invite),
        pin: read_room_role(rights.get_pin()).unwrap_or(default.pin),
    }
}

macro_rules! enums {
    ($($to_wire:ident $from_wire:ident $model:ident: $($variant:ident = $wire:ident),+;)+) => {$(
        pub(super) const fn $to_wire(value: $model) -> wire::$model {
            match value { $($model::$variant => wire::$model::$wire),+ }
        }
        #[allow(unreachable_patterns, reason = "some wire enums have members the model lacks")]
        pub(super) const fn $from_wire(value: Result<wire::$model, capnp::NotInSchema>) -> Option<$model> {
            match value { $(Ok(wire::$model::$wire) => Some($model::$variant),)+ _ => None }
        }
    )+};
}

enums! {
    room_kind_to read_room_kind RoomKind: Channel = Channel, Direct = Direct, SelfLog = SelfLog,
        Private = Private;
    room_role_to read_room_role RoomRole: Owner = Owner, Admin = Admin, Moderator = Moderator, Member = Member,
        Guest = Guest, Muted = Muted, Banned = Banned;
    server_role_to read_server_role ServerRole: Owner = Owner, Admin = Admin, Moderator = Moderator, User = User, Bot = Bot;
    change_to read_change MembershipChange: Joined = Joined, Left = Left, RoleChanged = RoleChanged;
    presence_to read_presence PresenceStatus: Online = Online, Away = Away, Invisible = Invisible;
    visibility_to read_visibility Visibility: All = All, SinceJoin = SinceJoin;
    sanction_kind_to read_sanction_kind SanctionKind: Mute = Mute, Kick = Kick, Ban = Ban, Lift = Lift,
        Shadow = Shadow;
    kind_to read_kind CaseKind: Held = Held, Report = Report, Flag = Flag, Sanction = Sanction;
    state_to read_state CaseState: Open = Open, Taken = Taken, Decided = Decided, Appealed = Appealed, Closed = Closed;
    decision_to read_decision CaseDecision: Dismiss = Dismiss, Release = Release, Drop = Drop, Remove = Remove,
        Sanction = Sanction, Uphold = Uphold, Reverse = Reverse;
    act_to read_act CaseAct: Open = Open, Report = Report, Take = Take, LetGo = LetGo, Note = Note, Decide = Decide,
        Appeal = Appeal, Fail = Fail;
    reason_to read_reason ReportReason: Spam = Spam, Harassment = Harassment, Hate = Hate, Violence = Violence,
        Sexual = Sexual, SelfHarm = SelfHarm, Illegal = Illegal, Other = Other;
}
