-- 0009: log-ins that failed or are being looked at, counted once per deployment and not per process. `key` is a fingerprint of
-- the name that was submitted, or of the address: people type passwords where the name belongs.
CREATE TABLE login_attempt (
  id  uuid NOT NULL,
  key text NOT NULL,
  at  timestamptz NOT NULL,
  PRIMARY KEY (id, key)
);
CREATE INDEX login_attempt_by_key ON login_attempt (key, at);
CREATE INDEX login_attempt_by_time ON login_attempt (at);
