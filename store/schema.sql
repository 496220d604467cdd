CREATE TABLE account (
  name text NOT NULL,
  role text NOT NULL,
  password_hash text,
  disabled boolean NOT NULL DEFAULT false,
  tokens_valid_from timestamp with time zone NOT NULL,
  created_at timestamp with time zone NOT NULL,
  issuer text,
  subject text,
  CONSTRAINT account_pkey PRIMARY KEY (name),
  CONSTRAINT account_external CHECK (((issuer IS NULL) = (subject IS NULL))),
  CONSTRAINT account_name_check CHECK (((length(name) >= 1) AND (length(name) <= 250))),
  CONSTRAINT account_role_check CHECK ((role = ANY (ARRAY['viewer'::text, 'user'::text, 'op'::text, 'admin'::text])))
);
CREATE UNIQUE INDEX account_by_subject ON account USING btree (issuer, subject) WHERE (issuer IS NOT NULL);
-- granted: airlock_control: delete, insert, select, update

CREATE TABLE account_team (
  account text NOT NULL,
  team text NOT NULL,
  CONSTRAINT account_team_pkey PRIMARY KEY (account, team),
  CONSTRAINT account_team_account_fkey FOREIGN KEY (account) REFERENCES account(name) ON DELETE CASCADE,
  CONSTRAINT account_team_team_fkey FOREIGN KEY (team) REFERENCES team(name) ON DELETE CASCADE
);
CREATE INDEX account_team_by_team ON account_team USING btree (team);
-- granted: airlock_control: delete, insert, select

CREATE TABLE asset (
  id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
  name text NOT NULL,
  uri text NOT NULL,
  asset_group text NOT NULL,
  extra json NOT NULL DEFAULT '{}'::json,
  active boolean NOT NULL DEFAULT false,
  created_at timestamp with time zone NOT NULL,
  updated_at timestamp with time zone NOT NULL,
  CONSTRAINT asset_pkey PRIMARY KEY (id),
  CONSTRAINT asset_asset_group_check CHECK ((octet_length(asset_group) <= 1500)),
  CONSTRAINT asset_name_check CHECK (((name <> ''::text) AND (octet_length(name) <= 1000))),
  CONSTRAINT asset_name_uri_key UNIQUE (name, uri),
  CONSTRAINT asset_uri_check CHECK (((uri <> ''::text) AND (octet_length(uri) <= 1500)))
);
CREATE UNIQUE INDEX asset_active_name ON asset USING btree (name) WHERE active;
CREATE UNIQUE INDEX asset_active_uri ON asset USING btree (uri) WHERE active;
CREATE INDEX asset_by_uri ON asset USING btree (uri);
-- granted: airlock_control: delete, insert, select, update

CREATE TABLE asset_alias (
  id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
  name text NOT NULL,
  alias_group text NOT NULL,
  created_at timestamp with time zone NOT NULL,
  CONSTRAINT asset_alias_pkey PRIMARY KEY (id),
  CONSTRAINT asset_alias_alias_group_check CHECK ((octet_length(alias_group) <= 1500)),
  CONSTRAINT asset_alias_name_check CHECK (((name <> ''::text) AND (octet_length(name) <= 1500))),
  CONSTRAINT asset_alias_name_key UNIQUE (name)
);
-- granted: airlock_control: delete, insert, select, update

CREATE TABLE asset_alias_asset (
  alias_id bigint NOT NULL,
  asset_id bigint NOT NULL,
  CONSTRAINT asset_alias_asset_pkey PRIMARY KEY (alias_id, asset_id),
  CONSTRAINT asset_alias_asset_alias_id_fkey FOREIGN KEY (alias_id) REFERENCES asset_alias(id) ON DELETE CASCADE,
  CONSTRAINT asset_alias_asset_asset_id_fkey FOREIGN KEY (asset_id) REFERENCES asset(id) ON DELETE CASCADE
);
CREATE INDEX asset_alias_asset_by_asset ON asset_alias_asset USING btree (asset_id);
-- granted: airlock_control: delete, insert, select

CREATE TABLE asset_event (
  id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
  asset_id bigint NOT NULL,
  extra json NOT NULL DEFAULT '{}'::json,
  source_dag_id text,
  source_run_id text,
  source_task_id text,
  source_map_index integer NOT NULL DEFAULT '-1'::integer,
  partition_key text,
  at timestamp with time zone NOT NULL,
  audience text[],
  CONSTRAINT asset_event_pkey PRIMARY KEY (id),
  CONSTRAINT asset_event_asset_id_fkey FOREIGN KEY (asset_id) REFERENCES asset(id) ON DELETE CASCADE,
  CONSTRAINT asset_event_partition_key_check CHECK ((length(partition_key) <= 250))
);
CREATE INDEX asset_event_at ON asset_event USING btree (at);
CREATE INDEX asset_event_by_asset ON asset_event USING btree (asset_id, at);
CREATE INDEX asset_event_by_source ON asset_event USING btree (source_dag_id, source_run_id) WHERE (source_dag_id IS NOT NULL);
-- granted: airlock_control: delete, insert, select

CREATE TABLE asset_event_alias (
  event_id bigint NOT NULL,
  alias_id bigint NOT NULL,
  CONSTRAINT asset_event_alias_pkey PRIMARY KEY (event_id, alias_id),
  CONSTRAINT asset_event_alias_alias_id_fkey FOREIGN KEY (alias_id) REFERENCES asset_alias(id) ON DELETE CASCADE,
  CONSTRAINT asset_event_alias_event_id_fkey FOREIGN KEY (event_id) REFERENCES asset_event(id) ON DELETE CASCADE
);
CREATE INDEX asset_event_alias_by_alias ON asset_event_alias USING btree (alias_id);
-- granted: airlock_control: delete, insert, select

CREATE TABLE asset_partition_event (
  id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
  dag_id text NOT NULL,
  event_id bigint NOT NULL,
  target_key text,
  definition text,
  seen boolean NOT NULL DEFAULT false,
  CONSTRAINT asset_partition_event_pkey PRIMARY KEY (id),
  CONSTRAINT asset_partition_event_check CHECK (((target_key IS NULL) = (definition IS NULL))),
  CONSTRAINT asset_partition_event_dag_id_fkey FOREIGN KEY (dag_id) REFERENCES dag(dag_id) ON DELETE CASCADE,
  CONSTRAINT asset_partition_event_event_id_fkey FOREIGN KEY (event_id) REFERENCES asset_event(id) ON DELETE CASCADE,
  CONSTRAINT asset_partition_event_target_key_check CHECK ((length(target_key) <= 250))
);
CREATE INDEX asset_partition_event_by_event ON asset_partition_event USING btree (event_id);
CREATE INDEX asset_partition_event_by_target ON asset_partition_event USING btree (dag_id, target_key);
CREATE UNIQUE INDEX asset_partition_event_key ON asset_partition_event USING btree (dag_id, event_id, COALESCE(target_key, ''::text));
CREATE INDEX asset_partition_event_unseen ON asset_partition_event USING btree (dag_id) WHERE (NOT seen);
-- granted: airlock_control: delete, insert, select, update

CREATE TABLE asset_queued (
  dag_id text NOT NULL,
  asset_id bigint NOT NULL,
  created_at timestamp with time zone NOT NULL,
  CONSTRAINT asset_queued_pkey PRIMARY KEY (dag_id, asset_id),
  CONSTRAINT asset_queued_asset_id_fkey FOREIGN KEY (asset_id) REFERENCES asset(id) ON DELETE CASCADE,
  CONSTRAINT asset_queued_dag_id_fkey FOREIGN KEY (dag_id) REFERENCES dag(dag_id) ON DELETE CASCADE
);
CREATE INDEX asset_queued_by_asset ON asset_queued USING btree (asset_id);
-- granted: airlock_control: delete, insert, select

CREATE TABLE asset_reference (
  dag_id text NOT NULL,
  role text NOT NULL,
  task_id text NOT NULL,
  kind text NOT NULL,
  asset_id bigint,
  alias_id bigint,
  named text NOT NULL DEFAULT ''::text,
  access_control json,
  created_at timestamp with time zone NOT NULL,
  CONSTRAINT asset_reference_alias_id_fkey FOREIGN KEY (alias_id) REFERENCES asset_alias(id) ON DELETE CASCADE,
  CONSTRAINT asset_reference_asset_id_fkey FOREIGN KEY (asset_id) REFERENCES asset(id) ON DELETE CASCADE,
  CONSTRAINT asset_reference_check CHECK ((((kind = 'asset'::text) = (asset_id IS NOT NULL)) AND ((kind = 'alias'::text) = (alias_id IS NOT NULL)) AND ((kind = ANY (ARRAY['name'::text, 'uri'::text])) = (named <> ''::text)))),
  CONSTRAINT asset_reference_dag_id_fkey FOREIGN KEY (dag_id) REFERENCES dag(dag_id) ON DELETE CASCADE,
  CONSTRAINT asset_reference_kind_check CHECK ((kind = ANY (ARRAY['asset'::text, 'alias'::text, 'name'::text, 'uri'::text]))),
  CONSTRAINT asset_reference_named_check CHECK ((octet_length(named) <= 1500)),
  CONSTRAINT asset_reference_role_check CHECK ((role = ANY (ARRAY['schedule'::text, 'inlet'::text, 'outlet'::text])))
);
CREATE INDEX asset_reference_by_alias ON asset_reference USING btree (alias_id) WHERE (alias_id IS NOT NULL);
CREATE INDEX asset_reference_by_asset ON asset_reference USING btree (asset_id) WHERE (asset_id IS NOT NULL);
CREATE INDEX asset_reference_by_named ON asset_reference USING btree (kind, named) WHERE (named <> ''::text);
CREATE UNIQUE INDEX asset_reference_key ON asset_reference USING btree (dag_id, role, task_id, kind, COALESCE(asset_id, (0)::bigint), COALESCE(alias_id, (0)::bigint), named);
-- granted: airlock_control: delete, insert, select, update

CREATE TABLE asset_state (
  asset_id bigint NOT NULL,
  key text NOT NULL,
  value json NOT NULL,
  updated_at timestamp with time zone NOT NULL,
  writer_dag_id text,
  writer_run_id text,
  writer_task_id text,
  writer_map_index integer,
  by_watcher boolean NOT NULL DEFAULT false,
  CONSTRAINT asset_state_pkey PRIMARY KEY (asset_id, key),
  CONSTRAINT asset_state_asset_id_fkey FOREIGN KEY (asset_id) REFERENCES asset(id) ON DELETE CASCADE,
  CONSTRAINT asset_state_key_check CHECK (((key <> ''::text) AND (length(key) <= 512)))
);
-- granted: airlock_control: delete, insert, select, update

CREATE TABLE asset_watcher (
  dag_id text NOT NULL,
  trigger_id bigint NOT NULL,
  name text NOT NULL,
  created_at timestamp with time zone NOT NULL,
  asset_id bigint NOT NULL,
  CONSTRAINT asset_watcher_pkey PRIMARY KEY (dag_id, trigger_id, asset_id),
  CONSTRAINT asset_watcher_asset_id_fkey FOREIGN KEY (asset_id) REFERENCES asset(id) ON DELETE CASCADE,
  CONSTRAINT asset_watcher_dag_id_fkey FOREIGN KEY (dag_id) REFERENCES dag(dag_id) ON DELETE CASCADE,
  CONSTRAINT asset_watcher_trigger_id_fkey FOREIGN KEY (trigger_id) REFERENCES trigger(id) ON DELETE CASCADE
);
CREATE INDEX asset_watcher_by_asset ON asset_watcher USING btree (asset_id);
CREATE INDEX asset_watcher_by_trigger ON asset_watcher USING btree (trigger_id);
-- granted: airlock_control: delete, insert, select, update

CREATE TABLE backfill (
  id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
  dag_id text NOT NULL,
  from_date timestamp with time zone NOT NULL,
  to_date timestamp with time zone NOT NULL,
  dag_run_conf json,
  is_paused boolean NOT NULL DEFAULT false,
  reprocess_behavior text NOT NULL,
  max_active_runs integer NOT NULL,
  triggering_user_name text,
  created_at timestamp with time zone NOT NULL,
  completed_at timestamp with time zone,
  updated_at timestamp with time zone NOT NULL,
  CONSTRAINT backfill_pkey PRIMARY KEY (id),
  CONSTRAINT backfill_check CHECK ((from_date <= to_date)),
  CONSTRAINT backfill_dag_id_fkey FOREIGN KEY (dag_id) REFERENCES dag(dag_id) ON DELETE CASCADE,
  CONSTRAINT backfill_max_active_runs_check CHECK ((max_active_runs >= 1)),
  CONSTRAINT backfill_reprocess_behavior_check CHECK ((reprocess_behavior = ANY (ARRAY['none'::text, 'failed'::text, 'completed'::text])))
);
CREATE UNIQUE INDEX backfill_active ON backfill USING btree (dag_id) WHERE (completed_at IS NULL);
CREATE INDEX backfill_by_dag ON backfill USING btree (dag_id, id);
-- granted: airlock_control: delete, insert, select, update

CREATE TABLE backfill_dag_run (
  backfill_id bigint NOT NULL,
  sort_ordinal integer NOT NULL,
  dag_run_id bigint,
  logical_date timestamp with time zone,
  partition_key text,
  exception_reason text,
  CONSTRAINT backfill_dag_run_pkey PRIMARY KEY (backfill_id, sort_ordinal),
  CONSTRAINT backfill_dag_run_backfill_id_fkey FOREIGN KEY (backfill_id) REFERENCES backfill(id) ON DELETE CASCADE,
  CONSTRAINT backfill_dag_run_dag_run_id_fkey FOREIGN KEY (dag_run_id) REFERENCES dag_run(id) ON DELETE SET NULL,
  CONSTRAINT backfill_dag_run_exception_reason_check CHECK ((exception_reason = ANY (ARRAY['in flight'::text, 'already exists'::text]))),
  CONSTRAINT backfill_dag_run_sort_ordinal_check CHECK ((sort_ordinal >= 1))
);
CREATE INDEX backfill_dag_run_by_run ON backfill_dag_run USING btree (dag_run_id) WHERE (dag_run_id IS NOT NULL);
-- granted: airlock_control: delete, insert, select, update

CREATE TABLE callback (
  id uuid NOT NULL,
  kind text NOT NULL,
  event text NOT NULL,
  team text,
  dag_id text NOT NULL,
  dag_run_id bigint NOT NULL,
  dag_version_id uuid NOT NULL,
  queue text NOT NULL,
  needs text,
  ti json,
  reason text,
  target json,
  priority integer NOT NULL DEFAULT 1,
  state text NOT NULL,
  created_at timestamp with time zone NOT NULL,
  supervisor_id uuid,
  claimed_at timestamp with time zone,
  workload_jti text,
  exchanged_at timestamp with time zone,
  exchange_key text,
  execution_jti text,
  deadline_at timestamp with time zone,
  ended_at timestamp with time zone,
  message text,
  output text,
  CONSTRAINT callback_pkey PRIMARY KEY (id),
  CONSTRAINT callback_dag_run_id_fkey FOREIGN KEY (dag_run_id) REFERENCES dag_run(id) ON DELETE CASCADE,
  CONSTRAINT callback_dag_version_id_fkey FOREIGN KEY (dag_version_id) REFERENCES dag_version(id) ON DELETE CASCADE,
  CONSTRAINT callback_event_check CHECK ((event = ANY (ARRAY['success'::text, 'failure'::text, 'retry'::text, 'missed'::text]))),
  CONSTRAINT callback_kind_check CHECK ((kind = ANY (ARRAY['dag'::text, 'task'::text, 'deadline'::text]))),
  CONSTRAINT callback_message_check CHECK ((length(message) <= 2000)),
  CONSTRAINT callback_output_check CHECK ((length(output) <= 70000)),
  CONSTRAINT callback_reason_check CHECK ((length(reason) <= 2000)),
  CONSTRAINT callback_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'claimed'::text, 'running'::text, 'success'::text, 'failed'::text]))),
  CONSTRAINT callback_team_fkey FOREIGN KEY (team) REFERENCES team(name)
);
CREATE INDEX callback_by_run ON callback USING btree (dag_run_id);
CREATE INDEX callback_by_version ON callback USING btree (dag_version_id);
CREATE INDEX callback_held ON callback USING btree (claimed_at) WHERE (state = ANY (ARRAY['claimed'::text, 'running'::text]));
CREATE INDEX callback_waiting ON callback USING btree (priority DESC, created_at) WHERE (state = 'pending'::text);
-- granted: airlock_control: delete, insert, select, update

CREATE TABLE connection (
  id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
  team text,
  conn_id text NOT NULL,
  conn_type text NOT NULL,
  description text,
  host text,
  schema text,
  login text,
  password text,
  port integer,
  extra text,
  is_encrypted boolean NOT NULL DEFAULT false,
  CONSTRAINT connection_pkey PRIMARY KEY (id),
  CONSTRAINT connection_conn_id_check CHECK (((length(conn_id) >= 1) AND (length(conn_id) <= 250))),
  CONSTRAINT connection_team_fkey FOREIGN KEY (team) REFERENCES team(name)
);
CREATE UNIQUE INDEX connection_conn_id ON connection USING btree (COALESCE(team, ''::text), conn_id);
-- granted: airlock_control: delete, insert, select, update

CREATE TABLE connection_test (
  id uuid NOT NULL,
  team text,
  conn_id text NOT NULL,
  conn_type text NOT NULL,
  host text,
  schema text,
  login text,
  password text,
  port integer,
  extra text,
  is_encrypted boolean NOT NULL DEFAULT false,
  state text NOT NULL,
  result_message text,
  requested_by text,
  timeout_seconds double precision NOT NULL,
  created_at timestamp with time zone NOT NULL,
  workload_jti text,
  fetched_at timestamp with time zone,
  fetch_key text,
  ended_at timestamp with time zone,
  CONSTRAINT connection_test_pkey PRIMARY KEY (id),
  CONSTRAINT connection_test_conn_id_check CHECK (((length(conn_id) >= 1) AND (length(conn_id) <= 250))),
  CONSTRAINT connection_test_result_message_check CHECK ((length(result_message) <= 2000)),
  CONSTRAINT connection_test_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'queued'::text, 'running'::text, 'success'::text, 'failed'::text]))),
  CONSTRAINT connection_test_team_fkey FOREIGN KEY (team) REFERENCES team(name),
  CONSTRAINT connection_test_timeout_seconds_check CHECK ((timeout_seconds > (0)::double precision))
);
CREATE UNIQUE INDEX connection_test_active ON connection_test USING btree (COALESCE(team, ''::text), conn_id) WHERE (state = ANY (ARRAY['pending'::text, 'queued'::text, 'running'::text]));
CREATE INDEX connection_test_by_age ON connection_test USING btree (created_at);
-- granted: airlock_control: delete, insert, select, update

CREATE TABLE dag (
  dag_id text NOT NULL,
  bundle_name text NOT NULL,
  relative_fileloc text NOT NULL,
  fileloc text NOT NULL,
  team text,
  display_name text NOT NULL,
  description text,
  owners text NOT NULL DEFAULT ''::text,
  timetable_type text NOT NULL,
  timetable_summary text,
  timetable_description text,
  timetable_periodic boolean NOT NULL DEFAULT false,
  is_paused boolean NOT NULL,
  is_stale boolean NOT NULL DEFAULT false,
  has_import_errors boolean NOT NULL DEFAULT false,
  max_active_runs integer NOT NULL,
  max_active_tasks integer NOT NULL,
  max_consecutive_failed_dag_runs integer NOT NULL DEFAULT 0,
  allowed_run_types text[],
  current_version_id uuid,
  last_parsed_at timestamp with time zone NOT NULL,
  last_parse_seconds double precision,
  last_expired_at timestamp with time zone,
  next_logical_date timestamp with time zone,
  next_interval_start timestamp with time zone,
  next_interval_end timestamp with time zone,
  next_create_after timestamp with time zone,
  CONSTRAINT dag_pkey PRIMARY KEY (dag_id),
  CONSTRAINT dag_bundle_name_fkey FOREIGN KEY (bundle_name) REFERENCES dag_bundle(name),
  CONSTRAINT dag_current_version FOREIGN KEY (current_version_id) REFERENCES dag_version(id) ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED,
  CONSTRAINT dag_dag_id_check CHECK ((length(dag_id) <= 250)),
  CONSTRAINT dag_team_fkey FOREIGN KEY (team) REFERENCES team(name)
);
CREATE INDEX dag_by_file ON dag USING btree (bundle_name, relative_fileloc);
CREATE INDEX dag_by_version ON dag USING btree (current_version_id) WHERE (current_version_id IS NOT NULL);
CREATE INDEX dag_due ON dag USING btree (next_create_after) WHERE ((NOT is_paused) AND (NOT is_stale) AND (next_create_after IS NOT NULL));
-- granted: airlock_control: delete, insert, select, update

CREATE TABLE dag_bundle (
  name text NOT NULL,
  kind text NOT NULL,
  path text NOT NULL,
  team text,
  version text,
  active boolean NOT NULL DEFAULT true,
  last_refreshed_at timestamp with time zone,
  git json,
  CONSTRAINT dag_bundle_pkey PRIMARY KEY (name),
  CONSTRAINT dag_bundle_kind_check CHECK (((kind = ANY (ARRAY['local'::text, 'git'::text])) AND ((kind = 'git'::text) = (git IS NOT NULL)))),
  CONSTRAINT dag_bundle_team_fkey FOREIGN KEY (team) REFERENCES team(name)
);
-- granted: airlock_control: delete, insert, select, update

CREATE TABLE dag_favorite (
  user_name text NOT NULL,
  dag_id text NOT NULL,
  CONSTRAINT dag_favorite_pkey PRIMARY KEY (user_name, dag_id),
  CONSTRAINT dag_favorite_dag_id_fkey FOREIGN KEY (dag_id) REFERENCES dag(dag_id) ON DELETE CASCADE
);
-- granted: airlock_control: delete, insert, select

CREATE TABLE dag_file (
  bundle_name text NOT NULL,
  relative_fileloc text NOT NULL,
  inputs_digest text NOT NULL,
  last_parsed_at timestamp with time zone NOT NULL,
  parse_seconds double precision NOT NULL,
  CONSTRAINT dag_file_pkey PRIMARY KEY (bundle_name, relative_fileloc),
  CONSTRAINT dag_file_bundle_name_fkey FOREIGN KEY (bundle_name) REFERENCES dag_bundle(name) ON DELETE CASCADE
);
-- granted: airlock_control: delete, insert, select, update

CREATE TABLE dag_module (
  hash text NOT NULL,
  code text NOT NULL,
  created_at timestamp with time zone NOT NULL,
  CONSTRAINT dag_module_pkey PRIMARY KEY (hash),
  CONSTRAINT dag_module_hash_check CHECK ((hash ~ '^[0-9a-f]{64}$'::text))
);
-- granted: airlock_control: delete, insert, select

CREATE TABLE dag_run (
  id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
  dag_id text NOT NULL,
  run_id text NOT NULL,
  team text,
  state text NOT NULL,
  run_type text NOT NULL,
  triggered_by text NOT NULL,
  triggering_user_name text,
  logical_date timestamp with time zone,
  data_interval_start timestamp with time zone,
  data_interval_end timestamp with time zone,
  run_after timestamp with time zone NOT NULL,
  queued_at timestamp with time zone,
  start_date timestamp with time zone,
  end_date timestamp with time zone,
  last_scheduling_decision timestamp with time zone,
  updated_at timestamp with time zone NOT NULL,
  conf json NOT NULL DEFAULT '{}'::json,
  note text,
  note_user text,
  clear_number integer NOT NULL DEFAULT 0,
  created_version_id uuid,
  bundle_version text,
  partition_key text,
  partition_date timestamp with time zone,
  backfill_id bigint,
  trigger_try uuid,
  clear_try uuid,
  backfill_ordinal integer,
  CONSTRAINT dag_run_pkey PRIMARY KEY (id),
  CONSTRAINT dag_run_backfill FOREIGN KEY (backfill_id) REFERENCES backfill(id) ON DELETE SET NULL,
  CONSTRAINT dag_run_created_version_id_fkey FOREIGN KEY (created_version_id) REFERENCES dag_version(id),
  CONSTRAINT dag_run_dag_id_fkey FOREIGN KEY (dag_id) REFERENCES dag(dag_id) ON DELETE CASCADE,
  CONSTRAINT dag_run_dag_id_run_id_key UNIQUE (dag_id, run_id),
  CONSTRAINT dag_run_run_id_check CHECK ((length(run_id) <= 250)),
  CONSTRAINT dag_run_state_check CHECK ((state = ANY (ARRAY['queued'::text, 'running'::text, 'success'::text, 'failed'::text])))
);
CREATE INDEX dag_run_active ON dag_run USING btree (dag_id, state) WHERE (state = ANY (ARRAY['queued'::text, 'running'::text]));
CREATE INDEX dag_run_by_backfill ON dag_run USING btree (backfill_id) WHERE (backfill_id IS NOT NULL);
CREATE INDEX dag_run_by_dag ON dag_run USING btree (dag_id, run_after DESC);
CREATE INDEX dag_run_by_dag_id ON dag_run USING btree (dag_id, id);
CREATE INDEX dag_run_by_end ON dag_run USING btree (end_date) WHERE (end_date IS NOT NULL);
CREATE INDEX dag_run_by_partition_date ON dag_run USING btree (dag_id, partition_date) WHERE (partition_date IS NOT NULL);
CREATE INDEX dag_run_by_partition_key ON dag_run USING btree (dag_id, partition_key) WHERE (partition_key IS NOT NULL);
CREATE INDEX dag_run_by_version ON dag_run USING btree (created_version_id) WHERE (created_version_id IS NOT NULL);
CREATE UNIQUE INDEX dag_run_logical_date ON dag_run USING btree (dag_id, logical_date) WHERE (logical_date IS NOT NULL);
CREATE INDEX dag_run_unfinished ON dag_run USING btree (state, run_after) WHERE (state = ANY (ARRAY['queued'::text, 'running'::text]));
-- granted: airlock_control: delete, insert, select, update

CREATE TABLE dag_run_asset_event (
  dag_run_id bigint NOT NULL,
  event_id bigint NOT NULL,
  CONSTRAINT dag_run_asset_event_pkey PRIMARY KEY (dag_run_id, event_id),
  CONSTRAINT dag_run_asset_event_dag_run_id_fkey FOREIGN KEY (dag_run_id) REFERENCES dag_run(id) ON DELETE CASCADE,
  CONSTRAINT dag_run_asset_event_event_id_fkey FOREIGN KEY (event_id) REFERENCES asset_event(id) ON DELETE CASCADE
);
CREATE INDEX dag_run_asset_event_by_event ON dag_run_asset_event USING btree (event_id);
-- granted: airlock_control: delete, insert, select

CREATE TABLE dag_tag (
  dag_id text NOT NULL,
  name text NOT NULL,
  CONSTRAINT dag_tag_pkey PRIMARY KEY (dag_id, name),
  CONSTRAINT dag_tag_dag_id_fkey FOREIGN KEY (dag_id) REFERENCES dag(dag_id) ON DELETE CASCADE,
  CONSTRAINT dag_tag_name_check CHECK ((length(name) <= 100))
);
CREATE INDEX dag_tag_by_name ON dag_tag USING btree (name);
-- granted: airlock_control: delete, insert, select

CREATE TABLE dag_version (
  id uuid NOT NULL,
  dag_id text NOT NULL,
  version_number integer NOT NULL,
  bundle_name text NOT NULL,
  bundle_version text,
  digest text NOT NULL,
  document json NOT NULL,
  source text NOT NULL,
  module_hash text,
  created_at timestamp with time zone NOT NULL,
  team text,
  relative_fileloc text,
  CONSTRAINT dag_version_pkey PRIMARY KEY (id),
  CONSTRAINT dag_version_dag_id_fkey FOREIGN KEY (dag_id) REFERENCES dag(dag_id) ON DELETE CASCADE,
  CONSTRAINT dag_version_dag_id_version_number_key UNIQUE (dag_id, version_number),
  CONSTRAINT dag_version_module_hash_fkey FOREIGN KEY (module_hash) REFERENCES dag_module(hash)
);
CREATE INDEX dag_version_by_module ON dag_version USING btree (module_hash) WHERE (module_hash IS NOT NULL);
-- granted: airlock_control: delete, insert, select, update

CREATE TABLE dag_warning (
  dag_id text NOT NULL,
  warning_type text NOT NULL,
  message text NOT NULL,
  at timestamp with time zone NOT NULL,
  CONSTRAINT dag_warning_pkey PRIMARY KEY (dag_id, warning_type),
  CONSTRAINT dag_warning_dag_id_fkey FOREIGN KEY (dag_id) REFERENCES dag(dag_id) ON DELETE CASCADE
);
-- granted: airlock_control: delete, insert, select, update

CREATE TABLE deadline (
  id uuid NOT NULL,
  dag_run_id bigint NOT NULL,
  dag_version_id uuid NOT NULL,
  position integer NOT NULL,
  name text,
  reference_type text NOT NULL,
  due_at timestamp with time zone NOT NULL,
  missed boolean NOT NULL DEFAULT false,
  created_at timestamp with time zone NOT NULL,
  updated_at timestamp with time zone NOT NULL,
  callback_id uuid,
  interval_seconds double precision NOT NULL,
  CONSTRAINT deadline_pkey PRIMARY KEY (id),
  CONSTRAINT deadline_callback_id_fkey FOREIGN KEY (callback_id) REFERENCES callback(id) ON DELETE SET NULL,
  CONSTRAINT deadline_dag_run_id_fkey FOREIGN KEY (dag_run_id) REFERENCES dag_run(id) ON DELETE CASCADE,
  CONSTRAINT deadline_dag_run_id_position_key UNIQUE (dag_run_id, "position"),
  CONSTRAINT deadline_dag_version_id_fkey FOREIGN KEY (dag_version_id) REFERENCES dag_version(id) ON DELETE CASCADE
);
CREATE INDEX deadline_by_callback ON deadline USING btree (callback_id) WHERE (callback_id IS NOT NULL);
CREATE INDEX deadline_by_version ON deadline USING btree (dag_version_id);
CREATE INDEX deadline_due ON deadline USING btree (due_at) WHERE (NOT missed);
-- granted: airlock_control: delete, insert, select, update

CREATE TABLE event_chain (
  single boolean NOT NULL DEFAULT true,
  base_seq bigint NOT NULL,
  base_hash bytea NOT NULL,
  head_seq bigint NOT NULL,
  head_hash bytea NOT NULL,
  CONSTRAINT event_chain_pkey PRIMARY KEY (single),
  CONSTRAINT event_chain_single_check CHECK (single)
);
-- granted: airlock_control: select, update

CREATE TABLE event_log (
  id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
  at timestamp with time zone NOT NULL,
  event text NOT NULL,
  owner text,
  dag_id text,
  task_id text,
  run_id text,
  map_index integer,
  try_number integer,
  logical_date timestamp with time zone,
  extra text,
  team text,
  seq bigint,
  hash bytea,
  CONSTRAINT event_log_pkey PRIMARY KEY (id),
  CONSTRAINT event_log_linked CHECK (((seq IS NULL) = (hash IS NULL)))
);
CREATE INDEX event_log_at ON event_log USING btree (at);
CREATE INDEX event_log_dag ON event_log USING btree (dag_id, at);
CREATE UNIQUE INDEX event_log_seq ON event_log USING btree (seq);
CREATE INDEX event_log_token_alarm ON event_log USING btree (at) WHERE (event = ANY (ARRAY['run_refused'::text, 'token_reuse_refused'::text, 'token_family_ended'::text]));
CREATE INDEX event_log_unlinked ON event_log USING btree (id) WHERE (seq IS NULL);
-- granted: airlock_control: delete, insert, select

CREATE TABLE hitl_detail (
  ti_id uuid NOT NULL,
  dag_run_id bigint NOT NULL,
  dag_id text NOT NULL,
  run_id text NOT NULL,
  task_id text NOT NULL,
  map_index integer NOT NULL,
  options text[] NOT NULL,
  subject text NOT NULL,
  body text,
  defaults text[],
  multiple boolean NOT NULL,
  params json NOT NULL,
  assigned_users json NOT NULL,
  created_at timestamp with time zone NOT NULL,
  responded_at timestamp with time zone,
  responded_by_id text,
  responded_by_name text,
  chosen_options text[],
  params_input json,
  CONSTRAINT hitl_detail_pkey PRIMARY KEY (ti_id),
  CONSTRAINT hitl_detail_check CHECK (((responded_at IS NULL) = (chosen_options IS NULL))),
  CONSTRAINT hitl_detail_dag_run_id_fkey FOREIGN KEY (dag_run_id) REFERENCES dag_run(id) ON DELETE CASCADE,
  CONSTRAINT hitl_detail_options_check CHECK ((cardinality(options) >= 1))
);
CREATE INDEX hitl_detail_by_dag ON hitl_detail USING btree (dag_id, created_at);
CREATE INDEX hitl_detail_by_run ON hitl_detail USING btree (dag_run_id);
-- granted: airlock_control: delete, insert, select, update

CREATE TABLE import_error (
  id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
  bundle_name text NOT NULL,
  filename text NOT NULL,
  stack_trace text NOT NULL,
  at timestamp with time zone NOT NULL,
  CONSTRAINT import_error_pkey PRIMARY KEY (id),
  CONSTRAINT import_error_bundle_name_filename_key UNIQUE (bundle_name, filename),
  CONSTRAINT import_error_bundle_name_fkey FOREIGN KEY (bundle_name) REFERENCES dag_bundle(name) ON DELETE CASCADE
);
-- granted: airlock_control: delete, insert, select, update

CREATE TABLE job (
  id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
  job_type text NOT NULL,
  instance_id uuid NOT NULL,
  state text NOT NULL,
  hostname text NOT NULL,
  unixname text NOT NULL,
  start_date timestamp with time zone NOT NULL,
  end_date timestamp with time zone,
  latest_heartbeat timestamp with time zone NOT NULL,
  CONSTRAINT job_pkey PRIMARY KEY (id),
  CONSTRAINT job_instance_id_job_type_key UNIQUE (instance_id, job_type),
  CONSTRAINT job_job_type_check CHECK ((job_type = ANY (ARRAY['SchedulerJob'::text, 'TriggererJob'::text, 'DagProcessorJob'::text])))
);
CREATE INDEX job_by_type ON job USING btree (job_type, latest_heartbeat DESC);
-- granted: airlock_control: delete, insert, select, update

CREATE TABLE join_ticket (
  digest text NOT NULL,
  roles text[] NOT NULL,
  place text,
  expires_at timestamp with time zone NOT NULL,
  used_at timestamp with time zone,
  used_by uuid,
  bundles text[],
  CONSTRAINT join_ticket_pkey PRIMARY KEY (digest)
);
-- granted: airlock_control: delete, insert, select, update

CREATE TABLE login_attempt (
  id uuid NOT NULL,
  key text NOT NULL,
  at timestamp with time zone NOT NULL,
  CONSTRAINT login_attempt_pkey PRIMARY KEY (id, key)
);
CREATE INDEX login_attempt_by_key ON login_attempt USING btree (key, at);
CREATE INDEX login_attempt_by_time ON login_attempt USING btree (at);
-- granted: airlock_control: delete, insert, select

CREATE TABLE observed_use (
  dag_id text NOT NULL,
  task_id text NOT NULL,
  kind text NOT NULL,
  name text NOT NULL,
  uses bigint NOT NULL,
  first_at timestamp with time zone NOT NULL,
  last_at timestamp with time zone NOT NULL,
  CONSTRAINT observed_use_pkey PRIMARY KEY (dag_id, task_id, kind, name),
  CONSTRAINT observed_use_dag_id_fkey FOREIGN KEY (dag_id) REFERENCES dag(dag_id) ON DELETE CASCADE,
  CONSTRAINT observed_use_kind_check CHECK ((kind = ANY (ARRAY['connections'::text, 'variables'::text, 'xcoms'::text, 'assets'::text, 'dags'::text, 'tasks'::text, 'variable_writes'::text, 'xcom_reads'::text, 'xcom_writes'::text, 'run_reads'::text, 'task_reads'::text, 'asset_reads'::text, 'asset_writes'::text]))),
  CONSTRAINT observed_use_name_check CHECK ((octet_length(name) <= 1600))
);
-- granted: airlock_control: delete, insert, select, update

CREATE TABLE pending_deadline (
  id uuid NOT NULL,
  dag_run_id bigint NOT NULL,
  dag_version_id uuid NOT NULL,
  position integer NOT NULL,
  reference_at timestamp with time zone,
  created_at timestamp with time zone NOT NULL,
  CONSTRAINT pending_deadline_pkey PRIMARY KEY (id),
  CONSTRAINT pending_deadline_dag_run_id_fkey FOREIGN KEY (dag_run_id) REFERENCES dag_run(id) ON DELETE CASCADE,
  CONSTRAINT pending_deadline_dag_run_id_position_key UNIQUE (dag_run_id, "position"),
  CONSTRAINT pending_deadline_dag_version_id_fkey FOREIGN KEY (dag_version_id) REFERENCES dag_version(id) ON DELETE CASCADE
);
CREATE INDEX pending_deadline_by_version ON pending_deadline USING btree (dag_version_id);
-- granted: airlock_control: delete, insert, select, update

CREATE TABLE proof_seen (
  name bytea NOT NULL,
  made_at timestamp with time zone NOT NULL,
  CONSTRAINT proof_seen_pkey PRIMARY KEY (name)
);
CREATE INDEX proof_seen_age ON proof_seen USING brin (made_at);
-- granted: airlock_control: delete, insert, select

CREATE TABLE revoked_token (
  jti text NOT NULL,
  expires_at timestamp with time zone NOT NULL,
  CONSTRAINT revoked_token_pkey PRIMARY KEY (jti)
);
CREATE INDEX revoked_token_expiry ON revoked_token USING btree (expires_at);
-- granted: airlock_control: delete, insert, select

CREATE TABLE schema_version (
  version integer NOT NULL,
  name text NOT NULL,
  checksum text NOT NULL,
  applied_at timestamp with time zone NOT NULL,
  CONSTRAINT schema_version_pkey PRIMARY KEY (version)
);
-- granted: airlock_control: select

CREATE TABLE slot_pool (
  id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
  team text,
  name text NOT NULL,
  slots integer NOT NULL,
  description text,
  include_deferred boolean NOT NULL DEFAULT false,
  CONSTRAINT slot_pool_pkey PRIMARY KEY (id),
  CONSTRAINT slot_pool_name_check CHECK (((name <> ''::text) AND (length(name) <= 256))),
  CONSTRAINT slot_pool_slots_check CHECK ((slots >= '-1'::integer)),
  CONSTRAINT slot_pool_team_fkey FOREIGN KEY (team) REFERENCES team(name)
);
CREATE UNIQUE INDEX slot_pool_name ON slot_pool USING btree (name);
-- granted: airlock_control: delete, insert, select, update

CREATE TABLE supervisor (
  id uuid NOT NULL,
  jkt text NOT NULL,
  public_jwk json NOT NULL,
  hostname text NOT NULL,
  unixname text NOT NULL,
  pid integer NOT NULL,
  roles text[] NOT NULL,
  sandbox_tier text NOT NULL,
  version text NOT NULL,
  place text,
  registered_at timestamp with time zone NOT NULL,
  last_seen_at timestamp with time zone NOT NULL,
  ended_at timestamp with time zone,
  queues text[],
  has_claimed boolean NOT NULL DEFAULT false,
  bundles text[],
  CONSTRAINT supervisor_pkey PRIMARY KEY (id),
  CONSTRAINT supervisor_jkt_key UNIQUE (jkt)
);
-- granted: airlock_control: delete, insert, select, update

CREATE TABLE supervisor_interpreter (
  supervisor_id uuid NOT NULL,
  reported_at timestamp with time zone NOT NULL,
  providers json NOT NULL,
  plugins json NOT NULL,
  plugin_import_errors json NOT NULL,
  CONSTRAINT supervisor_interpreter_pkey PRIMARY KEY (supervisor_id),
  CONSTRAINT supervisor_interpreter_supervisor_id_fkey FOREIGN KEY (supervisor_id) REFERENCES supervisor(id) ON DELETE CASCADE
);
-- granted: airlock_control: delete, insert, select, update

CREATE TABLE task_instance (
  id uuid NOT NULL,
  dag_run_id bigint NOT NULL,
  dag_id text NOT NULL,
  run_id text NOT NULL,
  task_id text NOT NULL,
  map_index integer NOT NULL DEFAULT '-1'::integer,
  team text,
  dag_version_id uuid NOT NULL,
  state text,
  try_number integer NOT NULL DEFAULT 0,
  max_tries integer NOT NULL DEFAULT 0,
  operator text,
  task_display_name text NOT NULL,
  runtime text NOT NULL DEFAULT 'python'::text,
  pool text NOT NULL,
  pool_slots integer NOT NULL DEFAULT 1,
  queue text NOT NULL,
  priority_weight integer NOT NULL DEFAULT 1,
  executor text,
  executor_config json,
  needs text,
  execution_timeout_seconds double precision,
  max_active_per_dag integer,
  max_active_per_run integer,
  scheduled_at timestamp with time zone,
  queued_at timestamp with time zone,
  queued_by uuid,
  queue_attempts integer NOT NULL DEFAULT 0,
  supervisor_id uuid,
  claimed_at timestamp with time zone,
  start_date timestamp with time zone,
  end_date timestamp with time zone,
  duration double precision,
  hostname text NOT NULL DEFAULT ''::text,
  unixname text,
  pid integer,
  last_heartbeat_at timestamp with time zone,
  workload_jti text,
  exchanged_at timestamp with time zone,
  exchange_key text,
  execution_jti text,
  execution_confirmed boolean NOT NULL DEFAULT false,
  execution_jti_next text,
  execution_next_at timestamp with time zone,
  execution_jti_prev text,
  execution_overlap_until timestamp with time zone,
  deadline_at timestamp with time zone,
  retry_at timestamp with time zone,
  retry_delay_override double precision,
  retry_reason text,
  reschedule_at timestamp with time zone,
  next_method text,
  next_kwargs json,
  trigger_id bigint,
  trigger_timeout timestamp with time zone,
  rendered_fields json,
  rendered_map_index text,
  note text,
  note_user text,
  log_bytes bigint NOT NULL DEFAULT 0,
  log_base bigint NOT NULL DEFAULT 0,
  updated_at timestamp with time zone NOT NULL,
  reported_jti text,
  reported_as text,
  CONSTRAINT task_instance_pkey PRIMARY KEY (id),
  CONSTRAINT task_instance_dag_run_id_fkey FOREIGN KEY (dag_run_id) REFERENCES dag_run(id) ON DELETE CASCADE,
  CONSTRAINT task_instance_dag_run_id_task_id_map_index_key UNIQUE (dag_run_id, task_id, map_index),
  CONSTRAINT task_instance_dag_version_id_fkey FOREIGN KEY (dag_version_id) REFERENCES dag_version(id)
) WITH (fillfactor=70);
CREATE INDEX ti_active ON task_instance USING btree (pool) WHERE (state = ANY (ARRAY['queued'::text, 'running'::text, 'restarting'::text, 'deferred'::text, 'awaiting_input'::text]));
CREATE INDEX ti_by_name ON task_instance USING btree (dag_id, run_id, task_id, map_index);
CREATE INDEX ti_by_start ON task_instance USING btree (start_date, id);
CREATE INDEX ti_by_supervisor ON task_instance USING btree (supervisor_id) WHERE (supervisor_id IS NOT NULL);
CREATE INDEX ti_by_trigger ON task_instance USING btree (trigger_id) WHERE (trigger_id IS NOT NULL);
CREATE INDEX ti_by_version ON task_instance USING btree (dag_version_id);
CREATE INDEX ti_listed ON task_instance USING btree (dag_id, map_index, id);
CREATE INDEX ti_listed_of_all ON task_instance USING btree (map_index, id);
CREATE INDEX ti_queued ON task_instance USING btree (queued_at) WHERE (state = 'queued'::text);
CREATE INDEX ti_reschedule ON task_instance USING btree (reschedule_at) WHERE (state = 'up_for_reschedule'::text);
CREATE INDEX ti_retry ON task_instance USING btree (retry_at) WHERE (state = 'up_for_retry'::text);
CREATE INDEX ti_running ON task_instance USING btree (dag_run_id) WHERE (state = ANY (ARRAY['running'::text, 'restarting'::text]));
CREATE INDEX ti_scheduled ON task_instance USING btree (priority_weight DESC, dag_run_id, map_index) WHERE (state = 'scheduled'::text);
CREATE INDEX ti_trigger_timeout ON task_instance USING btree (trigger_timeout) WHERE ((state = 'deferred'::text) AND (trigger_timeout IS NOT NULL));
-- granted: airlock_control: delete, insert, select, update

CREATE TABLE task_instance_history (
  id uuid NOT NULL,
  dag_run_id bigint NOT NULL,
  dag_id text NOT NULL,
  run_id text NOT NULL,
  task_id text NOT NULL,
  map_index integer NOT NULL,
  team text,
  dag_version_id uuid,
  state text,
  try_number integer NOT NULL,
  max_tries integer NOT NULL,
  operator text,
  task_display_name text NOT NULL,
  pool text NOT NULL,
  pool_slots integer NOT NULL,
  queue text NOT NULL,
  priority_weight integer NOT NULL,
  executor text,
  executor_config json,
  scheduled_at timestamp with time zone,
  queued_at timestamp with time zone,
  start_date timestamp with time zone,
  end_date timestamp with time zone,
  duration double precision,
  hostname text NOT NULL,
  unixname text,
  pid integer,
  retry_delay_override double precision,
  retry_reason text,
  reported_state text,
  supervisor_id uuid,
  rendered_map_index text,
  CONSTRAINT task_instance_history_pkey PRIMARY KEY (id),
  CONSTRAINT task_instance_history_dag_run_id_fkey FOREIGN KEY (dag_run_id) REFERENCES dag_run(id) ON DELETE CASCADE
);
CREATE INDEX ti_history_by_name ON task_instance_history USING btree (dag_run_id, task_id, map_index, try_number);
-- granted: airlock_control: delete, insert, select, update

CREATE TABLE task_map (
  dag_run_id bigint NOT NULL,
  task_id text NOT NULL,
  map_index integer NOT NULL,
  length integer NOT NULL,
  CONSTRAINT task_map_pkey PRIMARY KEY (dag_run_id, task_id, map_index),
  CONSTRAINT task_map_dag_run_id_fkey FOREIGN KEY (dag_run_id) REFERENCES dag_run(id) ON DELETE CASCADE,
  CONSTRAINT task_map_length_check CHECK ((length >= 0))
);
-- granted: airlock_control: delete, insert, select, update

CREATE TABLE task_reschedule (
  id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
  ti_id uuid NOT NULL,
  start_date timestamp with time zone NOT NULL,
  end_date timestamp with time zone NOT NULL,
  reschedule_at timestamp with time zone NOT NULL,
  CONSTRAINT task_reschedule_pkey PRIMARY KEY (id),
  CONSTRAINT task_reschedule_ti_id_fkey FOREIGN KEY (ti_id) REFERENCES task_instance(id) ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX task_reschedule_by_ti ON task_reschedule USING btree (ti_id);
-- granted: airlock_control: delete, insert, select

CREATE TABLE task_state (
  dag_run_id bigint NOT NULL,
  task_id text NOT NULL,
  map_index integer NOT NULL,
  key text NOT NULL,
  value json NOT NULL,
  updated_at timestamp with time zone NOT NULL,
  expires_at timestamp with time zone,
  CONSTRAINT task_state_pkey PRIMARY KEY (dag_run_id, task_id, map_index, key),
  CONSTRAINT task_state_dag_run_id_fkey FOREIGN KEY (dag_run_id) REFERENCES dag_run(id) ON DELETE CASCADE,
  CONSTRAINT task_state_key_check CHECK (((key <> ''::text) AND (length(key) <= 512)))
);
CREATE INDEX task_state_expiry ON task_state USING btree (expires_at) WHERE (expires_at IS NOT NULL);
-- granted: airlock_control: delete, insert, select, update

CREATE TABLE team (
  name text NOT NULL,
  CONSTRAINT team_pkey PRIMARY KEY (name),
  CONSTRAINT team_name_check CHECK ((name ~ '^[A-Za-z0-9_-]{1,50}$'::text))
);
-- granted: airlock_control: delete, insert, select, update

CREATE TABLE timetable_question (
  id uuid NOT NULL,
  dag_id text NOT NULL,
  purpose text NOT NULL,
  ask json NOT NULL,
  asked_at timestamp with time zone NOT NULL,
  due_at timestamp with time zone NOT NULL,
  supervisor_id uuid,
  claimed_at timestamp with time zone,
  answered_at timestamp with time zone,
  answer json,
  problem text,
  CONSTRAINT timetable_question_pkey PRIMARY KEY (id),
  CONSTRAINT timetable_question_dag_id_fkey FOREIGN KEY (dag_id) REFERENCES dag(dag_id) ON DELETE CASCADE,
  CONSTRAINT timetable_question_purpose_check CHECK ((purpose = ANY (ARRAY['next'::text, 'manual'::text, 'backfill'::text])))
);
CREATE INDEX timetable_question_by_dag ON timetable_question USING btree (dag_id);
CREATE UNIQUE INDEX timetable_question_next ON timetable_question USING btree (dag_id) WHERE (purpose = 'next'::text);
CREATE INDEX timetable_question_open ON timetable_question USING btree (due_at) WHERE (answered_at IS NULL);
-- granted: airlock_control: delete, insert, select, update

CREATE TABLE trigger (
  id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
  ti_id uuid,
  dag_run_id bigint,
  classpath text NOT NULL,
  kwargs text NOT NULL,
  is_encrypted boolean NOT NULL,
  queue text,
  created_at timestamp with time zone NOT NULL,
  supervisor_id uuid,
  claimed_at timestamp with time zone,
  from_document boolean NOT NULL DEFAULT false,
  team text,
  digest text,
  last_event uuid,
  CONSTRAINT trigger_pkey PRIMARY KEY (id),
  CONSTRAINT trigger_check CHECK ((((ti_id IS NULL) = (digest IS NOT NULL)) AND ((ti_id IS NULL) = (dag_run_id IS NULL)))),
  CONSTRAINT trigger_dag_run_id_fkey FOREIGN KEY (dag_run_id) REFERENCES dag_run(id) ON DELETE CASCADE
);
CREATE INDEX trigger_by_run ON trigger USING btree (dag_run_id);
CREATE INDEX trigger_by_supervisor ON trigger USING btree (supervisor_id);
CREATE UNIQUE INDEX trigger_that_watches ON trigger USING btree (COALESCE(team, ''::text), digest) WHERE (digest IS NOT NULL);
-- granted: airlock_control: delete, insert, select, update

CREATE TABLE user_session (
  jti text NOT NULL,
  previous_jti text,
  account text NOT NULL,
  issued_at timestamp with time zone NOT NULL,
  ends_at timestamp with time zone NOT NULL,
  CONSTRAINT user_session_pkey PRIMARY KEY (jti),
  CONSTRAINT user_session_account_fkey FOREIGN KEY (account) REFERENCES account(name) ON DELETE CASCADE,
  CONSTRAINT user_session_previous_jti_key UNIQUE (previous_jti)
);
CREATE INDEX user_session_by_account ON user_session USING btree (account);
CREATE INDEX user_session_by_end ON user_session USING btree (ends_at);
-- granted: airlock_control: delete, insert, select, update

CREATE TABLE variable (
  id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
  team text,
  key text NOT NULL,
  val text NOT NULL,
  description text,
  is_encrypted boolean NOT NULL DEFAULT false,
  CONSTRAINT variable_pkey PRIMARY KEY (id),
  CONSTRAINT variable_key_check CHECK ((length(key) <= 250)),
  CONSTRAINT variable_team_fkey FOREIGN KEY (team) REFERENCES team(name)
);
CREATE UNIQUE INDEX variable_key ON variable USING btree (COALESCE(team, ''::text), key);
-- granted: airlock_control: delete, insert, select, update

CREATE TABLE xcom (
  dag_run_id bigint NOT NULL,
  task_id text NOT NULL,
  map_index integer NOT NULL,
  key text NOT NULL,
  dag_id text NOT NULL,
  run_id text NOT NULL,
  value json,
  dag_result boolean NOT NULL DEFAULT false,
  at timestamp with time zone NOT NULL,
  CONSTRAINT xcom_pkey PRIMARY KEY (dag_run_id, task_id, map_index, key),
  CONSTRAINT xcom_dag_run_id_fkey FOREIGN KEY (dag_run_id) REFERENCES dag_run(id) ON DELETE CASCADE,
  CONSTRAINT xcom_key_check CHECK (((key <> ''::text) AND (length(key) <= 512)))
);
-- granted: airlock_control: delete, insert, select, update
-- besides tables: function event_log_added(); function event_log_team(); trigger event_log_added; trigger event_log_team
