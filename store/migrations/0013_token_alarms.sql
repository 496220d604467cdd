-- 0013: misuse of tokens, which the health answer counts (contract/src/token-alarms.ts has the same names).
CREATE INDEX event_log_token_alarm ON event_log (at)
  WHERE event IN ('run_refused', 'token_reuse_refused', 'token_family_ended');
