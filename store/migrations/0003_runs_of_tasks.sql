-- 0003: which try made a run, and which one cleared it last, so that the same call again, after a lost answer, is recognised.
-- Tries are named by id and may be long gone: no foreign key.
ALTER TABLE dag_run ADD COLUMN trigger_try uuid, ADD COLUMN clear_try uuid;
