-- 0023: callbacks of Dags and tasks that the server has started, and deadlines of runs. A callback is a workload of its own:
-- a worker runs it in a sandbox, with a token whose subject is the row, and it changes nothing but its row.
CREATE TABLE callback (
  -- The subject of its tokens.
  id             uuid PRIMARY KEY,
  kind           text NOT NULL CHECK (kind IN ('dag', 'task', 'deadline')),
  event          text NOT NULL CHECK (event IN ('success', 'failure', 'retry', 'missed')),
  team           text REFERENCES team (name),
  dag_id         text NOT NULL,
  dag_run_id     bigint NOT NULL REFERENCES dag_run (id) ON DELETE CASCADE,
  dag_version_id uuid NOT NULL REFERENCES dag_version (id) ON DELETE CASCADE,
  queue          text NOT NULL,
  -- What it may read; null = its Dag declares nothing.
  needs          text,
  -- The task instance that it is about, as it was then; null = none.
  ti             json,
  reason         text CHECK (length(reason) <= 2000),
  -- Of a deadline: what is called, with what, and for which deadline.
  target         json,
  priority       integer NOT NULL DEFAULT 1,
  state          text NOT NULL CHECK (state IN ('pending', 'claimed', 'running', 'success', 'failed')),
  created_at     timestamptz NOT NULL,
  supervisor_id  uuid,
  claimed_at     timestamptz,
  -- The one token that may start it, and the one that it runs with.
  workload_jti   text,
  exchanged_at   timestamptz,
  exchange_key   text,
  execution_jti  text,
  deadline_at    timestamptz,
  ended_at       timestamptz,
  -- Why it failed, and the end of what it printed.
  message        text CHECK (length(message) <= 2000),
  output         text CHECK (length(output) <= 70000)
);
CREATE INDEX callback_waiting ON callback (priority DESC, created_at) WHERE state = 'pending';
CREATE INDEX callback_held ON callback (claimed_at) WHERE state IN ('claimed', 'running');
CREATE INDEX callback_by_run ON callback (dag_run_id);
CREATE INDEX callback_by_version ON callback (dag_version_id);

-- When a run has to be over; made with the run, one for each definition of its Dag.
CREATE TABLE deadline (
  id              uuid PRIMARY KEY,
  dag_run_id      bigint NOT NULL REFERENCES dag_run (id) ON DELETE CASCADE,
  dag_version_id  uuid NOT NULL REFERENCES dag_version (id) ON DELETE CASCADE,
  -- Place among the Dag's definitions, from 0.
  position        integer NOT NULL,
  name            text,
  reference_type  text NOT NULL,
  due_at          timestamptz NOT NULL,
  missed          boolean NOT NULL DEFAULT false,
  created_at      timestamptz NOT NULL,
  updated_at      timestamptz NOT NULL,
  callback_id     uuid REFERENCES callback (id) ON DELETE SET NULL,
  UNIQUE (dag_run_id, position)
);
CREATE INDEX deadline_due ON deadline (due_at) WHERE NOT missed;
CREATE INDEX deadline_by_version ON deadline (dag_version_id);
CREATE INDEX deadline_by_callback ON deadline (callback_id) WHERE callback_id IS NOT NULL;
