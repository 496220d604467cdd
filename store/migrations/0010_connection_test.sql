-- 0010: tests of connections, each done by a worker that gets this one connection and nothing else. A result changes
-- nothing but its own row.
CREATE TABLE connection_test (
  -- The subject of the workload token.
  id              uuid PRIMARY KEY,
  team            text REFERENCES team (name),
  conn_id         text NOT NULL CHECK (length(conn_id) BETWEEN 1 AND 250),
  -- What is tested, sealed as a connection of this id is.
  conn_type       text NOT NULL,
  host            text,
  schema          text,
  login           text,
  password        text,
  port            integer,
  extra           text,
  is_encrypted    boolean NOT NULL DEFAULT false,
  state           text NOT NULL CHECK (state IN ('pending', 'queued', 'running', 'success', 'failed')),
  result_message  text CHECK (length(result_message) <= 2000),
  requested_by    text,
  timeout_seconds double precision NOT NULL CHECK (timeout_seconds > 0),
  created_at      timestamptz NOT NULL,
  -- The one token that may fetch and report; null = none was given out.
  workload_jti    text,
  -- Who has fetched, by its proof key; null = nobody yet, or a plain bearer, which may not repeat.
  fetched_at      timestamptz,
  fetch_key       text,
  ended_at        timestamptz
);
-- One at a time for each connection.
CREATE UNIQUE INDEX connection_test_active ON connection_test (COALESCE(team, ''), conn_id)
  WHERE state IN ('pending', 'queued', 'running');
CREATE INDEX connection_test_by_age ON connection_test (created_at);
