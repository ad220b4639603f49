//! A batch column by column, as `unnest` takes it.

use std::borrow::Cow;

use confab_protocol::model::RoomId;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::rows::Stored;
use crate::core::append::{Decided, Decision, Facts, Numbers};
use crate::core::seal::{Place, Vault};

/// The entries of a batch, column by column.
#[derive(Default)]
pub(super) struct Columns<'a> {
    pub(super) rooms: Vec<Uuid>,
    seqs: Vec<i64>,
    times: Vec<i64>,
    kinds: Vec<i16>,
    authors: Vec<Uuid>,
    ids: Vec<Uuid>,
    digests: Vec<Vec<u8>>,
    altered: Vec<bool>,
    payloads: Vec<Cow<'a, [u8]>>,
    numbers: Vec<Option<i64>>,
    targets: Vec<Option<i64>>,
}

impl<'a> Columns<'a> {
    pub(super) fn of(vault: &Vault, facts: &Facts, decided: &'a [Decided]) -> Self {
        let (mut columns, mut numbers) = (Self::default(), Numbers::of(facts, decided));
        for (item, decision) in decided.iter().flat_map(Decided::all) {
            let Decision::Append { seq, time, audience, .. } = decision else { continue };
            columns.rooms.push(item.room.sql());
            columns.seqs.push(seq.sql());
            columns.times.push(time.sql());
            columns.kinds.push(i16::from(audience.kind(item.change.kind())));
            columns.authors.push(item.author.sql());
            columns.ids.push(item.client_id.sql());
            let by = Place::Unappended(item.room, item.author, item.client_id);
            columns.digests.push(vault.seal_digest(by, item.digest));
            columns.altered.push(item.altered);
            columns.payloads.push(vault.seal(Place::Entry(item.room, *seq, 0), &item.payload));
            columns.numbers.push(numbers.take(item, *audience).map(u64::cast_signed));
            columns.targets.push(item.change.target().map(Stored::sql));
        }
        columns
    }

    pub(super) fn params(&self) -> [&(dyn ToSql + Sync); 11] {
        let Self { rooms, seqs, times, kinds, authors, ids, digests, altered, payloads, numbers, targets } = self;
        [rooms, seqs, times, kinds, authors, ids, digests, altered, payloads, numbers, targets]
    }
}

/// The rooms that a batch moved on, column by column.
#[derive(Default)]
pub(super) struct RoomColumns {
    ids: Vec<Uuid>,
    heads: Vec<i64>,
    times: Vec<i64>,
    acl_versions: Vec<i64>,
    members: Vec<i32>,
    messages: Vec<i64>,
}

impl RoomColumns {
    pub(super) fn of(facts: &Facts, rooms: &[Uuid]) -> Self {
        let mut rooms: Vec<Uuid> = rooms.to_vec();
        rooms.sort_unstable();
        rooms.dedup();
        let mut columns = Self::default();
        for room in rooms {
            let Some(state) = facts.rooms.get(&RoomId::from_u128(room.as_u128())) else { continue };
            columns.ids.push(room);
            columns.heads.push(state.head.sql());
            columns.times.push(state.last_time.sql());
            columns.acl_versions.push(state.acl_version.cast_signed());
            columns.members.push(state.members.cast_signed());
            columns.messages.push(state.messages.cast_signed());
        }
        columns
    }

    pub(super) fn params(&self) -> [&(dyn ToSql + Sync); 6] {
        let Self { ids, heads, times, acl_versions, members, messages } = self;
        [ids, heads, times, acl_versions, members, messages]
    }
}
