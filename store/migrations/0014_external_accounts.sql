-- 0014: accounts that an identity provider vouches for: issuer and subject are who it is, the name is only what we call it.
ALTER TABLE account ADD COLUMN issuer text, ADD COLUMN subject text,
  ADD CONSTRAINT account_external CHECK ((issuer IS NULL) = (subject IS NULL));
CREATE UNIQUE INDEX account_by_subject ON account (issuer, subject) WHERE issuer IS NOT NULL;
