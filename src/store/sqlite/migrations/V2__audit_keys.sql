-- With what hashes of somebody's texts in the audit are made; null: they were erased. See core::audit. The server gives each
-- account that it makes one; those that are there get theirs here.
ALTER TABLE users ADD COLUMN audit_key BLOB;

UPDATE users SET audit_key = randomblob(16);

-- Those who were erased before have none.
UPDATE users SET audit_key = NULL WHERE username LIKE 'erased-%' AND display_name = 'erased';

-- When the text that replaced it was written: of an edit that was held, when it was held and not when it was posted.
ALTER TABLE entry_revisions ADD COLUMN written_ms INTEGER NOT NULL DEFAULT 0;

UPDATE entry_revisions SET written_ms = replaced_ms;
