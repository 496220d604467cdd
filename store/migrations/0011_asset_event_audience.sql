-- 0011: which Dags may be told of an event, as it was decided when it was made; null = all (teams are off).
ALTER TABLE asset_event ADD COLUMN audience text[];
