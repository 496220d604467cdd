-- 0004: backfills: runs of the past, asked for by somebody, in an order and a number of their own.

CREATE TABLE backfill (
  id                   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  dag_id               text NOT NULL REFERENCES dag (dag_id) ON DELETE CASCADE,
  from_date            timestamptz NOT NULL,
  to_date              timestamptz NOT NULL CHECK (from_date <= to_date),
  -- As it was given; null = nothing was.
  dag_run_conf         json,
  is_paused            boolean NOT NULL DEFAULT false,
  reprocess_behavior   text NOT NULL CHECK (reprocess_behavior IN ('none', 'failed', 'completed')),
  max_active_runs      integer NOT NULL CHECK (max_active_runs >= 1),
  triggering_user_name text,
  created_at           timestamptz NOT NULL,
  completed_at         timestamptz,
  updated_at           timestamptz NOT NULL
);
-- One at a time, and the list of one Dag.
CREATE UNIQUE INDEX backfill_active ON backfill (dag_id) WHERE completed_at IS NULL;
CREATE INDEX backfill_by_dag ON backfill (dag_id, id);

-- What became of each point of the schedule: a run, or the reason why there is none.
CREATE TABLE backfill_dag_run (
  backfill_id      bigint NOT NULL REFERENCES backfill (id) ON DELETE CASCADE,
  sort_ordinal     integer NOT NULL CHECK (sort_ordinal >= 1),
  dag_run_id       bigint REFERENCES dag_run (id) ON DELETE SET NULL,
  logical_date     timestamptz,
  partition_key    text,
  exception_reason text CHECK (exception_reason IN ('in flight', 'already exists')),
  PRIMARY KEY (backfill_id, sort_ordinal)
);
CREATE INDEX backfill_dag_run_by_run ON backfill_dag_run (dag_run_id) WHERE dag_run_id IS NOT NULL;

-- The run's place in its backfill; null = it belongs to none.
ALTER TABLE dag_run ADD COLUMN backfill_ordinal integer;
ALTER TABLE dag_run ADD CONSTRAINT dag_run_backfill FOREIGN KEY (backfill_id) REFERENCES backfill (id) ON DELETE SET NULL;
CREATE INDEX dag_run_by_backfill ON dag_run (backfill_id) WHERE backfill_id IS NOT NULL;
