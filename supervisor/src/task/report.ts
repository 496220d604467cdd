/** The last word about a try: what is told to the server, once, however often it has to be said. */
import type { ExecutionAnswer, ExecutionClient, TokenHolder } from '../client/index.ts';
import { selfPath, type TaskInstance } from './paths.ts';

export type FinalState =
  | { readonly state: 'success' }
  | { readonly state: 'failed' }
  | { readonly state: 'skipped' }
  | { readonly state: 'up_for_retry'; readonly reason: string; readonly delaySeconds?: number }
  | { readonly state: 'up_for_reschedule'; readonly afterSeconds: number }
  | {
      readonly state: 'deferred';
      readonly trigger: string;
      readonly kwargs: Readonly<Record<string, unknown>>;
      readonly timeoutSeconds: number | null;
    };

/** Attempts reach over five minutes: a restart of the server, or of its database, must not lose a result. */
export const PATIENT = { attempts: 60, waitMinMs: 100, waitMaxMs: 10_000 };
const REASON_LENGTH = 500;
/** A TypeScript task has one way to go on; the wire wants a name for it. */
const RESUME = 'resume';

function bodyOf(final: FinalState, nowMs: number): { readonly state: string } & Record<string, unknown> {
  const endDate = new Date(nowMs).toISOString();
  switch (final.state) {
    case 'success':
      return { state: 'success', end_date: endDate, task_outlets: [], outlet_events: [] };
    case 'up_for_retry':
      return {
        state: 'up_for_retry',
        end_date: endDate,
        retry_reason: final.reason.slice(0, REASON_LENGTH),
        ...(final.delaySeconds === undefined ? {} : { retry_delay_seconds: final.delaySeconds }),
      };
    case 'up_for_reschedule':
      return {
        state: 'up_for_reschedule',
        end_date: endDate,
        reschedule_date: new Date(nowMs + final.afterSeconds * 1000).toISOString(),
      };
    case 'deferred':
      return {
        state: 'deferred',
        classpath: final.trigger,
        trigger_kwargs: final.kwargs,
        trigger_timeout: final.timeoutSeconds,
        next_method: RESUME,
        next_kwargs: {},
      };
    default:
      return { state: final.state, end_date: endDate };
  }
}

/** Reports a state of our own making. */
export function reportState(
  client: ExecutionClient,
  token: TokenHolder,
  ti: TaskInstance,
  final: FinalState,
  nowMs: number,
): Promise<Reported> {
  return sendReport(client, token, ti, bodyOf(final, nowMs));
}

export type Reported = { readonly accepted: boolean; readonly answer: ExecutionAnswer };

/**
 * @param body as the wire has it
 * @returns whether the server has taken it: 204, 200 for a repeat, or 404 for a retry whose first answer was lost (the try
 * has got a new id by then).
 */
export async function sendReport(
  client: ExecutionClient,
  token: TokenHolder,
  ti: TaskInstance,
  body: { readonly state: string },
): Promise<Reported> {
  const answer = await client.call({ token, method: 'PATCH', path: selfPath(ti, 'state'), json: body, retry: PATIENT });
  const lostReply = body.state === 'up_for_retry' && answer.status === 404 && answer.attempts > 1;
  return { accepted: answer.status < 300 || lostReply, answer };
}
