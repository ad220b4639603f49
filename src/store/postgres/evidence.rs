//! What a case keeps once more of the message that it is about. Who reports it, or has it flagged, before it is made worse
//! does not settle what is kept.

use confab_protocol::model::{CaseId, Millis};

use super::rooms::bound;
use super::rows::{Params, Stored};
use crate::core::append::TargetKey;
use crate::core::cases::REVISIONS_MAX;

// As it is stored now, where the case does not have that text yet, and has fewer than so many.
const KEEP: &str = "INSERT INTO evidence (case_id, seq, rev, room, time_ms, author, payload, kept_ms)
     SELECT $1::uuid, seq, rev, room, time_ms, author, payload, $4::bigint FROM entries
     WHERE room = $2 AND seq = $3 AND kind IN (1, 65)
         AND (SELECT count(*) FROM evidence WHERE case_id = $1 AND seq = $3) < $5 ON CONFLICT DO NOTHING";
// The first stays, and so many of the newest.
const BOUND: &str = "DELETE FROM evidence WHERE case_id = $1 AND seq = $2
     AND rev > (SELECT min(rev) FROM evidence WHERE case_id = $1 AND seq = $2)
     AND rev <= (SELECT rev FROM evidence WHERE case_id = $1 AND seq = $2 ORDER BY rev DESC LIMIT 1 OFFSET $3)";

/// Statements by which a case that has fewer than so many texts of its message keeps it as it reads now. Whoever runs them
/// holds the room's lock.
pub(super) fn again(case: CaseId, (room, seq): TargetKey, now: Millis, below: usize) -> [(&'static str, Params); 2] {
    let mut keep: Params = vec![Box::new(case.sql()), Box::new(room.sql()), Box::new(seq.sql()), Box::new(now.sql())];
    keep.push(Box::new(bound(below)));
    let least: Params = vec![Box::new(case.sql()), Box::new(seq.sql()), Box::new(bound(REVISIONS_MAX - 1))];
    [(KEEP, keep), (BOUND, least)]
}
