//! Searches and what they found, both ways.

use bytes::Bytes;

use super::FrameError;
use super::read::{bounded, some};
use super::reply::{read_envelope, write_envelope};
use super::request::count;
use super::values::{malformed, read_id, utf8, write_id};
use crate::chat_capnp as wire;
use crate::command::{FoundAt, Hit, Reply, Search};
use crate::limits::{PAGE_HITS_MAX, QUERY_BYTES_MAX};
use crate::model::{Millis, RoomId, Seq};
use crate::reject::Reject;

pub(super) fn read(search: wire::search::Reader<'_>) -> Result<Search, Reject> {
    let query = utf8(search.get_query())?;
    bounded(query.len(), QUERY_BYTES_MAX)?;
    let room: RoomId = read_id(some(search.get_room())?);
    let before =
        if search.has_before() { Some(read_place(some(search.get_before())?).map_err(|_| malformed())?) } else { None };
    let limit = match usize::from(search.get_limit()) {
        0 => PAGE_HITS_MAX,
        limit => limit.min(PAGE_HITS_MAX),
    };
    Ok(Search { room: (!room.is_none()).then_some(room), query: query.to_owned(), before, limit })
}

pub(super) fn write(mut out: wire::search::Builder<'_>, search: &Search) {
    if let Some(room) = search.room {
        write_id(out.reborrow().init_room(), room);
    }
    out.set_query(search.query.as_str());
    out.set_limit(u16::try_from(search.limit).unwrap_or(0));
    if let Some(before) = &search.before {
        write_place(out.init_before(), before);
    }
}

fn read_place(place: wire::found_at::Reader<'_>) -> capnp::Result<FoundAt> {
    Ok(FoundAt { time: Millis(place.get_time_ms()), room: read_id(place.get_room()?), seq: Seq(place.get_seq()) })
}

fn write_place(mut out: wire::found_at::Builder<'_>, place: &FoundAt) {
    out.set_time_ms(place.time.0);
    write_id(out.reborrow().init_room(), place.room);
    out.set_seq(place.seq.0);
}

pub(super) fn write_found(mut out: wire::found::Builder<'_>, hits: &[Hit], next: Option<&FoundAt>) {
    if let Some(next) = next {
        write_place(out.reborrow().init_next(), next);
    }
    let mut list = out.init_hits(count(hits.len()));
    for (index, hit) in (0..).zip(hits) {
        let mut out = list.reborrow().get(index);
        write_id(out.reborrow().init_room(), hit.room);
        write_envelope(out.init_message(), &hit.message);
    }
}

pub(super) fn read_found(frame: &Bytes, found: wire::found::Reader<'_>) -> Result<Reply, FrameError> {
    let hit = |hit: wire::hit::Reader<'_>| {
        Ok(Hit { room: read_id(hit.get_room()?), message: read_envelope(frame, hit.get_message()?, None)? })
    };
    let hits = found.get_hits()?.iter().map(hit).collect::<Result<_, FrameError>>()?;
    let next = if found.has_next() { Some(read_place(found.get_next()?)?) } else { None };
    Ok(Reply::Found { hits, next })
}
