-- 0019: partitions that events of assets bring to Dags.

-- Events with a partition, for the Dags whose schedules of partitions they feed, until a run has consumed them.
CREATE TABLE asset_partition_event (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  dag_id     text NOT NULL REFERENCES dag (dag_id) ON DELETE CASCADE,
  event_id   bigint NOT NULL REFERENCES asset_event (id) ON DELETE CASCADE,
  -- The partition of the Dag that the event goes to; null = the Dag's schedule has not mapped it yet.
  target_key text CHECK (length(target_key) <= 250),
  -- Digest of the mappers that gave it: events of another one are mapped again.
  definition text,
  -- The scheduler has looked since the event came, and waits for more.
  seen       boolean NOT NULL DEFAULT false,
  CHECK ((target_key IS NULL) = (definition IS NULL))
);
CREATE UNIQUE INDEX asset_partition_event_key ON asset_partition_event (dag_id, event_id, COALESCE(target_key, ''));
CREATE INDEX asset_partition_event_by_target ON asset_partition_event (dag_id, target_key);
CREATE INDEX asset_partition_event_unseen ON asset_partition_event (dag_id) WHERE NOT seen;
CREATE INDEX asset_partition_event_by_event ON asset_partition_event (event_id);

-- The newest partition that a schedule has made, and windows of partitions.
CREATE INDEX dag_run_by_partition_date ON dag_run (dag_id, partition_date) WHERE partition_date IS NOT NULL;
CREATE INDEX dag_run_by_partition_key ON dag_run (dag_id, partition_key) WHERE partition_key IS NOT NULL;
