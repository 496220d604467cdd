-- 0033: a trigger may watch for several assets of its team, as Airflow has it: what it takes from a queue is an event of each.
-- What was a trigger for each asset becomes the first of those that are alike.
ALTER TABLE asset_watcher ADD COLUMN asset_id bigint REFERENCES asset (id) ON DELETE CASCADE;
UPDATE asset_watcher w SET asset_id = g.asset_id FROM trigger g WHERE g.id = w.trigger_id;
ALTER TABLE asset_watcher DROP CONSTRAINT asset_watcher_pkey;
UPDATE asset_watcher w SET trigger_id = (SELECT min(x.id) FROM trigger x
  WHERE x.digest = g.digest AND x.team IS NOT DISTINCT FROM g.team) FROM trigger g WHERE g.id = w.trigger_id;
ALTER TABLE asset_watcher ALTER COLUMN asset_id SET NOT NULL, ADD PRIMARY KEY (dag_id, trigger_id, asset_id);
DELETE FROM trigger g WHERE g.digest IS NOT NULL AND NOT EXISTS (SELECT 1 FROM asset_watcher w WHERE w.trigger_id = g.id);
ALTER TABLE trigger DROP CONSTRAINT trigger_check, DROP COLUMN asset_id, ADD CONSTRAINT trigger_check CHECK (
  (ti_id IS NULL) = (digest IS NOT NULL) AND (ti_id IS NULL) = (dag_run_id IS NULL));
CREATE UNIQUE INDEX trigger_that_watches ON trigger (COALESCE(team, ''), digest) WHERE digest IS NOT NULL;
CREATE INDEX asset_watcher_by_asset ON asset_watcher (asset_id);
-- What a trigger keeps of an asset is told apart from what somebody wrote over the REST API.
ALTER TABLE asset_state ADD COLUMN by_watcher boolean NOT NULL DEFAULT false;
