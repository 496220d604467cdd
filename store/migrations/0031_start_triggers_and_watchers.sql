-- 0031: triggers that no try has asked for: those that a task starts with, and those that watch for an asset.
-- A row of a try counts as before; one of an asset counts while an unpaused Dag of its team names it in `asset_watcher`.
ALTER TABLE trigger ALTER COLUMN ti_id DROP NOT NULL;
ALTER TABLE trigger ALTER COLUMN dag_run_id DROP NOT NULL;
ALTER TABLE trigger
  -- Its arguments are those of the document, which is needed to render them.
  ADD COLUMN from_document boolean NOT NULL DEFAULT false,
  ADD COLUMN asset_id bigint REFERENCES asset (id) ON DELETE CASCADE,
  -- Of the Dags that name it: whose events it makes, and in whose process it runs.
  ADD COLUMN team text,
  -- Of class and arguments: Dags that name the same one share it.
  ADD COLUMN digest text,
  -- The event that was taken last: said again, it counts no more.
  ADD COLUMN last_event uuid,
  ADD CONSTRAINT trigger_check CHECK ((ti_id IS NULL) = (asset_id IS NOT NULL) AND (ti_id IS NULL) = (dag_run_id IS NULL)
    AND (asset_id IS NULL) = (digest IS NULL));
CREATE UNIQUE INDEX trigger_of_asset ON trigger (asset_id, COALESCE(team, ''), digest) WHERE asset_id IS NOT NULL;
-- Which Dag asks for which trigger of an asset, under what name.
CREATE TABLE asset_watcher (
  dag_id     text NOT NULL REFERENCES dag (dag_id) ON DELETE CASCADE,
  trigger_id bigint NOT NULL REFERENCES trigger (id) ON DELETE CASCADE,
  name       text NOT NULL,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (dag_id, trigger_id)
);
CREATE INDEX asset_watcher_by_trigger ON asset_watcher (trigger_id);
