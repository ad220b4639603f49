-- With what hashes of somebody's texts in the audit are made; null: they were erased. See core::audit. A server gives each
-- account that it makes one; those that are there, and those that an older server makes, get theirs here.
ALTER TABLE users ADD COLUMN audit_key uuid DEFAULT gen_random_uuid();

-- As with names: the planner keeps no copy of what goes with an erasure.
ALTER TABLE users ALTER audit_key SET STATISTICS 0;
