-- 0036: looks at the states of tasks of other runs are written down by task, since needs can say so.
ALTER TABLE observed_use DROP CONSTRAINT observed_use_kind_check;
ALTER TABLE observed_use ADD CONSTRAINT observed_use_kind_check CHECK (kind IN ('connections', 'variables', 'xcoms', 'assets',
  'dags', 'tasks', 'variable_writes', 'xcom_reads', 'xcom_writes', 'run_reads', 'task_reads', 'asset_reads', 'asset_writes'));
