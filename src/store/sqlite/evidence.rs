//! What a case keeps once more of the message that it is about. Who reports it, or has it flagged, before it is made worse
//! does not settle what is kept.

use confab_protocol::model::{CaseId, Millis};
use rusqlite::{Connection, params};

use super::rooms::bound;
use super::rows::Sql;
use crate::core::append::TargetKey;
use crate::core::cases::REVISIONS_MAX;
use crate::core::store::Result;

/// The message as it is stored now, where the case does not have that text yet, and has fewer than so many. The first stays,
/// and so many of the newest.
pub(super) fn keep_again(
    connection: &Connection,
    case: CaseId,
    (room, seq): TargetKey,
    now: Millis,
    below: usize,
) -> Result<()> {
    let kept = connection
        .prepare_cached(
            "INSERT INTO evidence (case_id, seq, rev, room, time_ms, author, payload, kept_ms)
             SELECT ?1, seq, rev, room, time_ms, author, payload, ?4 FROM entries
             WHERE room = ?2 AND seq = ?3 AND kind IN (1, 65)
                 AND (SELECT count(*) FROM evidence WHERE case_id = ?1 AND seq = ?3) < ?5 ON CONFLICT DO NOTHING",
        )?
        .execute(params![Sql(case), Sql(room), Sql(seq), Sql(now), bound(below)])?;
    if kept == 0 {
        return Ok(());
    }
    connection
        .prepare_cached(
            "DELETE FROM evidence WHERE case_id = ?1 AND seq = ?2
                 AND rev > (SELECT min(rev) FROM evidence WHERE case_id = ?1 AND seq = ?2)
                 AND rev <= (SELECT rev FROM evidence WHERE case_id = ?1 AND seq = ?2
                     ORDER BY rev DESC LIMIT 1 OFFSET ?3)",
        )?
        .execute(params![Sql(case), Sql(seq), bound(REVISIONS_MAX - 1)])?;
    Ok(())
}
