-- 0032: what timetables of the authors' own Python are asked. A dag-processor takes a question, asks in a sandboxed child, and
-- stores the answer; nobody else runs that code.
CREATE TABLE timetable_question (
  id            uuid PRIMARY KEY,
  dag_id        text NOT NULL REFERENCES dag (dag_id) ON DELETE CASCADE,
  -- `next`: the Dag's coming runs, one row for each Dag, asked again as they are used up. The others are asked for one caller.
  purpose       text NOT NULL CHECK (purpose IN ('next', 'manual', 'backfill')),
  -- contract/src/timetables.ts: what is asked.
  ask           json NOT NULL,
  asked_at      timestamptz NOT NULL,
  -- Nobody takes it before; later than `asked_at` after a failure.
  due_at        timestamptz NOT NULL,
  supervisor_id uuid,
  claimed_at    timestamptz,
  answered_at   timestamptz,
  -- The last good answer; of `next` it stays while the next one is asked for.
  answer        json,
  -- Why there is none: a traceback, say. Null = the last answer was good.
  problem       text
);
CREATE UNIQUE INDEX timetable_question_next ON timetable_question (dag_id) WHERE purpose = 'next';
CREATE INDEX timetable_question_by_dag ON timetable_question (dag_id);
CREATE INDEX timetable_question_open ON timetable_question (due_at) WHERE answered_at IS NULL;
