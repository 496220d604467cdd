/**
 * Tells the server which providers and plugins the user's Python has: people look there when an operator is not found. A child
 * of its own is asked, since plugins are imported for it, and those are somebody's code.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { AppError, isAppError } from '@airlock/contract/errors';
import type { Inventory } from '@airlock/contract/inventory';
import { launchSandboxed, type SandboxSpec } from '@airlock/proc/sandbox/index';
import { followChild, lastWords } from '../follow-child.ts';
import type { Role, RoleContext } from '../role-context.ts';
import { pythonChildren } from './host.ts';

const INVENTORY = fileURLToPath(new URL('../../../sdk/python/airlock_inventory.py', import.meta.url));
/** Packages are seldom added to a running installation; whoever can't wait restarts the Dag processor. */
const EVERY_MS = 60 * 60_000;
const RETRY_MS = 60_000;
/** Bound on starting an interpreter and importing Airflow and all plugins, on a busy machine. */
const LIMIT_MS = 120_000;
const MAX_SHOWN = 2_000;

/** `problem`: that Python has no Airflow, say. @throws AppError PYTHON_UNAVAILABLE, or the reason of `signal` */
export async function takeInventory(
  spec: SandboxSpec,
  signal: AbortSignal,
  limitMs: number = LIMIT_MS,
): Promise<Inventory | { readonly problem: string }> {
  signal.throwIfAborted();
  const child = launchSandboxed(spec);
  const stderr = lastWords(child, MAX_SHOWN);
  const { answer, late, broken } = await followChild<Inventory>(child, {
    order: null,
    onFrame(frame, answered) {
      if (frame.type !== 'inventory') return;
      const { type: _, ...inventory } = frame;
      answered(inventory);
    },
    workMs: limitMs,
    signal,
  });
  if (answer) return answer;
  if (late) return { problem: `no answer within ${limitMs / 1000} s` };
  return { problem: broken ?? stderr().trim().split('\n').at(-1) ?? '' };
}

/** Works until `stop`. Never throws: what fails is logged, and tried again. */
export function startInventory(ctx: RoleContext): Role {
  const abort = new AbortController();
  const children = pythonChildren(ctx);
  const log = ctx.log.child({ role: 'dag-processor' });
  const tell = async (inventory: Inventory) => {
    const path = `/supervisors/${ctx.supervisorId}/interpreter`;
    const answer = await ctx.client.call({
      token: ctx.token,
      method: 'PUT',
      path,
      json: inventory,
      signal: abort.signal,
    });
    if (answer.status === 204) return;
    const text = `The server refused what Python has with ${answer.status}.`;
    throw new AppError('VALIDATION', { public: text, internal: { body: answer.text().slice(0, MAX_SHOWN) } });
  };
  /** @returns when to look again */
  const look = async (): Promise<number> => {
    try {
      const found = await takeInventory(
        children.spec({ bundle: null, network: 'none', script: INVENTORY }),
        abort.signal,
      );
      if ('problem' in found) log.info({ problem: found.problem }, 'this Python does not tell what it has of Airflow');
      else await tell(found);
      return EVERY_MS;
    } catch (error) {
      if (abort.signal.aborted || isAppError(error, 'PYTHON_UNAVAILABLE')) return EVERY_MS;
      log.warn({ err: error }, 'what Python has could not be told to the server; it will be tried again');
      return RETRY_MS;
    }
  };
  const run = async () => {
    while (!abort.signal.aborted) {
      const wait = await look();
      await delay(wait, undefined, { signal: abort.signal }).catch(() => undefined);
    }
  };
  const running = run();
  return {
    async stop() {
      abort.abort(new Error('the dag-processor stops'));
      await running;
    },
  };
}
