-- 0015: what tasks without declared needs have used, so that the declaration can be made of it.
CREATE TABLE observed_use (
  dag_id   text NOT NULL REFERENCES dag (dag_id) ON DELETE CASCADE,
  task_id  text NOT NULL,
  -- The first five are what needs can say.
  kind     text NOT NULL CHECK (kind IN ('connections', 'variables', 'xcoms', 'assets', 'dags',
    'variable_writes', 'xcom_reads', 'xcom_writes', 'run_reads', 'task_reads', 'asset_reads', 'asset_writes')),
  -- '*' stands for all that came after the first thousand.
  name     text NOT NULL CHECK (octet_length(name) <= 1600),
  uses     bigint NOT NULL,
  first_at timestamptz NOT NULL,
  last_at  timestamptz NOT NULL,
  PRIMARY KEY (dag_id, task_id, kind, name)
);
