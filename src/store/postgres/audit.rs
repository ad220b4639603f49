//! The audit as moderators read it, with what plugins noted. How it is written stands in [`super::moderation`].

use bytes::Bytes;
use confab_protocol::command::{AuditEntry, ListAudit};
use confab_protocol::limits::PAGE_BYTES_MAX;
use confab_protocol::model::{CaseText, UserId};
use deadpool_postgres::Client;

use super::moderation::{Query, below};
use super::rooms::bound;
use super::rows::{Stored, get, plain};
use crate::core::store::Result;

pub(super) async fn list(client: &Client, wanted: ListAudit, asker: UserId) -> Result<Vec<AuditEntry>> {
    // In the order of each index, and with what is noted of those that are asked for alone.
    const BELOW: &str = "SELECT id, record, (SELECT note FROM finding_notes n WHERE n.audit_id = audit.id) FROM audit
         WHERE id < ?";
    let ListAudit { room, user, case, plugin, before, limit } = wanted;
    // No text of the database has it in it, and none can be asked for.
    if plugin.as_ref().is_some_and(|plugin| plugin.contains('\0')) {
        return Ok(Vec::new());
    }
    let mut query = Query::default();
    query.push(BELOW, below(before.sql()));
    // What others did to who asks is left out here, so that no page tells by its length that there was something.
    query.push(" AND (whom IS NULL OR whom <> ? OR actor = ?)", asker.sql());
    if let Some(room) = room {
        query.push(" AND place = ?", room.sql());
    }
    if let Some(case) = case {
        query.push(" AND case_id = ?", case.sql());
    }
    if let Some(plugin) = plugin {
        query.push(" AND plugin = ?", plugin);
    }
    let user = user.map(|user| query.bind(user.sql()));
    let end = [" ORDER BY id DESC LIMIT ", &query.bind(bound(limit))].concat();
    let sql = match user {
        None => [query.sql.as_str(), &end].concat(),
        // Each by its index, which has the records of a person in their order.
        Some(user) => {
            let side = |column: &str| ["(", &query.sql, " AND ", column, " = ", &user, &end, ")"].concat();
            [side("actor").as_str(), " UNION ", &side("whom"), &end].concat()
        }
    };
    let (mut entries, mut bytes) = (Vec::new(), 0);
    for row in query.fetch(client, &sql).await? {
        let (record, note): (&[u8], Option<&str>) = (plain(&row, 1)?, plain(&row, 2)?);
        let note = note.unwrap_or_default();
        bytes += record.len() + note.len();
        if bytes > PAGE_BYTES_MAX && !entries.is_empty() {
            break;
        }
        let note = CaseText::parse(note).unwrap_or_default();
        entries.push(AuditEntry { id: get(&row, 0)?, record: Bytes::copy_from_slice(record), note });
    }
    Ok(entries)
}
