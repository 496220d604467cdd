/** A task that waits for a trigger gives its place up. @see execution API 3.3; scheduling semantics 7.4 */

import type { CallerRow } from '@airlock/store/queries/token/caller';
import { deferTask } from '@airlock/store/queries/trigger/defer';
import { exactMember } from '../../http/exact-member.ts';
import { nowIso } from '../../http/instant.ts';
import { secretOwner } from '../../secrets/stored.ts';
import type { Call, ExecutionContext } from '../context.ts';
import type { DeferredReport } from '../schemas.ts';
import { callerKey } from '../token-life.ts';

/** Parks the try. The trigger's arguments are kept sealed, and nothing here ever looks into them. @see promise L26 */
export async function defer(
  context: ExecutionContext,
  call: Call,
  body: DeferredReport,
): Promise<{ finished: boolean; row: CallerRow | null }> {
  const { box, deps } = context;
  const key = callerKey(call);
  const exact = <T>(name: string, parsed: T) => exactMember(call.request.bodyText, name, parsed);
  const given = exact('trigger_kwargs', body.trigger_kwargs ?? {});
  const kwargs = typeof given === 'string' ? given : JSON.stringify(given);
  const row = await deferTask(context.db, {
    ...key,
    classpath: body.classpath,
    kwargs: box.encrypts ? box.seal(kwargs, secretOwner.trigger(key.id)) : kwargs,
    encrypted: box.encrypts,
    queue: deps.config.triggerer.queues_enabled ? (body.queue ?? null) : null,
    nextMethod: body.next_method,
    nextKwargs: JSON.stringify(exact('next_kwargs', body.next_kwargs ?? {})),
    timeoutAt: body.trigger_timeout == null ? null : nowIso(call.nowMs + body.trigger_timeout * 1000),
  });
  return { finished: row?.finished ?? false, row };
}
