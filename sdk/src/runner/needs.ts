/** From declared handles to values. */
import type { Graph } from '../author/graph.ts';
import type { CallbackNeeds, Connection, VariableHandle } from '../author/handles.ts';
import { Fail } from '../author/outcome.ts';
import type { ConnectionAnswer, TaskHost } from './host.ts';
import { resultOf } from './inputs.ts';

/** All values, asked for at once. @throws when one is missing or refused */
export async function resolveNeeds(
  needs: CallbackNeeds,
  graph: Graph,
  host: TaskHost,
): Promise<Readonly<Record<string, unknown>>> {
  const entries = Object.entries(needs).map(
    async ([name, handle]) => [name, await resolveOne(handle, graph, host)] as const,
  );
  return Object.freeze(Object.fromEntries(await Promise.all(entries)));
}

async function resolveOne(handle: CallbackNeeds[string], graph: Graph, host: TaskHost): Promise<unknown> {
  if (handle.kind === 'result') return await resultOf(handle.taskId, graph, host);
  if (handle.kind === 'variable') return resolveVariable(handle, await host.variable(handle.key));
  const answer = await host.connection(handle.id);
  if (answer === null) {
    throw new Error(`Connection ${handle.id} does not exist. Create it, or correct its id in the Dag file.`);
  }
  return toConnection(handle.id, answer);
}

function resolveVariable(handle: VariableHandle<unknown>, text: string | null): unknown {
  if (text === null) {
    if ('fallback' in handle) return handle.fallback;
    throw new Error(
      `Variable ${handle.key} does not exist. Create it, or give variable('${handle.key}', { default: … }).`,
    );
  }
  if (!handle.json) return text;
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Fail(`Variable ${handle.key} is not JSON, though the Dag file says so.`, { cause });
  }
}

/** The author's view of a connection. Text in `extra` that is no JSON object stands under `extra.text`. */
export function toConnection(id: string, answer: ConnectionAnswer): Connection {
  const extra = readExtra(answer.extra ?? null);
  const path = answer.conn_type === 'fs' && typeof extra.path === 'string' ? { path: extra.path } : {};
  return Object.freeze({
    id,
    type: answer.conn_type,
    host: answer.host ?? null,
    login: answer.login ?? null,
    password: answer.password ?? null,
    port: answer.port ?? null,
    schema: answer.schema ?? null,
    extra,
    ...path,
  });
}

function readExtra(text: string | null): Readonly<Record<string, unknown>> {
  if (text === null || text === '') return {};
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // Not JSON: shown as it is.
  }
  return { text };
}
