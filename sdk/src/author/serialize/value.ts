/** Value encodings of the interchange format. @see reference "serialized-dag" 3 and 5.5 */
import type { Json } from '../json.ts';
import { NodeRef } from '../node.ts';

/** Largest text of a task's input that is kept for people to read; the format's own default. */
const MAX_SHOWN_CHARACTERS = 4096;

type Plain = { readonly [key: string]: unknown };

/** The tagged form: every object becomes `{__type: 'dict'}`, every node an `xcomref`. */
export function encodeTagged(value: unknown): Json {
  if (value instanceof NodeRef) {
    return { __type: 'xcomref', __var: { task_id: value.taskId, key: 'return_value' } };
  }
  if (Array.isArray(value)) return value.map(encodeTagged);
  if (typeof value !== 'object' || value === null) return value as Json;
  return { __type: 'dict', __var: mapFields(value as Plain, encodeTagged) };
}

/** The form of template fields: no tags; a node becomes the template that would read its result. */
export function encodeTemplate(value: unknown, dagId: string): Json {
  if (value instanceof NodeRef) {
    return `{{ task_instance.xcom_pull(task_ids='${value.taskId}', dag_id='${dagId}', key='return_value') }}`;
  }
  if (Array.isArray(value)) return value.map((item) => encodeTemplate(item, dagId));
  if (typeof value !== 'object' || value === null) return value as Json;
  return mapFields(value as Plain, (item) => encodeTemplate(item, dagId));
}

/** The value itself, or the start of its text when that is long. */
export function cutForDisplay(value: Json): Json {
  const text = JSON.stringify(value);
  if (text.length <= MAX_SHOWN_CHARACTERS) return value;
  return `Truncated. First ${MAX_SHOWN_CHARACTERS} of ${text.length} characters: ${text.slice(0, MAX_SHOWN_CHARACTERS)}`;
}

/** Fields that are undefined count as absent; the rest is in the order of the keys' text, so that equal objects give equal bytes. */
function mapFields(value: Plain, encode: (inner: unknown) => Json): { [key: string]: Json } {
  const out: { [key: string]: Json } = {};
  for (const key of Object.keys(value).sort()) if (value[key] !== undefined) out[key] = encode(value[key]);
  return out;
}
