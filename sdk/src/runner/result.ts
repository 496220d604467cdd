/** What a body returned, checked to be what may be sent. */
import { MAX_CHILD_FRAME_BYTES } from '@airlock/contract/ipc/frame-limits';
import type { TaskOutcome } from '@airlock/contract/ipc/runner';
import type { Graph, TaskVertex } from '../author/graph.ts';
import { findJsonProblem } from '../author/json.ts';
import { NodeRef } from '../author/node.ts';

/** The rest of the frame around the value, with room to spare. */
const ENVELOPE_BYTES = 1024;
const LIMIT_BYTES = MAX_CHILD_FRAME_BYTES - ENVELOPE_BYTES;
const MIB = 1024 * 1024;

/** A result that can't be sent. */
export class ResultError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ResultError';
  }
}

type Success = Extract<TaskOutcome, { state: 'success' }>;

/**
 * The outcome for a returned value.
 * @throws ResultError when it is not JSON, too large, or not the list that a task below maps over
 */
export function successOf(value: unknown, vertex: TaskVertex, graph: Graph): Success {
  const mappedOver = vertex.fanout === null && isMappedOver(vertex.taskId, graph);
  if (value === undefined) {
    if (mappedOver)
      throw new ResultError('The task returned nothing, and a task below maps over its result. Return a list.');
    return { state: 'success', has_value: false, mapped_length: null };
  }
  checkResult(value);
  if (!mappedOver) return { state: 'success', value, has_value: true, mapped_length: null };
  if (!Array.isArray(value)) {
    throw new ResultError('The result is not a list, and a task below maps over it. Return a list.');
  }
  return { state: 'success', value, has_value: true, mapped_length: value.length };
}

/** @throws ResultError naming the place and the limit */
export function checkResult(value: unknown): void {
  const problem = findJsonProblem(value);
  if (problem) {
    const place = problem.path === '$' ? 'The result' : `The result, at ${problem.path},`;
    throw new ResultError(`${place} is ${problem.what}. Results are sent as JSON. ${problem.hint}`);
  }
  let bytes: number;
  try {
    bytes = Buffer.byteLength(JSON.stringify(value), 'utf8');
  } catch {
    bytes = Number.POSITIVE_INFINITY; // longer than the longest string of this engine
  }
  if (bytes <= LIMIT_BYTES) return;
  const size = Number.isFinite(bytes) ? `${(bytes / MIB).toFixed(1)} MiB` : 'more than 512 MiB';
  throw new ResultError(
    `The result is ${size} as JSON; the limit is ${MAX_CHILD_FRAME_BYTES / MIB} MiB. Write it to a file or store, and return its name.`,
  );
}

function isMappedOver(taskId: string, graph: Graph): boolean {
  for (const task of graph.tasks.values()) {
    for (const source of Object.values(task.fanout?.inputs ?? {})) {
      if (source instanceof NodeRef && source.taskId === taskId) return true;
    }
  }
  return false;
}
