-- Ids are 16-byte UUIDv7 blobs, times milliseconds since the Unix epoch.

CREATE TABLE users (
    id            BLOB PRIMARY KEY,
    username      TEXT NOT NULL UNIQUE,      -- folded by the core
    username_key  TEXT NOT NULL UNIQUE,      -- what it looks like; core::names
    display_name  TEXT NOT NULL,
    role          INTEGER NOT NULL,          -- ServerRole
    password_hash TEXT,                      -- null: cannot log in by password
    self_room     BLOB NOT NULL,
    token_version INTEGER NOT NULL DEFAULT 0,
    created_ms    INTEGER NOT NULL,
    restriction   INTEGER NOT NULL DEFAULT 0, -- on the whole server: 0 none, 1 muted, 2 banned ...
    until_ms      INTEGER NOT NULL DEFAULT 0 -- ... until then; 0: until it is lifted
) WITHOUT ROWID, STRICT;

CREATE UNIQUE INDEX users_owner ON users (role) WHERE role = 1;
-- Who is told of what happens where nobody moderates.
CREATE INDEX users_moderators ON users (role DESC, id) WHERE role <= 3;

CREATE TABLE devices (
    id         BLOB NOT NULL,
    user       BLOB NOT NULL REFERENCES users (id),
    name       TEXT NOT NULL,
    active     INTEGER NOT NULL,             -- 0 after logout
    login      INTEGER NOT NULL DEFAULT 0,   -- counts logins after a logout; access tokens carry it
    created_ms INTEGER NOT NULL,
    seen_ms    INTEGER NOT NULL DEFAULT 0,   -- the last login or refresh
    scopes     INTEGER NOT NULL DEFAULT 15,  -- what it may be used for; see core::standing
    PRIMARY KEY (user, id)
) WITHOUT ROWID, STRICT;

CREATE TABLE refresh_tokens (
    hash        BLOB PRIMARY KEY,            -- SHA-256
    family      BLOB NOT NULL,
    user        BLOB NOT NULL,
    device      BLOB NOT NULL,
    idle_ms     INTEGER NOT NULL,            -- not after
    absolute_ms INTEGER NOT NULL,            -- not after
    spent_ms    INTEGER                      -- null: unused
) WITHOUT ROWID, STRICT;

CREATE INDEX refresh_tokens_family ON refresh_tokens (family);
CREATE INDEX refresh_tokens_device ON refresh_tokens (user, device);
CREATE INDEX refresh_tokens_absolute ON refresh_tokens (absolute_ms);

-- API keys: each is the login of a device of its own.
CREATE TABLE api_keys (
    hash       BLOB PRIMARY KEY,             -- SHA-256
    user       BLOB NOT NULL,
    device     BLOB NOT NULL,
    expires_ms INTEGER NOT NULL,             -- not after
    UNIQUE (user, device)
) WITHOUT ROWID, STRICT;

-- Tokens that are good a few times: for a new password, or for a new account.
CREATE TABLE tickets (
    hash       BLOB PRIMARY KEY,             -- SHA-256
    kind       INTEGER NOT NULL,             -- TicketKind
    user       BLOB NOT NULL,                -- whose password, or who invites
    author     BLOB NOT NULL,                -- who gave it, and must still be allowed to; zeros: the operator
    uses_left  INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL
) WITHOUT ROWID, STRICT;

CREATE INDEX tickets_expires ON tickets (expires_ms);
CREATE INDEX tickets_user ON tickets (user);

-- One row: what every server on this store heeds.
CREATE TABLE controls (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    epoch INTEGER NOT NULL,                  -- counts the changes
    level INTEGER NOT NULL                   -- Level
) STRICT;

INSERT INTO controls (one, epoch, level) VALUES (1, 0, 0);

-- Whose connections are to be closed, by the epoch in which that was said.
CREATE TABLE revocations (
    epoch  INTEGER PRIMARY KEY,
    user   BLOB NOT NULL,
    device BLOB,                             -- null: all of theirs
    code   INTEGER NOT NULL                  -- CloseCode
) STRICT;

CREATE TABLE rooms (
    id          BLOB PRIMARY KEY,
    kind        INTEGER NOT NULL,            -- RoomKind
    name        TEXT,                        -- null for self logs and rooms of two
    name_key    TEXT,                        -- what it looks like; core::names
    pair        BLOB UNIQUE,                 -- of a room of two: both ids, the smaller first
    topic       TEXT NOT NULL DEFAULT '',
    incarnation INTEGER NOT NULL,
    first_seq   INTEGER NOT NULL DEFAULT 1,
    head        INTEGER NOT NULL DEFAULT 0,
    last_ms     INTEGER NOT NULL DEFAULT 0,  -- time of the newest entry
    acl_version INTEGER NOT NULL DEFAULT 0,
    members     INTEGER NOT NULL DEFAULT 0,
    messages    INTEGER NOT NULL DEFAULT 0,  -- appended ever; the number of the newest
    slow_mode_ms INTEGER NOT NULL DEFAULT 0, -- least time between two messages of a member
    retention_ms INTEGER NOT NULL DEFAULT 0, -- entries older than this are retired; 0: never
    since_join  INTEGER NOT NULL DEFAULT 0,  -- members see what was appended since they came in
    knocks      INTEGER NOT NULL DEFAULT 0,  -- others may ask to be let in
    rights      INTEGER NOT NULL DEFAULT 0,  -- least roles, 4 bits each: post, react, invite, pin; 0: the default
    created_ms  INTEGER NOT NULL
) WITHOUT ROWID, STRICT;

-- A name that is taken by a private room would tell that there is one.
CREATE UNIQUE INDEX rooms_name ON rooms (name_key) WHERE kind = 1;

CREATE INDEX rooms_retention ON rooms (id) WHERE retention_ms > 0;

CREATE TABLE members (
    room      BLOB NOT NULL REFERENCES rooms (id),
    user      BLOB NOT NULL REFERENCES users (id),
    role      INTEGER NOT NULL,              -- RoomRole
    join_seq  INTEGER NOT NULL,
    leave_seq INTEGER,                       -- null: is a member
    restriction  INTEGER NOT NULL DEFAULT 0, -- 0 none, 1 muted, 2 banned ...
    until_ms     INTEGER NOT NULL DEFAULT 0, -- ... until then; 0: until it is lifted
    last_post_ms INTEGER NOT NULL DEFAULT 0, -- kept while the room is slow
    knocked_ms   INTEGER NOT NULL DEFAULT 0, -- when they last asked to be let in
    read_seq     INTEGER NOT NULL DEFAULT 0, -- read marker ...
    read_number  INTEGER NOT NULL DEFAULT 0, -- ... and the number of the last message up to it
    PRIMARY KEY (room, user)
) WITHOUT ROWID, STRICT;

CREATE INDEX members_user ON members (user, room);

CREATE TABLE entries (
    room      BLOB NOT NULL REFERENCES rooms (id),
    seq       INTEGER NOT NULL,
    time_ms   INTEGER NOT NULL,
    rev       INTEGER NOT NULL DEFAULT 0,
    kind      INTEGER NOT NULL,              -- Change::kind; 9: a message was deleted
    author    BLOB NOT NULL,
    client_id BLOB NOT NULL,
    digest    BLOB NOT NULL,
    altered   INTEGER NOT NULL,
    payload   BLOB NOT NULL,                 -- the encoded entry: stored, pushed and paged as it is
    number    INTEGER,                       -- of a message: how many the room had with it
    target    INTEGER,                       -- the message that this answers, edits, pins or reacts to
    pinned    INTEGER NOT NULL DEFAULT 0,
    checksum  INTEGER NOT NULL,              -- CRC-32 of room, seq, time, rev and payload
    PRIMARY KEY (room, seq)
) WITHOUT ROWID, STRICT;

-- Answers to a message.
CREATE INDEX entries_answers ON entries (room, target, seq) WHERE kind IN (1, 65) AND target IS NOT NULL;
CREATE INDEX entries_pinned ON entries (room, seq) WHERE pinned = 1;

-- What messages said before they were edited or deleted; for moderators.
CREATE TABLE entry_revisions (
    room        BLOB NOT NULL,
    seq         INTEGER NOT NULL,
    rev         INTEGER NOT NULL,
    time_ms     INTEGER NOT NULL,            -- of the message
    payload     BLOB NOT NULL,
    checksum    INTEGER NOT NULL,
    replaced_ms INTEGER NOT NULL,
    PRIMARY KEY (room, seq, rev)
) WITHOUT ROWID, STRICT;

CREATE INDEX entry_revisions_age ON entry_revisions (replaced_ms);

CREATE TABLE reactions (
    room  BLOB NOT NULL,
    seq   INTEGER NOT NULL,
    emoji TEXT NOT NULL,
    user  BLOB NOT NULL,
    PRIMARY KEY (room, seq, emoji, user)
) WITHOUT ROWID, STRICT;

CREATE INDEX reactions_of ON reactions (user);

CREATE TABLE mentions (
    user BLOB NOT NULL,
    room BLOB NOT NULL,
    seq  INTEGER NOT NULL,
    PRIMARY KEY (user, room, seq)
) WITHOUT ROWID, STRICT;

CREATE INDEX mentions_entry ON mentions (room, seq);

CREATE UNIQUE INDEX entries_client_id ON entries (client_id, author, room);

CREATE TABLE invites (
    hash       BLOB PRIMARY KEY,             -- SHA-256 of the token
    room       BLOB NOT NULL,
    author     BLOB NOT NULL,
    uses_left  INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    created_ms INTEGER NOT NULL
) WITHOUT ROWID, STRICT;

CREATE INDEX invites_expires ON invites (expires_ms);
CREATE INDEX invites_author ON invites (room, author);
-- What is held on somebody is found without a look at everybody's.
CREATE INDEX invites_of ON invites (author);

-- What was decided without appending: held for review, or refused by a plugin.
CREATE TABLE unappended (
    room      BLOB NOT NULL,
    author    BLOB NOT NULL,
    client_id BLOB NOT NULL,
    digest    BLOB NOT NULL,
    case_id   BLOB,                          -- null: refused
    code      INTEGER NOT NULL,              -- of the reject; 0 when held
    detail    TEXT NOT NULL,                 -- what the author was told
    note      TEXT NOT NULL,                 -- for moderators
    payload   BLOB NOT NULL,                 -- empty when refused
    time_ms   INTEGER NOT NULL,
    PRIMARY KEY (room, author, client_id)
) WITHOUT ROWID, STRICT;

CREATE INDEX unappended_case ON unappended (case_id) WHERE case_id IS NOT NULL;
CREATE INDEX unappended_time ON unappended (room, time_ms);
CREATE INDEX unappended_age ON unappended (time_ms);
CREATE INDEX unappended_of ON unappended (author);

-- What waits for a moderator, and what was decided. See core::cases.
CREATE TABLE cases (
    id          BLOB PRIMARY KEY,
    room        BLOB NOT NULL,
    kind        INTEGER NOT NULL,            -- CaseKind
    state       INTEGER NOT NULL,            -- CaseState
    subject     BLOB NOT NULL,               -- whom it is about
    seq         INTEGER,                     -- the message; null: none, or it is held still
    reason      INTEGER NOT NULL,            -- ReportReason; 0: none
    reports     INTEGER NOT NULL,
    assignee    BLOB,                        -- who looks into it
    decision    INTEGER NOT NULL,            -- CaseDecision; 0: none yet
    decider     BLOB,
    decided_ms  INTEGER NOT NULL,
    appeal_decision INTEGER NOT NULL,        -- CaseDecision; 0: none (yet)
    due         INTEGER NOT NULL,            -- what was decided is not done yet
    opened_ms   INTEGER NOT NULL,
    changed_ms  INTEGER NOT NULL,
    reminded_ms INTEGER NOT NULL
) WITHOUT ROWID, STRICT;

CREATE INDEX cases_room ON cases (room, id);
CREATE INDEX cases_subject ON cases (subject, id);
CREATE INDEX cases_waiting ON cases (reminded_ms) WHERE state IN (1, 2, 4);
CREATE INDEX cases_waiting_id ON cases (id) WHERE state IN (1, 2, 4);
CREATE INDEX cases_waiting_age ON cases (changed_ms) WHERE state IN (1, 2, 4);
CREATE INDEX cases_due ON cases (id) WHERE due;
CREATE INDEX cases_message ON cases (room, seq) WHERE state IN (1, 2) AND seq IS NOT NULL;
CREATE UNIQUE INDEX cases_report ON cases (room, subject, coalesce(seq, 0)) WHERE kind = 2 AND state IN (1, 2);

CREATE TABLE case_events (
    case_id  BLOB NOT NULL REFERENCES cases (id),
    n        INTEGER NOT NULL,
    time_ms  INTEGER NOT NULL,
    actor    BLOB,                           -- null: a plugin, or the server
    act      INTEGER NOT NULL,               -- CaseAct
    decision INTEGER NOT NULL,
    text     TEXT NOT NULL,                  -- goes with the evidence
    PRIMARY KEY (case_id, n)
) WITHOUT ROWID, STRICT;

CREATE INDEX case_events_actor ON case_events (actor, case_id);
CREATE INDEX case_events_age ON case_events (time_ms) WHERE text <> '';

-- What was said that cases are about, as it was stored then; sealed where it stood.
CREATE TABLE evidence (
    case_id BLOB NOT NULL REFERENCES cases (id),
    seq     INTEGER NOT NULL,
    room    BLOB NOT NULL,
    rev     INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    author  BLOB NOT NULL,
    payload BLOB NOT NULL,
    kept_ms INTEGER NOT NULL,
    PRIMARY KEY (case_id, seq)
) WITHOUT ROWID, STRICT;

CREATE INDEX evidence_author ON evidence (author);
CREATE INDEX evidence_age ON evidence (kept_ms);

-- Who did what to whom: references and hashes, never what was said. Beside the record stand the columns that it is found by.
CREATE TABLE audit (
    id      BLOB PRIMARY KEY,
    time_ms INTEGER NOT NULL,
    actor   BLOB,                            -- null: a plugin, or who runs the machine
    place   BLOB,                            -- the room
    whom    BLOB,
    case_id BLOB,
    plugin  TEXT,
    record  BLOB NOT NULL                    -- an encoded AuditRecord
) WITHOUT ROWID, STRICT;

CREATE INDEX audit_actor ON audit (actor, id);
CREATE INDEX audit_place ON audit (place, id);
CREATE INDEX audit_whom ON audit (whom, id);
CREATE INDEX audit_case ON audit (case_id, id) WHERE case_id IS NOT NULL;
CREATE INDEX audit_plugin ON audit (plugin, id) WHERE plugin IS NOT NULL;

-- REPLACE deletes without a trigger.
CREATE TRIGGER audit_is_written_once BEFORE INSERT ON audit WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id)
BEGIN SELECT raise(ABORT, 'the audit is not changed'); END;
CREATE TRIGGER audit_stays_as_it_is BEFORE UPDATE ON audit BEGIN SELECT raise(ABORT, 'the audit is not changed'); END;
CREATE TRIGGER audit_stays BEFORE DELETE ON audit BEGIN SELECT raise(ABORT, 'the audit is kept'); END;

-- How far plugins were shown the logs; the room of zeros says that one began.
CREATE TABLE observed (
    plugin TEXT NOT NULL,
    room   BLOB NOT NULL,
    seq    INTEGER NOT NULL,
    PRIMARY KEY (plugin, room)
) WITHOUT ROWID, STRICT;

-- Keys that payloads are sealed with: that one is missing is told at start, and not by what cannot be read.
CREATE TABLE seal_keys (
    id          INTEGER PRIMARY KEY,
    fingerprint TEXT NOT NULL
) STRICT;
