-- Ids are UUIDv7, times milliseconds since the Unix epoch. The columns mean what they mean in the embedded store.

CREATE TABLE users (
    id            uuid PRIMARY KEY,
    username      text NOT NULL UNIQUE,      -- folded by the core
    username_key  text COLLATE "C" NOT NULL UNIQUE, -- what it looks like; core::names
    display_name  text NOT NULL,
    role          smallint NOT NULL,         -- ServerRole
    password_hash text,                      -- null: cannot log in by password
    self_room     uuid NOT NULL,
    token_version integer NOT NULL DEFAULT 0,
    created_ms    bigint NOT NULL,
    restriction   smallint NOT NULL DEFAULT 0, -- on the whole server: 0 none, 1 muted, 2 banned ...
    until_ms      bigint NOT NULL DEFAULT 0  -- ... until then; 0: until it is lifted
);

CREATE UNIQUE INDEX users_owner ON users (role) WHERE role = 1;
-- Who is told of what happens where nobody moderates.
CREATE INDEX users_moderators ON users (role DESC, id) WHERE role <= 3;

CREATE TABLE devices (
    id         uuid NOT NULL,
    user_id    uuid NOT NULL REFERENCES users (id),
    name       text NOT NULL,
    active     boolean NOT NULL,             -- false after logout
    login      integer NOT NULL DEFAULT 0,   -- counts logins after a logout; access tokens carry it
    created_ms bigint NOT NULL,
    seen_ms    bigint NOT NULL DEFAULT 0,    -- the last login or refresh
    scopes     smallint NOT NULL DEFAULT 15, -- what it may be used for; see core::standing
    PRIMARY KEY (user_id, id)
);

CREATE TABLE refresh_tokens (
    hash        bytea PRIMARY KEY,           -- SHA-256
    family      uuid NOT NULL,
    user_id     uuid NOT NULL,
    device      uuid NOT NULL,
    idle_ms     bigint NOT NULL,             -- not after
    absolute_ms bigint NOT NULL,             -- not after
    spent_ms    bigint                       -- null: unused
);

CREATE INDEX refresh_tokens_family ON refresh_tokens (family);
CREATE INDEX refresh_tokens_device ON refresh_tokens (user_id, device);
CREATE INDEX refresh_tokens_absolute ON refresh_tokens (absolute_ms);

-- API keys: each is the login of a device of its own.
CREATE TABLE api_keys (
    hash       bytea PRIMARY KEY,            -- SHA-256
    user_id    uuid NOT NULL,
    device     uuid NOT NULL,
    expires_ms bigint NOT NULL,              -- not after
    UNIQUE (user_id, device)
);

-- Tokens that are good a few times: for a new password, or for a new account.
CREATE TABLE tickets (
    hash       bytea PRIMARY KEY,            -- SHA-256
    kind       smallint NOT NULL,            -- TicketKind
    user_id    uuid NOT NULL,                -- whose password, or who invites
    author     uuid NOT NULL,                -- who gave it, and must still be allowed to; zeros: the operator
    uses_left  integer NOT NULL,
    expires_ms bigint NOT NULL
);

CREATE INDEX tickets_expires ON tickets (expires_ms);
CREATE INDEX tickets_user ON tickets (user_id);

-- One row: what every server on this database heeds. Whoever changes anything of it holds its lock to the end of the
-- transaction, so that epochs become visible in order.
CREATE TABLE controls (
    one   smallint PRIMARY KEY CHECK (one = 1),
    epoch bigint NOT NULL,                   -- counts the changes
    level smallint NOT NULL                  -- Level
) WITH (fillfactor = 10);

INSERT INTO controls (one, epoch, level) VALUES (1, 0, 0);

-- Whose connections are to be closed, by the epoch in which that was said.
CREATE TABLE revocations (
    epoch   bigint PRIMARY KEY,
    user_id uuid NOT NULL,
    device  uuid,                            -- null: all of theirs
    code    smallint NOT NULL                -- CloseCode
);

-- Every append moves its room's row on; room for the next version keeps that within the page.
CREATE TABLE rooms (
    id           uuid PRIMARY KEY,
    kind         smallint NOT NULL,          -- RoomKind
    name         text,                       -- null for self logs and rooms of two
    name_key     text COLLATE "C",           -- what it looks like; core::names
    pair         bytea UNIQUE,               -- of a room of two: both ids, the smaller first
    topic        text NOT NULL DEFAULT '',
    incarnation  bigint NOT NULL,
    first_seq    bigint NOT NULL DEFAULT 1,
    head         bigint NOT NULL DEFAULT 0,
    last_ms      bigint NOT NULL DEFAULT 0,  -- time of the newest entry
    acl_version  bigint NOT NULL DEFAULT 0,
    members      integer NOT NULL DEFAULT 0,
    messages     bigint NOT NULL DEFAULT 0,  -- appended ever; the number of the newest
    slow_mode_ms integer NOT NULL DEFAULT 0, -- least time between two messages of a member
    retention_ms bigint NOT NULL DEFAULT 0,  -- entries older than this are retired; 0: never
    since_join   boolean NOT NULL DEFAULT false, -- members see what was appended since they came in
    knocks       boolean NOT NULL DEFAULT false, -- others may ask to be let in
    rights       smallint NOT NULL DEFAULT 0, -- least roles, 4 bits each: post, react, invite, pin; 0: the default
    created_ms   bigint NOT NULL
) WITH (fillfactor = 50);

-- A name that is taken by a private room would tell that there is one.
CREATE UNIQUE INDEX rooms_name ON rooms (name_key) WHERE kind = 1;

CREATE INDEX rooms_retention ON rooms (id) WHERE retention_ms > 0;

CREATE TABLE members (
    room         uuid NOT NULL REFERENCES rooms (id),
    user_id      uuid NOT NULL REFERENCES users (id),
    role         smallint NOT NULL,          -- RoomRole
    join_seq     bigint NOT NULL,
    leave_seq    bigint,                     -- null: is a member
    restriction  smallint NOT NULL DEFAULT 0, -- 0 none, 1 muted, 2 banned ...
    until_ms     bigint NOT NULL DEFAULT 0,  -- ... until then; 0: until it is lifted
    last_post_ms bigint NOT NULL DEFAULT 0,  -- kept while the room is slow
    knocked_ms   bigint NOT NULL DEFAULT 0,  -- when they last asked to be let in
    read_seq     bigint NOT NULL DEFAULT 0,  -- read marker ...
    read_number  bigint NOT NULL DEFAULT 0,  -- ... and the number of the last message up to it
    PRIMARY KEY (room, user_id)
) WITH (fillfactor = 80);

CREATE INDEX members_user ON members (user_id, room);

CREATE TABLE entries (
    room      uuid NOT NULL,
    seq       bigint NOT NULL,
    time_ms   bigint NOT NULL,
    rev       integer NOT NULL DEFAULT 0,
    kind      smallint NOT NULL,             -- Change::kind; 9: a message was deleted; 64 more: its author alone is given it
    author    uuid NOT NULL,
    client_id uuid NOT NULL,
    digest    bytea NOT NULL,
    altered   boolean NOT NULL,
    payload   bytea NOT NULL,                -- the encoded entry: stored, pushed and paged as it is
    number    bigint,                        -- of a message: how many the room had with it
    target    bigint,                        -- the message that this answers, edits, pins or reacts to
    pinned    boolean NOT NULL DEFAULT false,
    PRIMARY KEY (room, seq),
    UNIQUE (client_id, author, room)
) PARTITION BY HASH (room);

DO $$
BEGIN
    FOR part IN 0..7 LOOP
        EXECUTE format('CREATE TABLE entries_%s PARTITION OF entries FOR VALUES WITH (MODULUS 8, REMAINDER %s)', part, part);
    END LOOP;
END $$;

-- Answers to a message.
CREATE INDEX entries_answers ON entries (room, target, seq) WHERE kind IN (1, 65) AND target IS NOT NULL;
CREATE INDEX entries_pinned ON entries (room, seq) WHERE pinned;

-- What messages said before they were edited or deleted; for moderators.
CREATE TABLE entry_revisions (
    room        uuid NOT NULL,
    seq         bigint NOT NULL,
    rev         integer NOT NULL,
    time_ms     bigint NOT NULL,             -- of the message
    payload     bytea NOT NULL,
    replaced_ms bigint NOT NULL,
    PRIMARY KEY (room, seq, rev)
);

CREATE INDEX entry_revisions_age ON entry_revisions (replaced_ms);

CREATE TABLE reactions (
    room    uuid NOT NULL,
    seq     bigint NOT NULL,
    emoji   text NOT NULL,
    user_id uuid NOT NULL,
    PRIMARY KEY (room, seq, emoji, user_id)
);

CREATE INDEX reactions_of ON reactions (user_id);

CREATE TABLE mentions (
    user_id uuid NOT NULL,
    room    uuid NOT NULL,
    seq     bigint NOT NULL,
    PRIMARY KEY (user_id, room, seq)
);

CREATE INDEX mentions_entry ON mentions (room, seq);

-- What messages say, for searches. It follows the logs, and can be made anew from them.
CREATE TABLE search (
    room  uuid NOT NULL,
    seq   bigint NOT NULL,
    place bigint NOT NULL,                   -- by time; see core::search
    words tsvector NOT NULL,
    PRIMARY KEY (room, seq)
);

CREATE INDEX search_words ON search USING gin (words);

CREATE TABLE search_progress (
    room        uuid PRIMARY KEY,
    incarnation bigint NOT NULL,
    seq         bigint NOT NULL,             -- of the log, up to which it follows
    first_seq   bigint NOT NULL              -- of the log, as of then
);

CREATE TABLE invites (
    hash       bytea PRIMARY KEY,            -- SHA-256 of the token
    room       uuid NOT NULL,
    author     uuid NOT NULL,
    uses_left  integer NOT NULL,
    expires_ms bigint NOT NULL,
    created_ms bigint NOT NULL
);

CREATE INDEX invites_expires ON invites (expires_ms);
CREATE INDEX invites_author ON invites (room, author);
-- What is held on somebody is found without a look at everybody's.
CREATE INDEX invites_of ON invites (author);

-- What was decided without appending: held for review, or refused by a plugin.
CREATE TABLE unappended (
    room      uuid NOT NULL,
    author    uuid NOT NULL,
    client_id uuid NOT NULL,
    digest    bytea NOT NULL,
    case_id   uuid,                          -- null: refused
    code      integer NOT NULL,              -- of the reject; 0 when held
    detail    text NOT NULL,                 -- what the author was told
    note      text NOT NULL,                 -- for moderators
    payload   bytea NOT NULL,                -- empty when refused
    time_ms   bigint NOT NULL,
    PRIMARY KEY (room, author, client_id)
);

CREATE INDEX unappended_case ON unappended (case_id) WHERE case_id IS NOT NULL;
CREATE INDEX unappended_age ON unappended (time_ms);
CREATE INDEX unappended_of ON unappended (author);

-- What waits for a moderator, and what was decided. See core::cases.
CREATE TABLE cases (
    id              uuid PRIMARY KEY,
    room            uuid NOT NULL,
    kind            smallint NOT NULL,       -- CaseKind
    state           smallint NOT NULL,       -- CaseState
    subject         uuid NOT NULL,           -- whom it is about
    seq             bigint,                  -- the message; null: none, or it is held still
    reason          smallint NOT NULL,       -- ReportReason; 0: none
    reports         integer NOT NULL,
    assignee        uuid,                    -- who looks into it
    decision        smallint NOT NULL,       -- CaseDecision; 0: none yet
    decider         uuid,
    decided_ms      bigint NOT NULL,
    appeal_decision smallint NOT NULL,       -- CaseDecision; 0: none (yet)
    due             boolean NOT NULL,        -- what was decided is not done yet
    opened_ms       bigint NOT NULL,
    changed_ms      bigint NOT NULL,
    reminded_ms     bigint NOT NULL
);

CREATE INDEX cases_room ON cases (room, id);
CREATE INDEX cases_subject ON cases (subject, id);
CREATE INDEX cases_waiting ON cases (reminded_ms) WHERE state IN (1, 2, 4);
CREATE INDEX cases_waiting_id ON cases (id) WHERE state IN (1, 2, 4);
CREATE INDEX cases_waiting_age ON cases (changed_ms) WHERE state IN (1, 2, 4);
CREATE INDEX cases_due ON cases (id) WHERE due;
CREATE INDEX cases_message ON cases (room, seq) WHERE state IN (1, 2) AND seq IS NOT NULL;
CREATE UNIQUE INDEX cases_report ON cases (room, subject, coalesce(seq, 0)) WHERE kind = 2 AND state IN (1, 2);

CREATE TABLE case_events (
    case_id  uuid NOT NULL REFERENCES cases (id),
    n        integer NOT NULL,
    time_ms  bigint NOT NULL,
    actor    uuid,                           -- null: a plugin, or the server
    act      smallint NOT NULL,              -- CaseAct
    decision smallint NOT NULL,
    text     text NOT NULL,                  -- goes with the evidence
    PRIMARY KEY (case_id, n)
);

CREATE INDEX case_events_actor ON case_events (actor, case_id);
CREATE INDEX case_events_age ON case_events (time_ms) WHERE text <> '';

-- What was said that cases are about, as it was stored then; sealed where it stood.
CREATE TABLE evidence (
    case_id uuid NOT NULL REFERENCES cases (id),
    seq     bigint NOT NULL,
    room    uuid NOT NULL,
    rev     integer NOT NULL,
    time_ms bigint NOT NULL,
    author  uuid NOT NULL,
    payload bytea NOT NULL,
    kept_ms bigint NOT NULL,
    PRIMARY KEY (case_id, seq)
);

CREATE INDEX evidence_author ON evidence (author);
CREATE INDEX evidence_age ON evidence (kept_ms);

-- Who did what to whom: references and hashes, never what was said. Beside the record stand the columns that it is found by.
CREATE TABLE audit (
    id      uuid PRIMARY KEY,
    time_ms bigint NOT NULL,
    actor   uuid,                            -- null: a plugin, or who runs the machine
    place   uuid,                            -- the room
    whom    uuid,
    case_id uuid,
    plugin  text,
    record  bytea NOT NULL                   -- an encoded AuditRecord
);

CREATE INDEX audit_actor ON audit (actor, id);
CREATE INDEX audit_place ON audit (place, id);
CREATE INDEX audit_whom ON audit (whom, id);
CREATE INDEX audit_case ON audit (case_id, id) WHERE case_id IS NOT NULL;
CREATE INDEX audit_plugin ON audit (plugin, id) WHERE plugin IS NOT NULL;

CREATE FUNCTION audit_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit is kept as it is';
END $$;

CREATE TRIGGER audit_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_stays();

-- How far plugins were shown the logs; the room of zeros says that one began.
CREATE TABLE observed (
    plugin text NOT NULL,
    room   uuid NOT NULL,
    seq    bigint NOT NULL,
    PRIMARY KEY (plugin, room)
);

-- Keys that payloads are sealed with: that one is missing is told at start, and not by what cannot be read.
CREATE TABLE seal_keys (
    id          integer PRIMARY KEY,
    fingerprint text NOT NULL
);

-- What kind of words the index holds; see core::seal.
CREATE TABLE search_mode (
    mode integer NOT NULL
);

-- The planner keeps the most common values of a column in a table of its own: words and names of people are not to be
-- left there when they are erased.
ALTER TABLE users ALTER username SET STATISTICS 0, ALTER username_key SET STATISTICS 0, ALTER display_name SET STATISTICS 0, ALTER password_hash SET STATISTICS 0;
ALTER TABLE devices ALTER name SET STATISTICS 0;
ALTER TABLE entries ALTER payload SET STATISTICS 0, ALTER digest SET STATISTICS 0;
ALTER TABLE rooms ALTER name SET STATISTICS 0, ALTER name_key SET STATISTICS 0, ALTER topic SET STATISTICS 0;
ALTER TABLE reactions ALTER emoji SET STATISTICS 0;
ALTER TABLE entry_revisions ALTER payload SET STATISTICS 0;
ALTER TABLE unappended ALTER digest SET STATISTICS 0, ALTER detail SET STATISTICS 0, ALTER note SET STATISTICS 0, ALTER payload SET STATISTICS 0;
ALTER TABLE case_events ALTER text SET STATISTICS 0;
ALTER TABLE evidence ALTER payload SET STATISTICS 0;
ALTER TABLE search ALTER words SET STATISTICS 0;
