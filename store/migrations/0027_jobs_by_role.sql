-- One process may have several roles, each with a job of its own: a supervisor that parses and waits for triggers.
ALTER TABLE job DROP CONSTRAINT job_instance_id_key;
ALTER TABLE job ADD CONSTRAINT job_instance_id_job_type_key UNIQUE (instance_id, job_type);
