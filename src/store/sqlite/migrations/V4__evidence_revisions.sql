-- A case keeps its message once more where it reads otherwise by the time at which somebody joins: who reports it first does
-- not settle what is kept.
CREATE TABLE evidence_revisions (
    case_id BLOB NOT NULL REFERENCES cases (id),
    seq     INTEGER NOT NULL,
    rev     INTEGER NOT NULL,
    room    BLOB NOT NULL,
    time_ms INTEGER NOT NULL,
    author  BLOB NOT NULL,
    payload BLOB NOT NULL,
    kept_ms INTEGER NOT NULL,
    PRIMARY KEY (case_id, seq, rev)
) WITHOUT ROWID, STRICT;

INSERT INTO evidence_revisions (case_id, seq, rev, room, time_ms, author, payload, kept_ms)
    SELECT case_id, seq, rev, room, time_ms, author, payload, kept_ms FROM evidence;

DROP TABLE evidence;
ALTER TABLE evidence_revisions RENAME TO evidence;

CREATE INDEX evidence_author ON evidence (author);
CREATE INDEX evidence_age ON evidence (kept_ms);
