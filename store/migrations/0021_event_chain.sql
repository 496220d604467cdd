-- 0021: the audit log as a chain of hashes, in the order of commits, and to which team each row belongs.
ALTER TABLE event_log
  -- The team that the Dag had then: a Dag id that comes to another team does not take its past along.
  ADD COLUMN team text,
  -- Place in the chain and hash up to here; null until the row is linked, within a second of its commit.
  ADD COLUMN seq bigint,
  ADD COLUMN hash bytea,
  ADD CONSTRAINT event_log_linked CHECK ((seq IS NULL) = (hash IS NULL));
UPDATE event_log l SET team = d.team FROM dag d WHERE d.dag_id = l.dag_id AND d.team IS NOT NULL;
CREATE UNIQUE INDEX event_log_seq ON event_log (seq);
CREATE INDEX event_log_unlinked ON event_log (id) WHERE seq IS NULL;

-- One row: where the chain that is kept begins (what came before is removed) and where it ends. Who holds its lock links.
CREATE TABLE event_chain (
  single    boolean PRIMARY KEY DEFAULT true CHECK (single),
  base_seq  bigint NOT NULL,
  base_hash bytea NOT NULL,
  head_seq  bigint NOT NULL,
  head_hash bytea NOT NULL
);
INSERT INTO event_chain (base_seq, base_hash, head_seq, head_hash)
VALUES (0, decode(repeat('00', 32), 'hex'), 0, decode(repeat('00', 32), 'hex'));

-- A trigger, because rows are inserted in many statements, and one that forgot the team would show it to another.
CREATE FUNCTION event_log_team() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.team := (SELECT d.team FROM dag d WHERE d.dag_id = NEW.dag_id);
  RETURN NEW;
END $$;
CREATE TRIGGER event_log_team BEFORE INSERT ON event_log FOR EACH ROW WHEN (NEW.dag_id IS NOT NULL)
  EXECUTE FUNCTION event_log_team();
