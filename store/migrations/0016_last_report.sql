-- 0016: which token reported a try's last end and as what, so that the same report is recognised however far the try has
-- come since.
ALTER TABLE task_instance ADD COLUMN reported_jti text, ADD COLUMN reported_as text;
