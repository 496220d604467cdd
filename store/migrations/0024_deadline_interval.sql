-- 0024: how long after its reference a deadline lies, so that it can move with a run that is queued again.
ALTER TABLE deadline ADD COLUMN interval_seconds double precision NOT NULL;
