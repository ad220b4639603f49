//! What people type for the values of the protocol, and what is shown for those that the core has no words for.

use confab_protocol::command::CaseFilter;
use confab_protocol::limits::{CASE_TEXT_BYTES_MAX, REASON_BYTES_MAX, SLOW_MODE_MS_MAX};
use confab_protocol::model::{
    CaseAct, CaseDecision, CaseId, CaseKind, CaseState, CaseText, Millis, Reason, ReportReason, RoomRole, TextError,
};

use crate::cli::duration;
use crate::core::cases::{decision_name, kind_name, reason_name, state_name};

pub(super) const fn act_name(act: CaseAct) -> &'static str {
    match act {
        CaseAct::Open => "open",
        CaseAct::Report => "report",
        CaseAct::Take => "take",
        CaseAct::LetGo => "let-go",
        CaseAct::Note => "note",
        CaseAct::Decide => "decide",
        CaseAct::Appeal => "appeal",
        CaseAct::Fail => "fail",
    }
}

pub(super) const fn room_role_name(role: RoomRole) -> &'static str {
    match role {
        RoomRole::Owner => "owner",
        RoomRole::Admin => "admin",
        RoomRole::Moderator => "moderator",
        RoomRole::Member => "member",
        RoomRole::Guest => "guest",
        RoomRole::Muted => "muted",
        RoomRole::Banned => "banned",
    }
}

pub(super) fn filter(word: &str) -> Result<CaseFilter, String> {
    match word {
        "waiting" => Ok(CaseFilter::Waiting),
        "any" => Ok(CaseFilter::Any),
        _ => {
            let state = pick(word, numbered(CaseState::from_number), state_name);
            state.map(CaseFilter::In).map_err(|others| format!("{others}, waiting, any"))
        }
    }
}

pub(super) fn kind(word: &str) -> Result<CaseKind, String> {
    pick(word, numbered(CaseKind::from_number), kind_name)
}

/// Somebody is sanctioned where they are: a case only keeps that they were.
pub(super) fn decision(word: &str) -> Result<CaseDecision, String> {
    let by_hand = numbered(CaseDecision::from_number).filter(|decision| *decision != CaseDecision::Sanction);
    pick(word, by_hand, decision_name)
}

pub(super) fn reason(word: &str) -> Result<ReportReason, String> {
    pick(word, numbered(ReportReason::from_number), reason_name)
}

/// Nobody is given "muted" or "banned", which are no ranks.
pub(super) fn room_role(word: &str) -> Result<RoomRole, String> {
    let is_rank = |role: &RoomRole| !matches!(role, RoomRole::Muted | RoomRole::Banned);
    pick(word, numbered(RoomRole::from_number).filter(is_rank), room_role_name)
}

/// Milliseconds; none are off.
pub(super) fn slow_mode(text: &str) -> Result<u32, String> {
    if text == "off" {
        return Ok(0);
    }
    let time = duration(text).map_err(|wrong| format!("off, or {wrong}"))?;
    let short = u32::try_from(time).ok().filter(|time| *time <= SLOW_MODE_MS_MAX);
    short.ok_or_else(|| format!("it is too long: at most {}h", SLOW_MODE_MS_MAX / 3_600_000))
}

/// Why something is done to somebody; it may be left out.
pub(super) fn because(text: &str) -> Result<Reason, String> {
    Reason::parse(text).map_err(|error| match error {
        TextError::TooLong => format!("it is too long: at most {REASON_BYTES_MAX} bytes"),
        TextError::Blank | TextError::Invalid => format!("it {error}"),
    })
}

pub(super) fn case(text: &str) -> Result<CaseId, String> {
    let id = text.parse().ok().filter(|id: &CaseId| !id.is_none());
    id.ok_or_else(|| "a case is named by its id, as `confab mod cases` lists it".to_owned())
}

/// What may be left out.
pub(super) fn text(text: &str) -> Result<CaseText, String> {
    CaseText::parse(text).map_err(|error| match error {
        TextError::TooLong => format!("it is too long: at most {CASE_TEXT_BYTES_MAX} bytes"),
        TextError::Blank | TextError::Invalid => format!("it {error}"),
    })
}

/// What is nothing without words.
pub(super) fn said(words: &str) -> Result<CaseText, String> {
    if words.trim().is_empty() { Err("it is blank".to_owned()) } else { text(words) }
}

/// A time as somebody types it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Moment {
    /// So many milliseconds ago.
    Ago(u64),
    At(Millis),
}

impl Moment {
    pub(super) const fn at(self, now: Millis) -> Millis {
        match self {
            Self::Ago(time) => Millis(now.0.saturating_sub(time)),
            Self::At(time) => time,
        }
    }
}

pub(super) fn moment(text: &str) -> Result<Moment, String> {
    let ago = || duration(text).ok().map(Moment::Ago);
    let found = date(text).map(Moment::At).or_else(ago);
    found.ok_or_else(|| "a time ago as 12h or 7d, or in UTC as 2026-07-01 or 2026-07-01T12:00:00".to_owned())
}

/// In UTC, also as it is shown; a day alone is its beginning.
fn date(text: &str) -> Option<Millis> {
    let text = text.strip_suffix(" UTC").or_else(|| text.strip_suffix('Z')).unwrap_or(text);
    let (day, clock) = text.split_once(['T', ' ']).unwrap_or((text, "0:0:0"));
    let [year, month, day] = numbers(day, '-')?;
    let month = time::Month::try_from(u8::try_from(month).ok()?).ok()?;
    let date = time::Date::from_calendar_date(i32::from(year), month, u8::try_from(day).ok()?).ok()?;
    let [hour, minute, second] = numbers(clock, ':')?.map(|number| u8::try_from(number).ok());
    let clock = time::Time::from_hms(hour?, minute?, second?).ok()?;
    let seconds = date.with_time(clock).assume_utc().unix_timestamp();
    u64::try_from(seconds).ok()?.checked_mul(1_000).map(Millis)
}

fn numbers(text: &str, between: char) -> Option<[u16; 3]> {
    let parts: Option<Vec<u16>> = text.split(between).map(|part| part.parse().ok()).collect();
    parts?.try_into().ok()
}

/// All values that a number stands for.
fn numbered<T>(of_number: fn(u8) -> Option<T>) -> impl Iterator<Item = T> {
    (1..=u8::MAX).map_while(of_number)
}

fn pick<T: Copy>(word: &str, values: impl Iterator<Item = T>, name: fn(T) -> &'static str) -> Result<T, String> {
    let values: Vec<T> = values.collect();
    let found = values.iter().copied().find(|value| name(*value) == word);
    found.ok_or_else(|| {
        let names: Vec<&str> = values.iter().map(|value| name(*value)).collect();
        format!("one of {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_that_are_shown() {
        assert_eq!(filter("waiting"), Ok(CaseFilter::Waiting));
        assert_eq!(filter("appealed"), Ok(CaseFilter::In(CaseState::Appealed)));
        assert_eq!(filter("x"), Err("one of open, taken, decided, appealed, closed, waiting, any".to_owned()));
        assert_eq!(kind("flag"), Ok(CaseKind::Flag));
        assert_eq!(decision("reverse"), Ok(CaseDecision::Reverse));
        assert_eq!(decision("sanction"), Err("one of dismiss, release, drop, remove, uphold, reverse".to_owned()));
        assert_eq!(reason("self-harm"), Ok(ReportReason::SelfHarm));
        assert_eq!(room_role("guest"), Ok(RoomRole::Guest));
        assert_eq!(room_role("muted"), Err("one of owner, admin, moderator, member, guest".to_owned()));
        assert_eq!((slow_mode("off"), slow_mode("30s"), slow_mode("6h")), (Ok(0), Ok(30_000), Ok(SLOW_MODE_MS_MAX)));
        assert_eq!(slow_mode("7h"), Err("it is too long: at most 6h".to_owned()));
        assert!(slow_mode("soon").is_err_and(|wrong| wrong.starts_with("off, or a number")));
        assert!(because("").is_ok() && because("two\nlines").is_err());
        assert_eq!(because(&"x".repeat(257)), Err("it is too long: at most 256 bytes".to_owned()));
        assert!(case("00000000-0000-0000-0000-000000000000").is_err());
        assert!(text("").is_ok() && said(" ").is_err());
        assert_eq!(text(&"x".repeat(1_001)), Err("it is too long: at most 1000 bytes".to_owned()));
    }
    #[test]
    fn moments_are_ago_or_in_utc() {
        assert_eq!(moment("12h"), Ok(Moment::Ago(12 * 3_600_000)));
        for second in ["2023-11-14T22:13:20", "2023-11-14T22:13:20Z", "2023-11-14 22:13:20 UTC"] {
            assert_eq!(moment(second), Ok(Moment::At(Millis(1_700_000_000_000))), "{second}");
        }
        assert_eq!(moment("1970-01-02"), Ok(Moment::At(Millis(86_400_000))));
        for wrong in ["", "soon", "2023-13-01", "2023-02-29", "1969-12-31", "2023-11", "2023-11-14T22:13", "22:13:20"] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Moment::Ago(5).at(Millis(7)), Millis(2));
        assert_eq!((Moment::Ago(5).at(Millis(3)), Moment::At(Millis(1)).at(Millis(9))), (Millis(0), Millis(1)));
    }
}
