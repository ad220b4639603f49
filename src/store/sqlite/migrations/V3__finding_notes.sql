-- What plugins noted of what they found. These are words, which may quote somebody: they stand apart from the audit, which
-- has none and is kept for ever, and go with the evidence.
CREATE TABLE finding_notes (
    audit_id BLOB PRIMARY KEY,               -- the record
    author   BLOB NOT NULL,                  -- whose words it may quote
    note     TEXT NOT NULL,
    kept_ms  INTEGER NOT NULL
) WITHOUT ROWID, STRICT;

CREATE INDEX finding_notes_author ON finding_notes (author);
CREATE INDEX finding_notes_age ON finding_notes (kept_ms);

-- Nobody ever read it.
ALTER TABLE unappended DROP COLUMN note;
