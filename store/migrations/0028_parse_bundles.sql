-- 0028: a Dag processor may be admitted for some bundles only: it sees no other, reports about no other, and reads by the teams of those.
-- Null = all bundles, as the processor of the server's own machine has them.
ALTER TABLE join_ticket ADD COLUMN bundles text[];
ALTER TABLE supervisor ADD COLUMN bundles text[];
