-- airlock_control: API server and scheduler. Everything is taken first, so this file is all that the role may do.
-- A new table needs a line here; store/test/grants.int.test.ts names the one that has none.
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM airlock_control;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM airlock_control;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM airlock_control;
REVOKE ALL ON SCHEMA public FROM airlock_control;
GRANT USAGE ON SCHEMA public TO airlock_control;
-- What PostgreSQL gives to everybody: temporary tables, and before release 15 tables in this schema.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
DO $$ BEGIN EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database()); END $$;

-- Only reads: who may change the schema is decided elsewhere.
GRANT SELECT ON schema_version TO airlock_control;

-- Records that are added and, when their time is over, removed, but never changed.
GRANT SELECT, INSERT, DELETE ON
  dag_module, dag_tag, dag_favorite, task_reschedule, revoked_token, event_log, account_team, proof_seen
TO airlock_control;

GRANT SELECT, INSERT, UPDATE, DELETE ON
  team, dag_bundle, dag_file, dag, dag_version, import_error, dag_warning,
  dag_run, task_instance, task_instance_history, xcom, task_map,
  slot_pool, variable, connection, account, supervisor, join_ticket, job, backfill, backfill_dag_run
TO airlock_control;

-- The audit log: of a row only its place in the chain is written later.
GRANT UPDATE (seq, hash) ON event_log TO airlock_control;
GRANT SELECT, UPDATE ON event_chain TO airlock_control;

-- Log-ins that are counted.
GRANT SELECT, INSERT, DELETE ON login_attempt TO airlock_control;
-- Log-ins by the page.
GRANT SELECT, INSERT, UPDATE, DELETE ON user_session TO airlock_control;

-- Assets and their events.
GRANT SELECT, INSERT, DELETE ON
  asset_alias_asset, asset_event, asset_event_alias, dag_run_asset_event, asset_queued
TO airlock_control;
GRANT SELECT, INSERT, UPDATE, DELETE ON asset, asset_alias, asset_reference, asset_partition_event TO airlock_control;

-- Requests to people, and what tasks and assets keep.
GRANT SELECT, INSERT, UPDATE, DELETE ON hitl_detail, task_state, asset_state TO airlock_control;

-- What deferred tries wait for, and what watches for assets.
GRANT SELECT, INSERT, UPDATE, DELETE ON trigger, asset_watcher TO airlock_control;

-- Tests of connections.
GRANT SELECT, INSERT, UPDATE, DELETE ON connection_test TO airlock_control;

-- What tasks without needs have used.
GRANT SELECT, INSERT, UPDATE, DELETE ON observed_use TO airlock_control;

-- What the Python of a Dag processor has.
GRANT SELECT, INSERT, UPDATE, DELETE ON supervisor_interpreter TO airlock_control;

-- Callbacks and deadlines.
GRANT SELECT, INSERT, UPDATE, DELETE ON callback, deadline, pending_deadline TO airlock_control;

-- What timetables are asked.
GRANT SELECT, INSERT, UPDATE, DELETE ON timetable_question TO airlock_control;
