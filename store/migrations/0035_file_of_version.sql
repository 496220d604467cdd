-- 0035: the file of its bundle that a version was read from. A run that is pinned to a commit loads its tasks from there, wherever the Dag
-- has moved since. Null where an older release stored the version: then where the Dag is now.
ALTER TABLE dag_version ADD COLUMN relative_fileloc text;
UPDATE dag_version SET relative_fileloc = document -> 'dag' ->> 'relative_fileloc';
