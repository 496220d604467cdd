-- 0025: bundles whose files come from a git repository.

ALTER TABLE dag_bundle
  -- Null for folders: repo_url, tracking_ref, subdir, refresh_seconds.
  ADD COLUMN git json,
  DROP CONSTRAINT dag_bundle_kind_check,
  ADD CONSTRAINT dag_bundle_kind_check CHECK (kind IN ('local', 'git') AND (kind = 'git') = (git IS NOT NULL));
