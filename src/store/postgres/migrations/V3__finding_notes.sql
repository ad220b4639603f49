-- What plugins noted of what they found. These are words, which may quote somebody: they stand apart from the audit, which
-- has none and is kept for ever, and go with the evidence.
CREATE TABLE finding_notes (
    audit_id uuid PRIMARY KEY,               -- the record
    author   uuid NOT NULL,                  -- whose words it may quote
    note     text NOT NULL,
    kept_ms  bigint NOT NULL
);

CREATE INDEX finding_notes_author ON finding_notes (author);
CREATE INDEX finding_notes_age ON finding_notes (kept_ms);

ALTER TABLE finding_notes ALTER note SET STATISTICS 0;

-- Nobody ever read it.
ALTER TABLE unappended DROP COLUMN note;
