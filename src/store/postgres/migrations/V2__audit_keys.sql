-- With what hashes of somebody's texts in the audit are made; null: they were erased. See core::audit. A server gives each
-- account that it makes one; those that are there, and those that an older server makes, get theirs here.
ALTER TABLE users ADD COLUMN audit_key uuid DEFAULT gen_random_uuid();

-- As with names: the planner keeps no copy of what goes with an erasure.
ALTER TABLE users ALTER audit_key SET STATISTICS 0;

-- Those who were erased before have none.
UPDATE users SET audit_key = NULL WHERE username LIKE 'erased-%' AND display_name = 'erased';

-- When the text that replaced it was written: of an edit that was held, when it was held and not when it was posted.
ALTER TABLE entry_revisions ADD COLUMN written_ms bigint NOT NULL DEFAULT 0;

UPDATE entry_revisions SET written_ms = replaced_ms;
