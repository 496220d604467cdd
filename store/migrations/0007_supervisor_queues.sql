-- 0007: which queues a worker serves, as it said when it last asked for work; null = all of them.
ALTER TABLE supervisor ADD COLUMN queues text[];
-- False until it has asked for work.
ALTER TABLE supervisor ADD COLUMN has_claimed boolean NOT NULL DEFAULT false;
