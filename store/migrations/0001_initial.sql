-- 0001: everything that the main job needs. No now() in here or in any query: instants come from the caller.
-- Every row that belongs to a team carries it (NULL = no team: teams are off, or the row is shared).

CREATE TABLE team (name text PRIMARY KEY CHECK (name ~ '^[A-Za-z0-9_-]{1,50}$'));

-- Sources of Dag files. A Dag's team follows from its bundle, never from the file.
CREATE TABLE dag_bundle (
  name              text PRIMARY KEY,
  kind              text NOT NULL CHECK (kind IN ('local')),
  path              text NOT NULL,
  team              text REFERENCES team (name),
  version           text,
  active            boolean NOT NULL DEFAULT true,
  last_refreshed_at timestamptz
);

-- One row per file that was reported, good or bad: what the parser need not look at again.
CREATE TABLE dag_file (
  bundle_name      text NOT NULL REFERENCES dag_bundle (name) ON DELETE CASCADE,
  relative_fileloc text NOT NULL,
  inputs_digest    text NOT NULL,
  last_parsed_at   timestamptz NOT NULL,
  parse_seconds    double precision NOT NULL,
  PRIMARY KEY (bundle_name, relative_fileloc)
);

-- Bundled Dag modules by content; what a runner loads.
CREATE TABLE dag_module (
  hash       text PRIMARY KEY CHECK (hash ~ '^[0-9a-f]{64}$'),
  code       text NOT NULL,
  created_at timestamptz NOT NULL
);

CREATE TABLE dag (
  dag_id                 text PRIMARY KEY CHECK (length(dag_id) <= 250),
  bundle_name            text NOT NULL REFERENCES dag_bundle (name),
  relative_fileloc       text NOT NULL,
  fileloc                text NOT NULL,
  team                   text REFERENCES team (name),
  display_name           text NOT NULL,
  description            text,
  owners                 text NOT NULL DEFAULT '',
  timetable_type         text NOT NULL,
  timetable_summary      text,
  timetable_description  text,
  timetable_periodic     boolean NOT NULL DEFAULT false,
  is_paused              boolean NOT NULL,
  is_stale               boolean NOT NULL DEFAULT false,
  has_import_errors      boolean NOT NULL DEFAULT false,
  max_active_runs        integer NOT NULL,
  max_active_tasks       integer NOT NULL,
  max_consecutive_failed_dag_runs integer NOT NULL DEFAULT 0,
  allowed_run_types      text[],
  current_version_id     uuid,
  last_parsed_at         timestamptz NOT NULL,
  last_parse_seconds     double precision,
  last_expired_at        timestamptz,
  next_logical_date      timestamptz,
  next_interval_start    timestamptz,
  next_interval_end      timestamptz,
  next_create_after      timestamptz
);
CREATE INDEX dag_due ON dag (next_create_after) WHERE NOT is_paused AND NOT is_stale AND next_create_after IS NOT NULL;
CREATE INDEX dag_by_file ON dag (bundle_name, relative_fileloc);

CREATE TABLE dag_tag (
  dag_id text NOT NULL REFERENCES dag (dag_id) ON DELETE CASCADE,
  name   text NOT NULL CHECK (length(name) <= 100),
  PRIMARY KEY (dag_id, name)
);
CREATE INDEX dag_tag_by_name ON dag_tag (name);

CREATE TABLE dag_favorite (
  user_name text NOT NULL,
  dag_id    text NOT NULL REFERENCES dag (dag_id) ON DELETE CASCADE,
  PRIMARY KEY (user_name, dag_id)
);

-- One frozen form of a Dag. `digest` is over our own canonical form: parsing again never makes a new row.
CREATE TABLE dag_version (
  id             uuid PRIMARY KEY,
  dag_id         text NOT NULL REFERENCES dag (dag_id) ON DELETE CASCADE,
  version_number integer NOT NULL,
  bundle_name    text NOT NULL,
  bundle_version text,
  digest         text NOT NULL,
  document       json NOT NULL,
  source         text NOT NULL,
  module_hash    text REFERENCES dag_module (hash),
  created_at     timestamptz NOT NULL,
  UNIQUE (dag_id, version_number)
);
-- For the removal of modules and versions that nobody uses, and the checks of foreign keys that go with it.
CREATE INDEX dag_version_by_module ON dag_version (module_hash) WHERE module_hash IS NOT NULL;
CREATE INDEX dag_by_version ON dag (current_version_id) WHERE current_version_id IS NOT NULL;
ALTER TABLE dag ADD CONSTRAINT dag_current_version FOREIGN KEY (current_version_id)
  REFERENCES dag_version (id) ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED;

CREATE TABLE import_error (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  bundle_name text NOT NULL REFERENCES dag_bundle (name) ON DELETE CASCADE,
  filename    text NOT NULL,
  stack_trace text NOT NULL,
  at          timestamptz NOT NULL,
  UNIQUE (bundle_name, filename)
);
CREATE TABLE dag_warning (
  dag_id       text NOT NULL REFERENCES dag (dag_id) ON DELETE CASCADE,
  warning_type text NOT NULL,
  message      text NOT NULL,
  at           timestamptz NOT NULL,
  PRIMARY KEY (dag_id, warning_type)
);

CREATE TABLE dag_run (
  id                   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  dag_id               text NOT NULL REFERENCES dag (dag_id) ON DELETE CASCADE,
  run_id               text NOT NULL CHECK (length(run_id) <= 250),
  team                 text,
  state                text NOT NULL CHECK (state IN ('queued', 'running', 'success', 'failed')),
  run_type             text NOT NULL,
  triggered_by         text NOT NULL,
  triggering_user_name text,
  logical_date         timestamptz,
  data_interval_start  timestamptz,
  data_interval_end    timestamptz,
  run_after            timestamptz NOT NULL,
  queued_at            timestamptz,
  start_date           timestamptz,
  end_date             timestamptz,
  last_scheduling_decision timestamptz,
  updated_at           timestamptz NOT NULL,
  conf                 json NOT NULL DEFAULT '{}',
  note                 text,
  note_user            text,
  clear_number         integer NOT NULL DEFAULT 0,
  -- The version that the run was created with; null = follow the newest (unversioned bundle).
  created_version_id   uuid REFERENCES dag_version (id),
  bundle_version       text,
  partition_key        text,
  partition_date       timestamptz,
  backfill_id          bigint,
  UNIQUE (dag_id, run_id)
);
CREATE UNIQUE INDEX dag_run_logical_date ON dag_run (dag_id, logical_date) WHERE logical_date IS NOT NULL;
-- Unfinished runs only, so that the scheduler's cost never grows with history.
CREATE INDEX dag_run_unfinished ON dag_run (state, run_after) WHERE state IN ('queued', 'running');
CREATE INDEX dag_run_active ON dag_run (dag_id, state) WHERE state IN ('queued', 'running');
CREATE INDEX dag_run_by_dag ON dag_run (dag_id, run_after DESC);
-- The order in which the API lists the runs of one Dag.
CREATE INDEX dag_run_by_dag_id ON dag_run (dag_id, id);
CREATE INDEX dag_run_by_version ON dag_run (created_version_id) WHERE created_version_id IS NOT NULL;
CREATE INDEX dag_run_by_end ON dag_run (end_date) WHERE end_date IS NOT NULL;

-- The live rows: one per task of a run and map index; `id` names the current try and changes with it.
CREATE TABLE task_instance (
  id                   uuid PRIMARY KEY,
  dag_run_id           bigint NOT NULL REFERENCES dag_run (id) ON DELETE CASCADE,
  dag_id               text NOT NULL,
  run_id               text NOT NULL,
  task_id              text NOT NULL,
  map_index            integer NOT NULL DEFAULT -1,
  team                 text,
  dag_version_id       uuid NOT NULL REFERENCES dag_version (id),
  state                text,
  try_number           integer NOT NULL DEFAULT 0,
  max_tries            integer NOT NULL DEFAULT 0,
  operator             text,
  task_display_name    text NOT NULL,
  -- 'typescript' tasks run in our runner; 'python' ones through the Task SDK; other languages by their own workers.
  runtime              text NOT NULL DEFAULT 'python',
  pool                 text NOT NULL,
  pool_slots           integer NOT NULL DEFAULT 1,
  queue                text NOT NULL,
  priority_weight      integer NOT NULL DEFAULT 1,
  executor             text,
  executor_config      json,
  -- Rights of the try: canonical needs, null = undeclared (airflow mode).
  needs                text,
  execution_timeout_seconds double precision,
  -- The author's limits on instances of this task that are active at once; null = none.
  max_active_per_dag   integer,
  max_active_per_run   integer,
  scheduled_at         timestamptz,
  queued_at            timestamptz,
  queued_by            uuid,
  queue_attempts       integer NOT NULL DEFAULT 0,
  -- Which registered supervisor holds the workload, and since when; null = not handed out.
  supervisor_id        uuid,
  claimed_at           timestamptz,
  start_date           timestamptz,
  end_date             timestamptz,
  duration             double precision,
  hostname             text NOT NULL DEFAULT '',
  unixname             text,
  pid                  integer,
  last_heartbeat_at    timestamptz,
  -- The tokens of the current stretch; cleared when it ends. See docs/security/tokens.md.
  workload_jti         text,
  exchanged_at         timestamptz,
  exchange_key         text,
  execution_jti        text,
  execution_confirmed  boolean NOT NULL DEFAULT false,
  -- The one successor, with the instant that its text is made of, until its first use makes it `execution_jti`.
  execution_jti_next   text,
  execution_next_at    timestamptz,
  -- The predecessor, and until when the successor's first use leaves it valid.
  execution_jti_prev   text,
  execution_overlap_until timestamptz,
  deadline_at          timestamptz,
  -- When the next try may start (up_for_retry), and when the next poke may (up_for_reschedule).
  retry_at             timestamptz,
  retry_delay_override double precision,
  retry_reason         text,
  reschedule_at        timestamptz,
  next_method          text,
  next_kwargs          json,
  trigger_id           bigint,
  trigger_timeout      timestamptz,
  rendered_fields      json,
  rendered_map_index   text,
  note                 text,
  note_user            text,
  -- Size of this try's log, and what it was when the current stretch began.
  log_bytes            bigint NOT NULL DEFAULT 0,
  log_base             bigint NOT NULL DEFAULT 0,
  updated_at           timestamptz NOT NULL,
  UNIQUE (dag_run_id, task_id, map_index)
) WITH (fillfactor = 70); -- room for heartbeats beside their row, so that they touch no index
CREATE INDEX ti_by_name ON task_instance (dag_id, run_id, task_id, map_index);
-- Partial: only what the scheduler and the queue look at.
CREATE INDEX ti_scheduled ON task_instance (priority_weight DESC, dag_run_id, map_index) WHERE state = 'scheduled';
CREATE INDEX ti_queued ON task_instance (queued_at) WHERE state = 'queued';
CREATE INDEX ti_active ON task_instance (pool) WHERE state IN ('queued', 'running', 'restarting', 'deferred', 'awaiting_input');
-- No index holds last_heartbeat_at: it would make each heartbeat write every index. Silent tries are found by `ti_running`.
CREATE INDEX ti_running ON task_instance (dag_run_id) WHERE state IN ('running', 'restarting');
CREATE INDEX ti_retry ON task_instance (retry_at) WHERE state = 'up_for_retry';
CREATE INDEX ti_reschedule ON task_instance (reschedule_at) WHERE state = 'up_for_reschedule';
CREATE INDEX ti_by_supervisor ON task_instance (supervisor_id) WHERE supervisor_id IS NOT NULL;
CREATE INDEX ti_by_version ON task_instance (dag_version_id);

-- Ended tries, under their own ids.
CREATE TABLE task_instance_history (
  id                 uuid PRIMARY KEY,
  dag_run_id         bigint NOT NULL REFERENCES dag_run (id) ON DELETE CASCADE,
  dag_id             text NOT NULL,
  run_id             text NOT NULL,
  task_id            text NOT NULL,
  map_index          integer NOT NULL,
  team               text,
  dag_version_id     uuid,
  state              text,
  try_number         integer NOT NULL,
  max_tries          integer NOT NULL,
  operator           text,
  task_display_name  text NOT NULL,
  pool               text NOT NULL,
  pool_slots         integer NOT NULL,
  queue              text NOT NULL,
  priority_weight    integer NOT NULL,
  executor           text,
  executor_config    json,
  scheduled_at       timestamptz,
  queued_at          timestamptz,
  start_date         timestamptz,
  end_date           timestamptz,
  duration           double precision,
  hostname           text NOT NULL,
  unixname           text,
  pid                integer,
  retry_delay_override double precision,
  retry_reason       text,
  -- What its worker reported; null = the server ended the try.
  reported_state     text,
  -- Who held it when it was archived, and so may say that its process has ended.
  supervisor_id      uuid,
  rendered_map_index text
);
CREATE INDEX ti_history_by_name ON task_instance_history (dag_run_id, task_id, map_index, try_number);

-- One row per poke of a rescheduling sensor; dropped when the try ends.
CREATE TABLE task_reschedule (
  id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  ti_id         uuid NOT NULL REFERENCES task_instance (id) ON DELETE CASCADE ON UPDATE CASCADE,
  start_date    timestamptz NOT NULL,
  end_date      timestamptz NOT NULL,
  reschedule_at timestamptz NOT NULL
);
CREATE INDEX task_reschedule_by_ti ON task_reschedule (ti_id);

-- Values are kept as the JSON text that was sent.
CREATE TABLE xcom (
  dag_run_id bigint NOT NULL REFERENCES dag_run (id) ON DELETE CASCADE,
  task_id    text NOT NULL,
  map_index  integer NOT NULL,
  key        text NOT NULL CHECK (key <> '' AND length(key) <= 512),
  dag_id     text NOT NULL,
  run_id     text NOT NULL,
  value      json,
  dag_result boolean NOT NULL DEFAULT false,
  at         timestamptz NOT NULL,
  PRIMARY KEY (dag_run_id, task_id, map_index, key)
);
-- How far a downstream mapped task expands.
CREATE TABLE task_map (
  dag_run_id bigint NOT NULL REFERENCES dag_run (id) ON DELETE CASCADE,
  task_id    text NOT NULL,
  map_index  integer NOT NULL,
  length     integer NOT NULL CHECK (length >= 0),
  PRIMARY KEY (dag_run_id, task_id, map_index)
);

CREATE TABLE slot_pool (
  id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  team             text REFERENCES team (name),
  name             text NOT NULL CHECK (name <> '' AND length(name) <= 256),
  slots            integer NOT NULL CHECK (slots >= -1),
  description      text,
  include_deferred boolean NOT NULL DEFAULT false
);
-- Pool names are unique in a deployment, as on the wire.
CREATE UNIQUE INDEX slot_pool_name ON slot_pool (name);

CREATE TABLE variable (
  id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  team         text REFERENCES team (name),
  key          text NOT NULL CHECK (length(key) <= 250),
  val          text NOT NULL,
  description  text,
  is_encrypted boolean NOT NULL DEFAULT false
);
CREATE UNIQUE INDEX variable_key ON variable (COALESCE(team, ''), key);

CREATE TABLE connection (
  id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  team         text REFERENCES team (name),
  conn_id      text NOT NULL CHECK (length(conn_id) BETWEEN 1 AND 250),
  conn_type    text NOT NULL,
  description  text,
  host         text,
  schema       text,
  login        text,
  password     text,
  port         integer,
  extra        text,
  is_encrypted boolean NOT NULL DEFAULT false
);
CREATE UNIQUE INDEX connection_conn_id ON connection (COALESCE(team, ''), conn_id);

CREATE TABLE account (
  name              text PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 250),
  role              text NOT NULL CHECK (role IN ('viewer', 'user', 'op', 'admin')),
  -- argon2id, PHC string; null = no password set yet.
  password_hash     text,
  disabled          boolean NOT NULL DEFAULT false,
  tokens_valid_from timestamptz NOT NULL,
  created_at        timestamptz NOT NULL
);
CREATE TABLE revoked_token (
  jti        text PRIMARY KEY,
  expires_at timestamptz NOT NULL
);
CREATE INDEX revoked_token_expiry ON revoked_token (expires_at);

-- Hosts of user code, each with its own key.
CREATE TABLE supervisor (
  id           uuid PRIMARY KEY,
  jkt          text NOT NULL UNIQUE,
  public_jwk   json NOT NULL,
  hostname     text NOT NULL,
  unixname     text NOT NULL,
  pid          integer NOT NULL,
  roles        text[] NOT NULL,
  sandbox_tier text NOT NULL,
  version      text NOT NULL,
  -- Where at most one lives at a time (a standalone's data folder); null = anywhere.
  place        text,
  registered_at timestamptz NOT NULL,
  last_seen_at timestamptz NOT NULL,
  ended_at     timestamptz
);
-- One-time tickets, as SHA-256, so that the table is worth nothing to a reader.
CREATE TABLE join_ticket (
  digest     text PRIMARY KEY,
  roles      text[] NOT NULL,
  place      text,
  expires_at timestamptz NOT NULL,
  used_at    timestamptz,
  -- Who used it, so that the same key may repeat a registration whose answer was lost.
  used_by    uuid
);

-- Heartbeats of schedulers, dag-processors and triggerers, as /monitor/health and /jobs show them.
CREATE TABLE job (
  id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  job_type         text NOT NULL CHECK (job_type IN ('SchedulerJob', 'TriggererJob', 'DagProcessorJob')),
  instance_id      uuid NOT NULL UNIQUE,
  state            text NOT NULL,
  hostname         text NOT NULL,
  unixname         text NOT NULL,
  start_date       timestamptz NOT NULL,
  end_date         timestamptz,
  latest_heartbeat timestamptz NOT NULL
);
CREATE INDEX job_by_type ON job (job_type, latest_heartbeat DESC);

CREATE TABLE event_log (
  id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at        timestamptz NOT NULL,
  event     text NOT NULL,
  owner     text,
  dag_id    text,
  task_id   text,
  run_id    text,
  map_index integer,
  try_number integer,
  logical_date timestamptz,
  extra     text
);
CREATE INDEX event_log_at ON event_log (at);
CREATE INDEX event_log_dag ON event_log (dag_id, at);

INSERT INTO slot_pool (name, slots, description) VALUES ('default_pool', 128, 'Default pool');
