-- 0018: what the Python of a Dag processor has of Airflow's extensions; goes with its supervisor. json and not jsonb: it comes
-- from code that nobody trusts, and may hold characters that jsonb refuses.
CREATE TABLE supervisor_interpreter (
  supervisor_id uuid PRIMARY KEY REFERENCES supervisor (id) ON DELETE CASCADE,
  reported_at timestamptz NOT NULL,
  providers json NOT NULL,
  plugins json NOT NULL,
  plugin_import_errors json NOT NULL
);
