-- 0029: who links the audit log is woken by new rows instead of looking twice a second.
-- A trigger, because rows are inserted in many statements; equal notifications of one transaction arrive once.
CREATE FUNCTION event_log_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM added) THEN
    PERFORM pg_notify('airlock', 'audit');
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER event_log_added AFTER INSERT ON event_log REFERENCING NEW TABLE AS added FOR EACH STATEMENT
  EXECUTE FUNCTION event_log_added();
