-- 0026: what deferred tries wait for. A row counts while its task instance is deferred and names it; the rest is swept.
CREATE TABLE trigger (
  id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- The try that waits; what it is called and may do is read from its row.
  ti_id         uuid NOT NULL,
  dag_run_id    bigint NOT NULL REFERENCES dag_run (id) ON DELETE CASCADE,
  classpath     text NOT NULL,
  -- The arguments as they were sent, JSON or the author's own secret form; never read here. Sealed where `is_encrypted`.
  kwargs        text NOT NULL,
  is_encrypted  boolean NOT NULL,
  queue         text,
  created_at    timestamptz NOT NULL,
  -- Which triggerer runs it; null = none yet.
  supervisor_id uuid,
  claimed_at    timestamptz
);
CREATE INDEX trigger_by_run ON trigger (dag_run_id);
CREATE INDEX trigger_by_supervisor ON trigger (supervisor_id);
CREATE INDEX ti_by_trigger ON task_instance (trigger_id) WHERE trigger_id IS NOT NULL;
CREATE INDEX ti_trigger_timeout ON task_instance (trigger_timeout) WHERE state = 'deferred' AND trigger_timeout IS NOT NULL;
