-- 0005: proofs of possession that were shown to some API server, so that none of them takes one a second time. Rows are
-- worthless after a minute and are removed soon after. Where the names come from: contract/src/proof.ts.
CREATE TABLE proof_seen (
  name     bytea PRIMARY KEY,
  made_at  timestamptz NOT NULL
);
CREATE INDEX proof_seen_age ON proof_seen USING brin (made_at);
