-- A case keeps its message once more where it reads otherwise by the time at which somebody joins: who reports it first does
-- not settle what is kept.
ALTER TABLE evidence DROP CONSTRAINT evidence_pkey;
ALTER TABLE evidence ADD PRIMARY KEY (case_id, seq, rev);
