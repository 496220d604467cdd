-- 0034: deadlines of runs whose instant is not known yet, because their interval is looked up in a variable. A row of `deadline`
-- takes the place of each once it is known; what can't be known is left out, and the audit log says why.
CREATE TABLE pending_deadline (
  id              uuid PRIMARY KEY,
  dag_run_id      bigint NOT NULL REFERENCES dag_run (id) ON DELETE CASCADE,
  dag_version_id  uuid NOT NULL REFERENCES dag_version (id) ON DELETE CASCADE,
  -- Place among the Dag's definitions, from 0.
  position        integer NOT NULL,
  -- Instant from which the interval counts; null = the average of past runs from `created_at` on.
  reference_at    timestamptz,
  created_at      timestamptz NOT NULL,
  UNIQUE (dag_run_id, position)
);
CREATE INDEX pending_deadline_by_version ON pending_deadline (dag_version_id);
