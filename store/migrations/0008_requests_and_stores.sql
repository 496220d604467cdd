-- 0008: requests of tasks to people, and what tasks and assets keep between tries.

-- One row per try that has asked; that of an ended try stays, under its own id, as the history. No foreign key to the try:
-- its id names nothing that is alive any more.
CREATE TABLE hitl_detail (
  ti_id             uuid PRIMARY KEY,
  dag_run_id        bigint NOT NULL REFERENCES dag_run (id) ON DELETE CASCADE,
  dag_id            text NOT NULL,
  run_id            text NOT NULL,
  task_id           text NOT NULL,
  map_index         integer NOT NULL,
  options           text[] NOT NULL CHECK (cardinality(options) >= 1),
  subject           text NOT NULL,
  body              text,
  -- What counts when nobody answers in time; null = nothing does.
  defaults          text[],
  multiple          boolean NOT NULL,
  params            json NOT NULL,
  -- Array of {id, name}; empty = whoever may answer for the Dag.
  assigned_users    json NOT NULL,
  created_at        timestamptz NOT NULL,
  responded_at      timestamptz,
  -- Null with an answer: the defaults, after the time was over.
  responded_by_id   text,
  responded_by_name text,
  chosen_options    text[],
  params_input      json,
  CHECK ((responded_at IS NULL) = (chosen_options IS NULL))
);
CREATE INDEX hitl_detail_by_run ON hitl_detail (dag_run_id);
CREATE INDEX hitl_detail_by_dag ON hitl_detail (dag_id, created_at);

-- What a task instance keeps over its tries. Values are the JSON text that was sent.
CREATE TABLE task_state (
  dag_run_id bigint NOT NULL REFERENCES dag_run (id) ON DELETE CASCADE,
  task_id    text NOT NULL,
  map_index  integer NOT NULL,
  key        text NOT NULL CHECK (key <> '' AND length(key) <= 512),
  value      json NOT NULL,
  updated_at timestamptz NOT NULL,
  -- Absent to readers from then on; null = stays.
  expires_at timestamptz,
  PRIMARY KEY (dag_run_id, task_id, map_index, key)
);
CREATE INDEX task_state_expiry ON task_state (expires_at) WHERE expires_at IS NOT NULL;

-- What is kept of an asset, and who wrote it last; writers are names and outlive what they name.
CREATE TABLE asset_state (
  asset_id         bigint NOT NULL REFERENCES asset (id) ON DELETE CASCADE,
  key              text NOT NULL CHECK (key <> '' AND length(key) <= 512),
  value            json NOT NULL,
  updated_at       timestamptz NOT NULL,
  writer_dag_id    text,
  writer_run_id    text,
  writer_task_id   text,
  writer_map_index integer,
  PRIMARY KEY (asset_id, key)
);
