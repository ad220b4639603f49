-- With what hashes of somebody's texts in the audit are made; null: they were erased. See core::audit. The server gives each
-- account that it makes one; those that are there get theirs here.
ALTER TABLE users ADD COLUMN audit_key BLOB;

UPDATE users SET audit_key = randomblob(16);
