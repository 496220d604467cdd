-- 0002: the teams that an account belongs to. Whoever goes, account or team, takes the membership along: a later team of the
-- same name starts empty.
CREATE TABLE account_team (
  account text NOT NULL REFERENCES account (name) ON DELETE CASCADE,
  team    text NOT NULL REFERENCES team (name) ON DELETE CASCADE,
  PRIMARY KEY (account, team)
);
CREATE INDEX account_team_by_team ON account_team (team);
