-- 0022: the team that a bundle belonged to when a version of its Dag was stored: whoever has the Dag later does not read it.
ALTER TABLE dag_version ADD COLUMN team text;
UPDATE dag_version v SET team = d.team FROM dag d WHERE d.dag_id = v.dag_id AND d.team IS NOT NULL;
