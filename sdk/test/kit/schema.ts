/** The schema that Airflow ships for serialized Dags, and stricter rules of ours for what it leaves open. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { DagDocument, TaskDocument } from '@airlock/contract/dag/document';
import { decodeNeeds, NEEDS_FIELD } from '@airlock/contract/dag/needs';
import { Ajv } from 'ajv';

const schema = JSON.parse(readFileSync(new URL('../data/serialized-dag.schema.json', import.meta.url), 'utf8'));
const validate = new Ajv({ strict: false, allErrors: true, validateFormats: false }).compile(schema);

/** Throws with all complaints. */
export function assertValidDocument(document: DagDocument): void {
  const plain: unknown = JSON.parse(JSON.stringify(document));
  assert.ok(validate(plain), JSON.stringify(validate.errors, null, 1));
  const tasks = document.dag.tasks.map((wrapped) => {
    assert.equal(wrapped.__type, 'operator');
    return wrapped.__var;
  });
  const ids = new Set(tasks.map((task) => task.task_id));
  assert.equal(ids.size, tasks.length);
  for (const task of tasks) assertValidTask(task, ids);
  assert.deepEqual(tasksOfGroup(document.dag.task_group).sort(), [...ids].sort(), 'every task in exactly one group');
}

function assertValidTask(task: TaskDocument, ids: ReadonlySet<string>): void {
  for (const key of ['task_type', '_task_module', 'downstream_task_ids', 'template_fields', NEEDS_FIELD]) {
    assert.ok(key in task, `${task.task_id} lacks ${key}`);
  }
  for (const id of task.downstream_task_ids ?? []) assert.ok(ids.has(id));
  assert.deepEqual(task.downstream_task_ids, [...task.downstream_task_ids!].sort());
  assert.notEqual(decodeNeeds(task[NEEDS_FIELD]), null);
  for (const flag of ['_is_sensor', '_is_mapped']) assert.notEqual(task[flag], false, `${flag} is true or absent`);
  if (!task._is_mapped) assert.equal(task._needs_expansion, false);
  else assert.ok(task.partial_kwargs && task._expand_input_attr && task[task._expand_input_attr]);
}

function tasksOfGroup(group: unknown): string[] {
  const { children } = group as { children: Record<string, readonly [string, unknown]> };
  return Object.values(children).flatMap(([kind, child]) =>
    kind === 'operator' ? [child as string] : tasksOfGroup(child),
  );
}
