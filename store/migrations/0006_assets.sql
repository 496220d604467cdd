-- 0006: assets, where Dags name them, their events, and whom an event sets off.

-- One row per name and uri that any Dag, or an event through an alias, has named. Lengths fit the index.
CREATE TABLE asset (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name        text NOT NULL CHECK (name <> '' AND octet_length(name) <= 1000),
  uri         text NOT NULL CHECK (uri <> '' AND octet_length(uri) <= 1500),
  asset_group text NOT NULL CHECK (octet_length(asset_group) <= 1500),
  extra       json NOT NULL DEFAULT '{}',
  -- A live Dag names it, and no other active asset has its name or uri.
  active      boolean NOT NULL DEFAULT false,
  created_at  timestamptz NOT NULL,
  updated_at  timestamptz NOT NULL,
  UNIQUE (name, uri)
);
CREATE UNIQUE INDEX asset_active_name ON asset (name) WHERE active;
CREATE UNIQUE INDEX asset_active_uri ON asset (uri) WHERE active;
CREATE INDEX asset_by_uri ON asset (uri);

CREATE TABLE asset_alias (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name        text NOT NULL UNIQUE CHECK (name <> '' AND octet_length(name) <= 1500),
  alias_group text NOT NULL CHECK (octet_length(alias_group) <= 1500),
  created_at  timestamptz NOT NULL
);
-- Which assets events have gone to under an alias.
CREATE TABLE asset_alias_asset (
  alias_id bigint NOT NULL REFERENCES asset_alias (id) ON DELETE CASCADE,
  asset_id bigint NOT NULL REFERENCES asset (id) ON DELETE CASCADE,
  PRIMARY KEY (alias_id, asset_id)
);
CREATE INDEX asset_alias_asset_by_asset ON asset_alias_asset (asset_id);

-- Where the current version of a Dag names what: in its schedule, or as an inlet or outlet of a task. By asset and alias
-- through the row, by name or uri alone through the text.
CREATE TABLE asset_reference (
  dag_id     text NOT NULL REFERENCES dag (dag_id) ON DELETE CASCADE,
  role       text NOT NULL CHECK (role IN ('schedule', 'inlet', 'outlet')),
  -- '' = the schedule.
  task_id    text NOT NULL,
  kind       text NOT NULL CHECK (kind IN ('asset', 'alias', 'name', 'uri')),
  asset_id   bigint REFERENCES asset (id) ON DELETE CASCADE,
  alias_id   bigint REFERENCES asset_alias (id) ON DELETE CASCADE,
  -- The name or the uri of a reference that gives nothing else; '' = it gives more.
  named      text NOT NULL DEFAULT '' CHECK (octet_length(named) <= 1500),
  -- Teams whose events count, of a schedule; null = the author says nothing.
  access_control json,
  created_at timestamptz NOT NULL,
  CHECK ((kind = 'asset') = (asset_id IS NOT NULL) AND (kind = 'alias') = (alias_id IS NOT NULL)
    AND (kind IN ('name', 'uri')) = (named <> ''))
);
CREATE UNIQUE INDEX asset_reference_key ON asset_reference
  (dag_id, role, task_id, kind, COALESCE(asset_id, 0), COALESCE(alias_id, 0), named);
CREATE INDEX asset_reference_by_asset ON asset_reference (asset_id) WHERE asset_id IS NOT NULL;
CREATE INDEX asset_reference_by_alias ON asset_reference (alias_id) WHERE alias_id IS NOT NULL;
CREATE INDEX asset_reference_by_named ON asset_reference (kind, named) WHERE named <> '';

-- Sources are names and outlive what they name; null = a person or another system.
CREATE TABLE asset_event (
  id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  asset_id         bigint NOT NULL REFERENCES asset (id) ON DELETE CASCADE,
  extra            json NOT NULL DEFAULT '{}',
  source_dag_id    text,
  source_run_id    text,
  source_task_id   text,
  source_map_index integer NOT NULL DEFAULT -1,
  partition_key    text CHECK (length(partition_key) <= 250),
  at               timestamptz NOT NULL
);
CREATE INDEX asset_event_by_asset ON asset_event (asset_id, at);
CREATE INDEX asset_event_by_source ON asset_event (source_dag_id, source_run_id) WHERE source_dag_id IS NOT NULL;
CREATE INDEX asset_event_at ON asset_event (at);
CREATE TABLE asset_event_alias (
  event_id bigint NOT NULL REFERENCES asset_event (id) ON DELETE CASCADE,
  alias_id bigint NOT NULL REFERENCES asset_alias (id) ON DELETE CASCADE,
  PRIMARY KEY (event_id, alias_id)
);
CREATE INDEX asset_event_alias_by_alias ON asset_event_alias (alias_id);

-- Events that a run has consumed.
CREATE TABLE dag_run_asset_event (
  dag_run_id bigint NOT NULL REFERENCES dag_run (id) ON DELETE CASCADE,
  event_id   bigint NOT NULL REFERENCES asset_event (id) ON DELETE CASCADE,
  PRIMARY KEY (dag_run_id, event_id)
);
CREATE INDEX dag_run_asset_event_by_event ON dag_run_asset_event (event_id);

-- An asset of a Dag's schedule that had an event since the Dag's last run; several events are one row.
CREATE TABLE asset_queued (
  dag_id     text NOT NULL REFERENCES dag (dag_id) ON DELETE CASCADE,
  asset_id   bigint NOT NULL REFERENCES asset (id) ON DELETE CASCADE,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (dag_id, asset_id)
);
CREATE INDEX asset_queued_by_asset ON asset_queued (asset_id);
