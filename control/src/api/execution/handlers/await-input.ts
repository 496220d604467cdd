/** A task that waits for a person gives its place up. @see execution API 3.3; scheduling semantics 7.6 */
import type { Db } from '@airlock/store';
import { lockRequestFor } from '@airlock/store/queries/hitl/for-try';
import { parkTask } from '@airlock/store/queries/hitl/resume';
import type { CallerRow } from '@airlock/store/queries/token/caller';
import { storedAnswerEvent, withEvent } from '../../../domain/hitl.ts';
import { exactMember } from '../../http/exact-member.ts';
import { nowIso } from '../../http/instant.ts';
import type { Call, ExecutionContext } from '../context.ts';
import type { AwaitInputReport } from '../schemas.ts';
import { callerKey } from '../token-life.ts';

/** Parks the try; one that has its answer already goes on at once. */
export async function awaitInput(
  context: ExecutionContext,
  call: Call,
  body: AwaitInputReport,
): Promise<{ finished: boolean; row: CallerRow | null }> {
  return await context.db.transaction(async (tx: Db) => {
    const row = await lockRequestFor(tx, callerKey(call));
    if (!row?.live) return { finished: false, row };
    const kwargs = exactMember(call.request.bodyText, 'next_kwargs', body.next_kwargs) ?? {};
    const answered = row.request && storedAnswerEvent(row.request);
    await parkTask(tx, {
      id: row.id,
      state: answered ? 'scheduled' : 'awaiting_input',
      nextMethod: body.next_method,
      nextKwargs: JSON.stringify(answered ? withEvent(kwargs, answered) : kwargs),
      timeoutAt: answered || body.timeout == null ? null : nowIso(call.nowMs + body.timeout * 1000),
      renderedMapIndex: body.rendered_map_index ?? null,
      nowIso: call.nowIso,
    });
    return { finished: true, row };
  });
}
