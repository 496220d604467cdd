-- 0012: log-ins by the page. A session has at most two tokens that work: the newest one, and the one before it, which a browser may
-- still have under way. Ending the session ends both.
CREATE TABLE user_session (
  jti          text PRIMARY KEY,
  previous_jti text UNIQUE,
  account      text NOT NULL REFERENCES account (name) ON DELETE CASCADE,
  issued_at    timestamptz NOT NULL,
  ends_at      timestamptz NOT NULL
);
CREATE INDEX user_session_by_end ON user_session (ends_at);
CREATE INDEX user_session_by_account ON user_session (account);
